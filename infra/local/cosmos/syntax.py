"""The syntax tree of a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Expr:
    """Any scalar expression."""


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    value: Any


@dataclass(frozen=True, slots=True)
class Param(Expr):
    name: str


@dataclass(frozen=True, slots=True)
class Name(Expr):
    name: str


@dataclass(frozen=True, slots=True)
class Member(Expr):
    base: Expr
    key: Expr


@dataclass(frozen=True, slots=True)
class Not(Expr):
    operand: Expr


@dataclass(frozen=True, slots=True)
class And(Expr):
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or(Expr):
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Compare(Expr):
    relation: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class In(Expr):
    item: Expr
    options: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Between(Expr):
    item: Expr
    low: Expr
    high: Expr


@dataclass(frozen=True, slots=True)
class Like(Expr):
    item: Expr
    pattern: Expr
    escape: str | None


@dataclass(frozen=True, slots=True)
class Arithmetic(Expr):
    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Ternary(Expr):
    condition: Expr
    yes: Expr
    no: Expr


@dataclass(frozen=True, slots=True)
class Coalesce(Expr):
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Call(Expr):
    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf(Expr):
    properties: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class ArrayOf(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Subquery(Expr):
    """``kind`` is EXISTS, ARRAY, or SCALAR."""

    kind: str
    query: Query


@dataclass(frozen=True, slots=True)
class Source:
    """One input of FROM or JOIN; ``iterate`` for ``alias IN collection``."""

    alias: str | None
    collection: Expr | Query
    iterate: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT. ``value`` for SELECT VALUE, else ``items`` (None: ``*``); ``order`` as (expression, descending)."""

    distinct: bool
    top: Expr | None
    value: Expr | None
    items: tuple[tuple[str, Expr], ...] | None
    sources: tuple[Source, ...]
    where: Expr | None
    group: tuple[Expr, ...]
    order: tuple[tuple[Expr, bool], ...]
    offset: Expr | None
    limit: Expr | None


def path_of(expr: Expr) -> tuple[str, tuple[str | int, ...]] | None:
    """``(alias, steps)`` if the expression is a plain path such as ``c.a["b"][0]``, else None."""
    steps: list[str | int] = []
    while isinstance(expr, Member):
        if not isinstance(expr.key, Literal):
            return None
        steps.append(expr.key.value)
        expr = expr.base
    return (expr.name, tuple(reversed(steps))) if isinstance(expr, Name) else None
