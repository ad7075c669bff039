"""How a query finds its documents: which indexes, in which order, resumable at any document.

Every branch of the WHERE clause reads one index whose columns are: the scope of the query, what the branch compares
for equality, then what the results are ordered by (or, failing that, one range). So the documents come out in order,
page after page, without sorting or reading those before.
"""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

from . import syntax as s
from .branches import split
from .catalog import Container
from .conjunction import Conjunction, Order
from .errors import bad_request
from .indexes import Schema
from .predicates import UNKNOWN, Atom, Elements, Equals, Names, Range, Target, true_form, with_sources
from .scope import KeyScope

Document = tuple[list[Any], int, str]


@dataclass(frozen=True)
class Plan:
    """``missing`` are the statements to carry out (and plan again) before the query can run."""

    table: str
    branches: list[Conjunction]
    order: Order
    expiring: bool
    count_only: bool
    missing: list[str]

    def documents(
        self, connection: sqlite3.Connection, after: tuple[list[Any], int] | None
    ) -> Iterator[Document]:
        """The documents that may match, in order, from position ``after`` on: order values, number, text."""
        cursors = [
            connection.execute(*branch.select(self.order, after, self._now())) for branch in self.branches
        ]
        rows = (
            heapq.merge(*cursors, key=self._sort_key)
            if len(cursors) > 1
            else iter(cursors[0] if cursors else ())
        )
        last: int | None = None
        for seq, *keys in rows:
            if seq != last:
                last = seq
                found = connection.execute(f"SELECT body FROM {self.table} WHERE seq = ?", (seq,)).fetchone()
                yield keys, seq, found[0]

    def count(self, connection: sqlite3.Connection) -> int:
        """How many documents match; only where :attr:`count_only`."""
        if not self.branches:
            return 0
        selects = [branch.select(Order([], descending=False), None, self._now()) for branch in self.branches]
        union = " UNION ".join(f"SELECT * FROM ({sql})" for sql, _ in selects)
        params = [value for _, values in selects for value in values]
        return int(connection.execute(f"SELECT count(*) FROM ({union})", params).fetchone()[0])

    def _now(self) -> float | None:
        return time.time() if self.expiring else None

    def _sort_key(self, row: tuple[Any, ...]) -> list[Any]:
        seq, *keys = row
        downs = [column.descending for column in self.order.columns for _ in range(2)]
        parts = [*zip(keys, downs, strict=True), (seq, self.order.descending)]
        return [_Descending(part) if down else part for part, down in parts]


@total_ordering
class _Descending:
    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self._value == other._value)

    def __lt__(self, other: _Descending) -> bool:
        return bool(other._value < self._value)


def make_plan(
    connection: sqlite3.Connection,
    container: Container,
    query: s.Query,
    params: dict[str, Any],
    scope: KeyScope,
) -> Plan:
    """Plan a query over a container. Raises a 400 for an ORDER BY the service would not do."""
    names = _names(query, params)
    order = [(_order_target(expr, names), descending) for expr, descending in query.order]
    _check_composite(order, container)
    after_joins = with_sources(names, query.sources[1:])
    found = split(UNKNOWN if query.where is None else true_form(query.where, after_joins))
    exact = found.exact or query.where is None
    if not order and len(found.conjunctions) == 1:
        order = _implied_order(found.conjunctions[0])
    schema = Schema(connection, container)
    ordered = Order.of(schema, order)
    branches = [
        Conjunction.of(schema, container.table, scope, atoms, ordered) for atoms in found.conjunctions
    ]
    return Plan(
        table=container.table,
        branches=branches,
        order=ordered,
        expiring=container.default_ttl is not None,
        count_only=exact and _only_counts(query),
        missing=schema.missing,
    )


def _names(query: s.Query, params: dict[str, Any]) -> Names:
    first = query.sources[0] if query.sources else None
    path = s.path_of(first.collection) if first and isinstance(first.collection, s.Expr) else None
    if first is None or path is None:
        return Names(None, {}, params)
    if first.iterate:
        return with_sources(Names(path[0], {}, params), (first,))
    return Names(None if path[1] else first.alias, {}, params)


def _order_target(expr: s.Expr, names: Names) -> Target:
    target = names.target(expr) if isinstance(expr, s.Member) else None
    if target is None:
        raise bad_request("ORDER BY is only supported on property paths of the document.")
    return target


def _check_composite(order: list[tuple[Target, bool]], container: Container) -> None:
    """Several ORDER BY fields need a composite index (nosql/query/order-by, index-policy#composite-indexes)."""
    if len(order) < 2:
        return
    wanted = [(target.path, descending) for target, descending in order]
    opposite = [(path, not descending) for path, descending in wanted]
    for composite in container.resource["indexingPolicy"].get("compositeIndexes", ()):
        paths = [(_index_path(part["path"]), part.get("order") == "descending") for part in composite]
        if paths in (wanted, opposite):
            return
    raise bad_request(
        "The order by query does not have a corresponding composite index that it can be served from."
    )


def _index_path(path: str) -> str:
    return "$" + "".join(f'."{step.strip(chr(34))}"' for step in path.strip("/").split("/"))


def _implied_order(atoms: tuple[Atom, ...]) -> list[tuple[Target, bool]]:
    """Without ORDER BY: the order of the one range that an index can serve after the equalities."""
    if any(isinstance(atom, Elements) for atom in atoms):
        return []
    fixed = {atom.target for atom in atoms if isinstance(atom, Equals)}
    ranges = [atom for atom in atoms if isinstance(atom, Range) and atom.target not in fixed]
    ranges.sort(key=lambda atom: atom.low.value is None and atom.high.value is None)
    return [(ranges[0].target, False)] if ranges else []


def _only_counts(query: s.Query) -> bool:
    value = query.value
    return (
        isinstance(value, s.Call)
        and value.function == "COUNT"
        and len(value.arguments) == 1
        and isinstance(value.arguments[0], s.Literal)
        and value.arguments[0].value is not None
        and len(query.sources) == 1
        and not query.sources[0].iterate
        and isinstance(query.sources[0].collection, s.Name)
        and not (query.group or query.distinct or query.order)
    )
