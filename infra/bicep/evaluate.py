"""Expressions, evaluated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tree_sitter import Node

from infra.bicep.functions import PURE, load_json, load_text
from infra.bicep.syntax import BicepError, where
from infra.bicep.values import Lambda, Unknown, member

ESCAPES = {"\\'": "'", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\", "\\$": "$"}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


class Expressions:
    """Evaluates nodes of one file; ``look_up`` gives the value of a name that is no local one."""

    def __init__(self, path: Path, look_up: Callable[[str], Any]) -> None:
        self.path = path
        self._look_up = look_up

    def value(self, node: Node, local: Mapping[str, Any] | None = None) -> Any:
        """The value of a node. Raises :class:`BicepError` with the line."""
        local = local or {}
        handler = getattr(self, f"_{node.type}", None)
        if handler is None:
            raise BicepError(f"{where(self.path, node)}: {node.type} is not known to this check")
        try:
            return handler(node, local)
        except BicepError as error:
            if f"{self.path.name}:" in str(error) or ".bicep" in str(error).partition(" ")[0]:
                raise
            raise BicepError(f"{where(self.path, node)}: {error}") from None
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            text = (node.text or b"").decode()[:80]
            raise BicepError(f"{where(self.path, node)}: {text}: {error}") from error

    def each(self, node: Node, local: Mapping[str, Any]) -> Iterator[tuple[Node, dict[str, Any]]]:
        """The body of a ``for`` with the names of each turn."""
        parameters, values, body = _parts(node)
        names = [_text(each) for each in parameters.named_children] or [_text(parameters)]
        found = self.value(values, local)
        if isinstance(found, Unknown):
            raise BicepError(f"loops over {found.origin}, which is known only when it is deployed")
        for index, value in enumerate(found):
            yield body, {**local, **dict(zip(names, (value, index), strict=False))}

    def _identifier(self, node: Node, local: Mapping[str, Any]) -> Any:
        name = _text(node)
        return local[name] if name in local else self._look_up(name)

    def _string(self, node: Node, local: Mapping[str, Any]) -> str:
        return "".join(str(self._part(child, local)) for child in node.named_children)

    def _part(self, node: Node, local: Mapping[str, Any]) -> Any:
        if node.type == "string_content":
            return _text(node)
        if node.type == "escape_sequence":
            return ESCAPES[_text(node)]
        found = self.value(node.named_children[0], local)
        if isinstance(found, Unknown):
            return f"<{found.origin}>"
        return str(found).lower() if isinstance(found, bool) else found

    def _number(self, node: Node, _: Mapping[str, Any]) -> int:
        return int(_text(node))

    def _boolean(self, node: Node, _: Mapping[str, Any]) -> bool:
        return _text(node) == "true"

    def _null(self, *_: Any) -> None:
        return None

    def _object(self, node: Node, local: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for each in _parts(node):
            key, value = _parts(each)
            name = self._string(key, local) if key.type == "string" else _text(key)
            if name in found:
                raise BicepError(f"property {name} is given twice")
            found[name] = self.value(value, local)
        return found

    def _array(self, node: Node, local: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = []
        parts = _parts(node)
        for index, each in enumerate(parts):
            # The grammar takes a call in an array for a name and something in parentheses.
            if index and _is_called(parts[index - 1], [each]):
                found[-1] = self._called(_text(parts[index - 1]), _parts(each), local)
            elif _is_called(each, parts[index + 1 :]):
                found.append(None)
            else:
                found.append(self.value(each, local))
        return found

    def _for_statement(self, node: Node, local: Mapping[str, Any]) -> list[Any]:
        return [self.value(body, names) for body, names in self.each(node, local)]

    def _parenthesized_expression(self, node: Node, local: Mapping[str, Any]) -> Any:
        return self.value(_parts(node)[0], local)

    def _truth(self, node: Node, local: Mapping[str, Any]) -> bool:
        found = self.value(node, local)
        if not isinstance(found, bool):
            raise BicepError(f"{_text(node)} is no condition")
        return found

    def _operation(self, node: Node, local: Mapping[str, Any]) -> Any:
        return self._followed(node, lambda value: value, local)

    _binary_expression = _unary_expression = _ternary_expression = _lambda_expression = _operation
    _member_expression = _subscript_expression = _operation

    def _followed(self, node: Node, then: Callable[[Any], Any], local: Mapping[str, Any]) -> Any:
        """The value of a node with what follows it (``.name``, ``[index]``).

        The grammar reads ``a + b.c`` as ``(a + b).c``: what follows an operation belongs to its last operand.
        """
        parts = _parts(node)
        if node.type == "member_expression":
            name = _text(parts[1])
            return self._followed(parts[0], lambda value: then(member(value, name)), local)
        if node.type == "subscript_expression":
            at = self.value(parts[1], local)
            return self._followed(parts[0], lambda value: then(_at(value, at)), local)
        if node.type == "binary_expression":
            operator = next(_text(child) for child in node.children if not child.is_named)
            return self._operate(operator, parts[0], lambda: self._followed(parts[1], then, local), local)
        if node.type == "ternary_expression":
            return (
                self.value(parts[1], local)
                if self._truth(parts[0], local)
                else self._followed(parts[2], then, local)
            )
        if node.type == "unary_expression":
            found = self._followed(parts[0], then, local)
            return not found if _text(node).startswith("!") else -found
        if node.type == "lambda_expression":
            name = _text(parts[0])
            return Lambda(lambda value: self._followed(parts[1], then, {**local, name: value}))
        return then(self.value(node, local))

    def _operate(self, operator: str, left: Node, right: Callable[[], Any], local: Mapping[str, Any]) -> Any:
        if operator == "&&":
            return self._truth(left, local) and right()
        if operator == "||":
            return self._truth(left, local) or right()
        found = self.value(left, local)
        if operator == "??":
            return right() if found is None else found
        return _ARITHMETIC[operator](found, right())

    def _call_expression(self, node: Node, local: Mapping[str, Any]) -> Any:
        called, arguments = _parts(node)
        return self._called(_text(called), _parts(arguments), local)

    def _called(self, name: str, arguments: list[Node], local: Mapping[str, Any]) -> Any:
        values = [self.value(each, local) for each in arguments]
        if name == "loadTextContent":
            return load_text(self.path, *values)
        if name == "loadJsonContent":
            return load_json(self.path, *values)
        if name == "readEnvironmentVariable":
            # A check must not depend on who runs it: the value that stands in for the variable.
            return values[1] if len(values) > 1 else os.environ[values[0]]
        if name not in PURE:
            raise BicepError(f"function {name} is not known to this check")
        return PURE[name](*values)


def _is_called(node: Node, following: list[Node]) -> bool:
    return (
        node.type == "identifier"
        and bool(following)
        and following[0].type == "parenthesized_expression"
        and following[0].start_byte == node.end_byte
    )


def _at(value: Any, index: Any) -> Any:
    return member(value, index) if isinstance(index, str) else value[index]


def _parts(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type != "comment"]


def _text(node: Node) -> str:
    return (node.text or b"").decode()
