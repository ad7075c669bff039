"""The clauses of a query as functions: documents in, rows out. Paging and finding the documents come elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import syntax as s
from .errors import bad_request
from .evaluate import Env, Evaluator, Rows, Scope, compile_expr, compile_object
from .functions import AGGREGATES
from .values import NUMBER, UNDEFINED, freeze, order_key, rank

Expand = Callable[[Env], Iterator[Env]]


@dataclass(frozen=True)
class Clauses:
    """A compiled query: ``expand`` does FROM, JOIN and WHERE; ``finish`` GROUP BY, SELECT and DISTINCT."""

    expand: Expand
    finish: Callable[[Iterable[Env]], Iterator[Any]]
    one_by_one: bool
    """Whether each environment gives its rows on its own: nothing is aggregated, grouped or made distinct."""


def compile_query(query: s.Query, params: dict[str, Any]) -> Clauses:
    """Compile a whole query over documents; the first name of its FROM clause stands for the document."""
    scope = Scope(params, _compile_rows)
    first = query.sources[0] if query.sources else None
    if first is not None and not isinstance(first.collection, s.Query):
        scope.slots[_root_name(first.collection)] = scope.size
    scope.size += 1
    return _compile(query, scope, whole=True)


def _root_name(collection: s.Expr) -> str:
    path = s.path_of(collection)
    if path is None:
        raise bad_request("This FROM clause is not supported by the emulator.")
    return path[0]


def _compile_rows(query: s.Query, scope: Scope) -> Rows:
    if query.order or query.top or query.offset:
        raise bad_request("ORDER BY, TOP and OFFSET in a subquery are not supported by this emulator.")
    clauses = _compile(query, scope, whole=False)
    return lambda env: clauses.finish(clauses.expand(env))


def _compile(query: s.Query, scope: Scope, *, whole: bool) -> Clauses:
    expand = _compile_sources(query.sources, scope, whole=whole)
    if query.where is not None:
        expand = _filtered(expand, compile_expr(query.where, scope))
    finish, one_by_one = _compile_finish(query, scope)
    if query.distinct:
        return Clauses(expand, lambda envs: _distinct(finish(envs)), one_by_one=False)
    return Clauses(expand, finish, one_by_one)


def _compile_finish(query: s.Query, scope: Scope) -> tuple[Callable[[Iterable[Env]], Iterator[Any]], bool]:
    selected = [query.value] if query.value is not None else [expr for _, expr in query.items or ()]
    if not query.group and not any(map(_aggregates, selected)):
        project = _compile_select(query, scope)
        return lambda envs: _projected(envs, project), True
    keys = [compile_expr(expr, scope.inner()) for expr in query.group]
    select_scope = scope.inner()
    aggregates: list[tuple[str, Evaluator]] = []
    select_scope.aggregates, select_scope.group = aggregates, query.group
    project = _compile_select(query, select_scope)
    return lambda envs: _projected(_grouped(envs, keys, aggregates, scope.size), project), False


def _projected(envs: Iterable[Env], project: Evaluator) -> Iterator[Any]:
    return (row for env in envs if (row := project(env)) is not UNDEFINED)


def _compile_sources(sources: tuple[s.Source, ...], scope: Scope, *, whole: bool) -> Expand:
    steps: list[tuple[int, Evaluator, bool]] = []
    for number, source in enumerate(sources):
        if isinstance(source.collection, s.Query):
            values: Evaluator = _listed(_compile_rows(source.collection, scope.inner()))
            iterate = True
        else:
            values, iterate = compile_expr(source.collection, scope), source.iterate
        if whole and number == 0:
            scope.slots.clear()
        steps.append((scope.bind(source.alias or ""), values, iterate))

    def expand(env: Env) -> Iterator[Env]:
        env = env + [UNDEFINED] * (scope.size - len(env))
        return _expanded(env, steps, 0)

    return expand


def _listed(rows: Rows) -> Evaluator:
    return lambda env: list(rows(env))


def _expanded(env: Env, steps: list[tuple[int, Evaluator, bool]], at: int) -> Iterator[Env]:
    if at == len(steps):
        yield env
        return
    slot, values, iterate = steps[at]
    value = values(env)
    found = (value if isinstance(value, list) else []) if iterate else [value]
    for item in found:
        if item is not UNDEFINED:
            env[slot] = item
            yield from _expanded(env, steps, at + 1)


def _filtered(expand: Expand, condition: Evaluator) -> Expand:
    return lambda env: (found for found in expand(env) if condition(found) is True)


def _compile_select(query: s.Query, scope: Scope) -> Evaluator:
    if query.value is not None:
        return compile_expr(query.value, scope)
    if query.items is not None:
        return compile_object([(name, compile_expr(expr, scope)) for name, expr in query.items])
    if len(query.sources) != 1 or query.group:
        raise bad_request("'SELECT *' is only valid with a single input set.")
    slot = scope.slots[query.sources[0].alias or ""]
    return lambda env: env[slot]


def _aggregates(expr: Any) -> bool:
    if isinstance(expr, s.Call) and expr.function in AGGREGATES:
        return True
    if isinstance(expr, s.Subquery | s.Query):
        return False
    if isinstance(expr, tuple):
        return any(map(_aggregates, expr))
    if isinstance(expr, s.Expr):
        return any(_aggregates(getattr(expr, name)) for name in expr.__dataclass_fields__)
    return False


def _grouped(
    envs: Iterable[Env], keys: list[Evaluator], aggregates: list[tuple[str, Evaluator]], size: int
) -> Iterator[Env]:
    groups: dict[Any, tuple[Env, list[_Accumulator]]] = {}
    if not keys:
        groups[()] = ([UNDEFINED] * size, [_Accumulator(kind) for kind, _ in aggregates])
    for env in envs:
        key = tuple(freeze(part(env)) for part in keys)
        if key not in groups:
            groups[key] = (list(env), [_Accumulator(kind) for kind, _ in aggregates])
        for accumulator, (_, argument) in zip(groups[key][1], aggregates, strict=True):
            accumulator.add(argument(env))
    for env, accumulators in groups.values():
        env[0] = [accumulator.result() for accumulator in accumulators]
        yield env


def _distinct(rows: Iterable[Any]) -> Iterator[Any]:
    seen = set()
    for row in rows:
        key = freeze(row)
        if key not in seen:
            seen.add(key)
            yield row


class _Accumulator:
    """One aggregate over one group; https://learn.microsoft.com/azure/cosmos-db/nosql/query/aggregate-functions."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._count = 0
        self._value: Any = 0 if kind in ("SUM", "AVG") else UNDEFINED

    def add(self, value: Any) -> None:
        """Take one more value; undefined ones do not count, and SUM and AVG of anything but numbers is undefined."""
        if value is UNDEFINED:
            return
        self._count += 1
        if self._kind in ("SUM", "AVG"):
            numeric = rank(value) == NUMBER and self._value is not UNDEFINED
            self._value = self._value + value if numeric else UNDEFINED
        elif self._kind in ("MIN", "MAX") and rank(value) <= 4:
            self._value = self._better(value)

    def result(self) -> Any:
        """The aggregate of what was added."""
        if self._kind == "COUNT":
            return self._count
        if self._kind == "AVG":
            return UNDEFINED if self._value is UNDEFINED or not self._count else self._value / self._count
        return self._value

    def _better(self, value: Any) -> Any:
        if self._value is UNDEFINED:
            return value
        pick = min if self._kind == "MIN" else max
        return pick(self._value, value, key=order_key)
