"""WHERE as conditions on indexed columns.

:func:`true_form` turns an expression into a formula that holds wherever the expression is true; :func:`false_form`
where it is false (the rest is undefined, so NOT needs both). What cannot be expressed becomes :data:`UNKNOWN`, which
holds everywhere: the formula only narrows down the documents, the evaluator has the last word. ``exact`` atoms say
precisely what the expression says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import syntax as s
from .evaluate import constant
from .functions import TYPE_CHECKS
from .values import ARRAY, BOOLEAN, NULL, NUMBER, STRING, UNDEFINED, rank

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "!=", "!=": "="}
_LAST = chr(0x10FFFF)


@dataclass(frozen=True)
class Target:
    """An indexable scalar of a document: the value at a JSON path, or the length of the array there."""

    path: str
    length: bool = False


@dataclass(frozen=True)
class Bound:
    """An end of a range in the order of types and values; without ``value``, the whole type is within."""

    rank: int
    value: Any = None
    inclusive: bool = True

    def place(self, *, below: bool) -> tuple[Any, ...]:
        """Where the range begins (``below``) or ends, comparable with other ends of the same kind."""
        if self.value is None:
            return (self.rank, 0 if below else 2, 0, 0)
        return (self.rank, 1, self.value, int(self.inclusive != below))


@dataclass(frozen=True)
class Equals:
    """The target is one of some values of one type."""

    target: Target
    rank: int
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """The target lies between two bounds."""

    target: Target
    low: Bound
    high: Bound

    def within(self, other: Range) -> Range:
        """The narrower range that is in both."""
        low = max(self.low, other.low, key=lambda end: end.place(below=True))
        high = min(self.high, other.high, key=lambda end: end.place(below=False))
        return Range(self.target, low, high)


@dataclass(frozen=True)
class Differs:
    """The target is of that type but none of those values."""

    target: Target
    rank: int
    values: tuple[Any, ...]


@dataclass(frozen=True)
class NotTyped:
    """The target's type is not among those."""

    target: Target
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class Elements:
    """An array has an element (or an element whose member at ``member`` is) among some values of one type."""

    array: str
    member: str
    rank: int
    values: tuple[Any, ...]
    exact: bool


@dataclass(frozen=True)
class All:
    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Any_:  # noqa: N801 - Any is taken
    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Unknown:
    """Holds everywhere."""


Atom = Equals | Range | Differs | NotTyped | Elements | Unknown
Formula = Atom | All | Any_
UNKNOWN = Unknown()
NEVER = Any_(())


@dataclass(frozen=True)
class Names:
    """What the aliases of a query stand for: the document, or an element of the array at a JSON path of it."""

    document: str | None
    elements: Mapping[str, str]
    params: Mapping[str, Any]

    def target(self, expr: s.Expr) -> Target | None:
        """The indexable scalar an expression is, if it is one."""
        if isinstance(expr, s.Call) and expr.function == "ARRAY_LENGTH" and len(expr.arguments) == 1:
            path = self.document_path(expr.arguments[0])
            return Target(path, length=True) if path else None
        path = self.document_path(expr)
        return Target(path) if path else None

    def document_path(self, expr: s.Expr) -> str | None:
        """The JSON path of an expression that is a path of the document."""
        found = s.path_of(expr)
        return json_path(found[1]) if found and found[0] == self.document and found[1] else None

    def element(self, expr: s.Expr) -> tuple[str, str] | None:
        """``(array, member)`` for an expression that is (a path within) an element of an array."""
        found = s.path_of(expr)
        if found is None or found[0] not in self.elements:
            return None
        member = json_path(found[1])
        return (self.elements[found[0]], member[1:]) if member else None


def json_path(steps: tuple[str | int, ...]) -> str | None:
    """A path as SQLite writes it, or None if it cannot (quotes, backslashes and controls in names)."""
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step or not step.isprintable() or '"' in step or "\\" in step:
            return None
        else:
            path += f'."{step}"'
    return path


def true_form(expr: s.Expr, names: Names) -> Formula:
    """A formula that holds wherever the expression is true."""
    return _form(expr, names, truth=True)


def false_form(expr: s.Expr, names: Names) -> Formula:
    """A formula that holds wherever the expression is false."""
    return _form(expr, names, truth=False)


def _form(expr: s.Expr, names: Names, *, truth: bool) -> Formula:
    if isinstance(expr, s.Not):
        return _form(expr.operand, names, truth=not truth)
    if isinstance(expr, s.And | s.Or):
        parts = tuple(_form(part, names, truth=truth) for part in expr.parts)
        return All(parts) if isinstance(expr, s.And) is truth else Any_(parts)
    if isinstance(expr, s.Compare):
        return _comparison(expr, names, truth=truth)
    if isinstance(expr, s.In):
        return _membership(expr, names, truth=truth)
    if isinstance(expr, s.Between):
        both = (s.Compare(">=", expr.item, expr.low), s.Compare("<=", expr.item, expr.high))
        return _form(s.And(both), names, truth=truth)
    if isinstance(expr, s.Call):
        return _call(expr, names, truth=truth)
    if isinstance(expr, s.Subquery) and truth:
        return _exists(expr, names)
    target = names.target(expr) if isinstance(expr, s.Member) else None
    return Equals(target, BOOLEAN, (int(truth),)) if target else UNKNOWN


def _comparison(expr: s.Compare, names: Names, *, truth: bool) -> Formula:
    left, right, relation = expr.left, expr.right, expr.relation
    if isinstance(left, s.Literal | s.Param):
        left, right, relation = right, left, _FLIPPED[relation]
    if not isinstance(right, s.Literal | s.Param):
        return UNKNOWN
    if not truth:
        relation = _NEGATED[relation]
    value = constant(right, names.params)
    element = names.element(left)
    if element and truth and relation == "=":
        return _elements(element, [value], exact=False)
    target = names.target(left)
    return _relation(target, relation, value) if target else UNKNOWN


def _relation(target: Target, relation: str, value: Any) -> Formula:
    kind = rank(value)
    if kind == 0:
        return NEVER
    if kind >= ARRAY or (kind == NULL and relation != "=") or _beyond_sql(value):
        return UNKNOWN
    plain = _plain(value)
    if relation == "=":
        return Equals(target, kind, (plain,))
    if relation == "!=":
        return Differs(target, kind, (plain,))
    end = Bound(kind, plain, inclusive=relation in ("<=", ">="))
    return Range(target, Bound(kind), end) if relation in ("<", "<=") else Range(target, end, Bound(kind))


def _membership(expr: s.In, names: Names, *, truth: bool) -> Formula:
    if not all(isinstance(option, s.Literal | s.Param) for option in expr.options):
        return UNKNOWN
    values = [constant(option, names.params) for option in expr.options]
    element = names.element(expr.item)
    if element and truth:
        return _elements(element, values, exact=False)
    target = names.target(expr.item)
    kinds = {rank(value) for value in values}
    if target is None or max(kinds) >= ARRAY or any(map(_beyond_sql, values)):
        return UNKNOWN
    if truth:
        by_kind = (
            (kind, tuple(_plain(value) for value in values if rank(value) == kind)) for kind in kinds if kind
        )
        return Any_(tuple(Equals(target, kind, plain) for kind, plain in by_kind))
    if len(kinds) > 1 or kinds & {UNDEFINED_RANK, NULL}:
        return NEVER
    return Differs(target, kinds.pop(), tuple(map(_plain, values)))


def _call(expr: s.Call, names: Names, *, truth: bool) -> Formula:
    first = expr.arguments[0] if expr.arguments else None
    target = names.target(first) if first is not None else None
    if expr.function in TYPE_CHECKS and target and len(expr.arguments) == 1:
        ranks = TYPE_CHECKS[expr.function]
        return Range(target, Bound(ranks[0]), Bound(ranks[-1])) if truth else NotTyped(target, ranks)
    if len(expr.arguments) != 2 or not truth or not isinstance(expr.arguments[1], s.Literal | s.Param):
        return UNKNOWN
    value = constant(expr.arguments[1], names.params)
    if expr.function == "STARTSWITH" and target and isinstance(value, str) and not _beyond_sql(value):
        return All((Range(target, Bound(STRING, value), Bound(STRING, value + _LAST)), UNKNOWN))
    if expr.function == "ARRAY_CONTAINS" and first is not None:
        array = names.document_path(first)
        return _elements((array, ""), [value], exact=True) if array else UNKNOWN
    return UNKNOWN


def _exists(expr: s.Subquery, names: Names) -> Formula:
    query = expr.query
    if expr.kind != "EXISTS" or query.where is None or query.group or len(query.sources) != 1:
        return UNKNOWN
    inner = with_sources(Names(names.document, {}, names.params), query.sources)
    return true_form(query.where, inner) if inner.elements else UNKNOWN


def with_sources(names: Names, sources: tuple[s.Source, ...]) -> Names:
    """The names with the aliases that iterate over an array of the document."""
    elements = dict(names.elements)
    document = names.document
    for source in sources:
        array = names.document_path(source.collection) if isinstance(source.collection, s.Expr) else None
        elements.pop(source.alias or "", None)
        if source.alias == document:
            document = None
        if source.iterate and source.alias and array:
            elements[source.alias] = array
    return Names(document, elements, names.params)


def _elements(element: tuple[str, str], values: list[Any], *, exact: bool) -> Formula:
    kinds = {rank(value) for value in values}
    if len(kinds) != 1 or kinds & {UNDEFINED_RANK} or max(kinds) >= ARRAY or any(map(_beyond_sql, values)):
        return UNKNOWN
    return Elements(*element, kinds.pop(), tuple(map(_plain, values)), exact)


UNDEFINED_RANK = rank(UNDEFINED)


def _plain(value: Any) -> Any:
    """A scalar as it stands in a column: booleans as numbers, 0 for null."""
    kind = rank(value)
    return 0 if kind == NULL else int(value) if kind == BOOLEAN else value


def _beyond_sql(value: Any) -> bool:
    """Values that SQLite would store or compare otherwise: strings with NUL, integers beyond doubles' precision."""
    if isinstance(value, str):
        return "\0" in value
    return rank(value) == NUMBER and abs(value) > 2**53
