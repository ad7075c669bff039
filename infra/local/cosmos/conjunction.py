"""One branch of a plan as SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .indexes import Schema
from .predicates import Atom, Bound, Differs, Elements, Equals, NotTyped, Range, Target
from .scope import KeyScope

Sql = tuple[str, list[Any]]


@dataclass(frozen=True)
class OrderColumn:
    """A target the results are ordered by, with its two columns."""

    target: Target
    rank: str
    value: str
    descending: bool


@dataclass(frozen=True)
class Order:
    """The order of the results; documents that tie come in the order of their numbers, or the reverse."""

    columns: list[OrderColumn]
    descending: bool

    @staticmethod
    def of(schema: Schema, targets: list[tuple[Target, bool]]) -> Order:
        """The order by those targets, each with whether it descends."""
        columns = [OrderColumn(target, *schema.columns(target), down) for target, down in targets]
        return Order(columns, bool(columns) and columns[0].descending)

    @property
    def uniform(self) -> bool:
        """Whether all columns go the same way."""
        return all(column.descending == self.descending for column in self.columns)

    def clause(self) -> str:
        """The ORDER BY clause."""
        parts = [
            f"{name}{_way(part.descending)}" for part in self.columns for name in (part.rank, part.value)
        ]
        return ", ".join([*parts, f"seq{_way(self.descending)}"])

    def from_position(self, keys: list[Any], seq: int) -> Sql:
        """The condition that leaves the position itself and what comes after it."""
        pairs = [
            (f"({part.rank}, {part.value})", keys[2 * i : 2 * i + 2]) for i, part in enumerate(self.columns)
        ]
        if self.uniform:
            names = ", ".join([name for part in self.columns for name in (part.rank, part.value)] + ["seq"])
            marks = ", ".join("?" * (2 * len(pairs) + 1))
            return f"({names}) {'<=' if self.descending else '>='} ({marks})", [*keys, seq]
        condition, params = f"seq {'<=' if self.descending else '>='} ?", [seq]
        for (pair, values), column in reversed(list(zip(pairs, self.columns, strict=True))):
            sign = "<" if column.descending else ">"
            condition = f"({pair} {sign} (?, ?) OR {pair} = (?, ?) AND {condition})"
            params = [*values, *values, *params]
        sign = "<=" if self.columns[0].descending else ">="
        return f"{pairs[0][0]} {sign} (?, ?) AND {condition}", [*pairs[0][1], *params]


@dataclass(frozen=True)
class Conjunction:
    """The conditions of one branch, and the index (or element table) it reads."""

    table: str
    hint: str
    fixed: list[Sql]
    ranges: dict[Target, tuple[str, str, Range]]

    @staticmethod
    def of(schema: Schema, table: str, scope: KeyScope, atoms: tuple[Atom, ...], order: Order) -> Conjunction:
        """Choose the index of a branch and write its conditions."""
        columns: list[str] = []
        scope_sql = scope.condition()
        if scope.exact:
            columns.append("epk")
        elif scope.prefix_levels:
            columns.append(schema.prefix(scope.prefix_levels))
            scope_sql = (f"{columns[0]} = ?", [scope.low])
        fixed = [scope_sql]
        ranges: dict[Target, tuple[str, str, Range]] = {}
        equal: list[str] = []
        by_elements = False
        for atom in atoms:
            if isinstance(atom, Elements):
                fixed.append((_also if by_elements else _elements)(schema, table, atom, scope))
                by_elements = True
            elif isinstance(atom, Range):
                narrowed = ranges[atom.target][2].within(atom) if atom.target in ranges else atom
                ranges[atom.target] = (*schema.columns(atom.target), narrowed)
            elif not isinstance(atom, Equals | Differs | NotTyped):
                continue
            else:
                names = schema.columns(atom.target)
                fixed.append(_typed(*names, atom))
                equal += names if isinstance(atom, Equals) else ()
        tail = [
            f"{name}{_way(part.descending != order.descending)}"
            for part in order.columns
            for name in (part.rank, part.value)
            if name not in equal
        ]
        columns += [*dict.fromkeys(equal), *tail]
        if by_elements:
            hint = "NOT INDEXED"
        else:
            index = schema.index(columns) if columns else None
            hint = f"INDEXED BY {index}" if index else ""
        return Conjunction(table, hint, fixed, ranges)

    def select(self, order: Order, after: tuple[list[Any], int] | None, now: float | None) -> Sql:
        """The statement: number and order values of the documents, from a position on, not expired at ``now``."""
        conditions = list(self.fixed)
        first = order.columns[0] if order.columns else None
        for target, (rank, value, bounds) in self.ranges.items():
            resumed = after is not None and order.uniform and first is not None and first.target == target
            if not resumed:
                conditions.append(_between(rank, value, bounds))
            elif order.descending:
                conditions.append(_bound(rank, value, bounds.low, ">"))
            else:
                conditions.append(_bound(rank, value, bounds.high, "<"))
        if after is not None:
            conditions.append(order.from_position(*after))
        if now is not None:
            conditions.append(("(expires IS NULL OR expires > ?)", [now]))
        names = ", ".join(["seq", *(name for part in order.columns for name in (part.rank, part.value))])
        where = " AND ".join(sql for sql, _ in conditions)
        params = [value for _, values in conditions for value in values]
        return f"SELECT {names} FROM {self.table} {self.hint} WHERE {where} ORDER BY {order.clause()}", params


def _typed(rank: str, value: str, atom: Equals | Differs | NotTyped) -> Sql:
    if isinstance(atom, NotTyped):
        return f"{rank} NOT IN ({_marks(atom.ranks)})", list(atom.ranks)
    if len(atom.values) == 1:
        return f"{rank} = ? AND {value} {'=' if isinstance(atom, Equals) else '<>'} ?", [
            atom.rank,
            atom.values[0],
        ]
    word = "IN" if isinstance(atom, Equals) else "NOT IN"
    return f"{rank} = ? AND {value} {word} ({_marks(atom.values)})", [atom.rank, *atom.values]


def _elements(schema: Schema, _: str, atom: Elements, scope: KeyScope) -> Sql:
    elements = schema.elements(atom)
    where, params = scope.condition()
    condition = (
        f"seq IN (SELECT seq FROM {elements} WHERE t = ? AND v IN ({_marks(atom.values)}) AND {where})"
    )
    return condition, [atom.rank, *atom.values, *params]


def _also(schema: Schema, table: str, atom: Elements, _: KeyScope) -> Sql:
    """Further elements of documents that were found by others: a look-up for each, not a list of all that have them."""
    elements = schema.elements(atom)
    same = f"e.epk = {table}.epk AND e.seq = {table}.seq"
    condition = (
        f"EXISTS (SELECT 1 FROM {elements} AS e WHERE e.t = ? AND e.v IN ({_marks(atom.values)}) AND {same})"
    )
    return condition, [atom.rank, *atom.values]


def _between(rank: str, value: str, bounds: Range) -> Sql:
    """Within one type as a comparison of values: SQLite would start at the ties of a row value, not after them."""
    low, high = bounds.low, bounds.high
    if low.rank != high.rank:
        ends = (_bound(rank, value, low, ">"), _bound(rank, value, high, "<"))
        return " AND ".join(sql for sql, _ in ends), [part for _, parts in ends for part in parts]
    condition, params = f"{rank} = ?", [low.rank]
    for end, sign in ((low, ">"), (high, "<")):
        if end.value is not None:
            condition += f" AND {value} {sign}{'=' if end.inclusive else ''} ?"
            params.append(end.value)
    return condition, params


def _bound(rank: str, value: str, bound: Bound, sign: str) -> Sql:
    if bound.value is None:
        return f"{rank} {sign}= ?", [bound.rank]
    return f"({rank}, {value}) {sign}{'=' if bound.inclusive else ''} (?, ?)", [bound.rank, bound.value]


def _marks(values: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(values))


def _way(descending: bool) -> str:
    return " DESC" if descending else ""
