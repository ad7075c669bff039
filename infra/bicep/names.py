"""Names in a file: used ones that nothing declares, in any branch, and declared ones that nothing uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tree_sitter import Node

from infra.bicep.functions import PURE
from infra.bicep.syntax import read, where

READING = frozenset({"loadTextContent", "loadJsonContent", "readEnvironmentVariable"})


def name_problems(file: Path) -> list[str]:
    """A line for each name that is wrong."""
    source = read(file)
    declared = {each.name for each in source.declarations if each.kind != "output"}
    used: set[str] = set()
    problems = []
    for each in source.declarations:
        for expression in filter(None, (each.value, *each.decorators.values())):
            for name, node, local in _used(expression, frozenset()):
                used.add(name)
                if name not in declared | local | set(PURE) | READING:
                    problems.append(f"{where(file, node)}: {name} is not declared")
    # Resources and modules need no use: they are made all the same.
    spare = [each for each in source.declarations if each.kind in ("param", "var") and each.name not in used]
    problems += [f"{file.name}: {each.kind} {each.name} is not used" for each in spare]
    return problems


def _used(node: Node, local: frozenset[str]) -> Iterator[tuple[str, Node, frozenset[str]]]:
    """Each name in an expression, with the names that a loop or a lambda around it brings."""
    children = [child for child in node.named_children if child.type != "comment"]
    if node.type == "identifier":
        yield _text(node), node, local
    elif node.type == "object_property":
        key, value = children
        yield from _used(value, local)
        if key.type == "string":
            yield from _used(key, local)
    elif node.type == "lambda_expression":
        yield from _used(children[1], local | {_text(children[0])})
    elif node.type == "for_statement":
        parameters, values, body = children
        names = [_text(each) for each in parameters.named_children] or [_text(parameters)]
        yield from _used(values, local)
        yield from _used(body, local | set(names))
    elif node.type in ("member_expression", "decorator"):
        # A lambda's name reaches what the grammar puts behind it: `x => x.name` (see evaluate.py).
        yield from _used(children[0], local)
    elif node.type == "call_expression" and node.parent is not None and node.parent.type == "decorator":
        for child in children[1:]:
            yield from _used(child, local)
    else:
        for child in children:
            yield from _used(child, local)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
