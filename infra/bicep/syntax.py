"""A Bicep file as its declarations, read with tree-sitter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_LANGUAGE = Language(tree_sitter_bicep.language())


class BicepError(Exception):
    """Something in a Bicep file is wrong; the message says where."""


@dataclass(frozen=True)
class Declaration:
    """A ``param``, ``var``, ``resource``, ``module`` or ``output``.

    ``text`` is a resource's type with its version, a module's path, or the type of a parameter or output.
    """

    kind: str
    name: str
    value: Node | None
    text: str = ""
    existing: bool = False
    decorators: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One file."""

    path: Path
    declarations: tuple[Declaration, ...]

    def of(self, kind: str) -> list[Declaration]:
        """The declarations of one kind."""
        return [each for each in self.declarations if each.kind == kind]


@cache
def read(path: Path) -> Source:
    """Parse a ``.bicep`` or ``.bicepparam`` file. Raises :class:`BicepError` where the text is no Bicep."""
    return parse(path.read_text("utf-8"), path)


def parse(text: str, path: Path) -> Source:
    """Parse a file's text; ``path`` is for messages and for the files it names."""
    if path.suffix == ".bicepparam":
        # The grammar does not know `param name = value`, which is the whole of these files beside `using`.
        text = re.sub(r"(?m)^using .*$", "", text)
        text = re.sub(r"(?m)^param(\s+\w+\s*=)", r"var\1", text)
    root = Parser(_LANGUAGE).parse(text.encode()).root_node
    broken = next(_errors(root), None)
    if broken is not None:
        raise BicepError(f"{where(path, broken)}: not understood: {_text(broken)[:60]!r}")
    return Source(path, tuple(_declarations(root)))


def where(path: Path, node: Node) -> str:
    """``file:line`` of a node."""
    return f"{path.name}:{node.start_point.row + 1}"


def _errors(node: Node) -> Iterator[Node]:
    if node.type == "ERROR" or node.is_missing:
        yield node
    for child in node.children:
        if child.has_error or child.is_missing:
            yield from _errors(child)


def _declarations(root: Node) -> Iterator[Declaration]:
    decorators: dict[str, Node] = {}
    for node in root.named_children:
        if node.type == "decorators":
            decorators = dict(_decorators(node))
            continue
        if node.type.endswith("_declaration"):
            yield _declaration(node, decorators)
        decorators = {}


def _decorators(node: Node) -> Iterator[tuple[str, Node]]:
    for each in node.named_children:
        call = each.named_children[0]
        function = call.child_by_field_name("function")
        if function is not None:
            yield _text(function), call


def _declaration(node: Node, decorators: dict[str, Node]) -> Declaration:
    kind = node.type.removesuffix("_declaration").replace("parameter", "param").replace("variable", "var")
    name, *rest = (child for child in node.named_children if child.type != "comment")
    text = ""
    if kind in ("resource", "module"):
        text = _text(rest.pop(0)).strip("'")
    elif kind in ("param", "output"):
        text = _text(rest.pop(0))
    existing = any(child.type == "existing" for child in node.children)
    return Declaration(kind, _text(name), rest[-1] if rest else None, text, existing, decorators)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
