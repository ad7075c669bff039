"""Query text to syntax tree."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from . import syntax as s
from .errors import CosmosError, bad_request
from .values import UNDEFINED


@lru_cache(maxsize=2048)
def parse(text: str) -> s.Query:
    """The syntax tree of a query. Raises a 400 for what is not in the grammar."""
    return _parse(text, "query")


@lru_cache(maxsize=2048)
def parse_condition(text: str) -> s.Query:
    """The condition of a patch, ``FROM c WHERE ...``, as a query for the constant 1. Raises a 400."""
    return _parse(f"SELECT VALUE 1 {text}", "query")


def _parse(text: str, start: str) -> s.Query:
    try:
        tree = _LARK.parse(text, start=start)
        query: s.Query = _Builder().transform(tree)
    except UnexpectedInput as error:
        raise bad_request(
            f"Syntax error, or syntax this emulator does not support, near line {error.line}, column {error.column}: "
            f"{error.get_context(text, 30).strip()}"
        ) from None
    except VisitError as error:
        if isinstance(error.orig_exc, CosmosError):
            raise error.orig_exc from None
        raise
    return query


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    def query(self, distinct: Any, top: Any, selection: Any, *rest: Any) -> s.Query:
        sources, where, group, order, limit = rest
        value, items = selection
        return s.Query(
            distinct=distinct is not None,
            top=top,
            value=value,
            items=items,
            sources=sources or (),
            where=where,
            group=group or (),
            order=order or (),
            offset=limit[0] if limit else None,
            limit=limit[1] if limit else None,
        )

    def top(self, number: s.Expr) -> s.Expr:
        return number

    def star(self) -> tuple[None, None]:
        return None, None

    def select_value(self, expr: s.Expr) -> tuple[s.Expr, None]:
        return expr, None

    def select_list(self, *items: tuple[str | None, s.Expr]) -> tuple[None, tuple[tuple[str, s.Expr], ...]]:
        named, unnamed = [], 0
        for name, expr in items:
            if name is None:
                unnamed += 1
            named.append((name or f"${unnamed}", expr))
        if len({name for name, _ in named}) < len(named):
            raise bad_request("A property name occurs more than once in the SELECT clause.")
        return None, tuple(named)

    def select_item(self, expr: s.Expr, alias: Token | None) -> tuple[str | None, s.Expr]:
        if alias is not None:
            return str(alias), expr
        if isinstance(expr, s.Member) and isinstance(expr.key, s.Literal) and isinstance(expr.key.value, str):
            return expr.key.value, expr
        return (expr.name if isinstance(expr, s.Name) else None), expr

    def from_(self, *sources: s.Source) -> tuple[s.Source, ...]:
        return sources

    def iterate(self, alias: Token, collection: Any) -> s.Source:
        return s.Source(str(alias), collection, iterate=True)

    def single(self, collection: Any, alias: Token | None) -> s.Source:
        if alias is not None:
            return s.Source(str(alias), collection, iterate=False)
        path = None if isinstance(collection, s.Query) else s.path_of(collection)
        return s.Source(str([path[0], *path[1]][-1]) if path else None, collection, iterate=False)

    def where(self, expr: s.Expr) -> s.Expr:
        return expr

    def group(self, *exprs: s.Expr) -> tuple[s.Expr, ...]:
        return exprs

    def order(self, *items: tuple[s.Expr, bool]) -> tuple[tuple[s.Expr, bool], ...]:
        return items

    def order_item(self, expr: s.Expr, direction: Token | None) -> tuple[s.Expr, bool]:
        return expr, direction is not None and direction.type == "DESC"

    def limit(self, offset: s.Expr, limit: s.Expr) -> tuple[s.Expr, s.Expr]:
        return offset, limit

    def ternary(self, condition: s.Expr, yes: s.Expr, no: s.Expr) -> s.Expr:
        return s.Ternary(condition, yes, no)

    def coalesce(self, *parts: s.Expr) -> s.Expr:
        return s.Coalesce(parts)

    def or_(self, *parts: s.Expr) -> s.Expr:
        return s.Or(parts)

    def and_(self, *parts: s.Expr) -> s.Expr:
        return s.And(parts)

    def not_(self, operand: s.Expr) -> s.Expr:
        return s.Not(operand)

    def compare(self, left: s.Expr, relation: Token, right: s.Expr) -> s.Expr:
        return s.Compare("!=" if relation == "<>" else str(relation), left, right)

    def in_(self, item: s.Expr, negated: Token | None, *options: s.Expr) -> s.Expr:
        return _negated(s.In(item, options), negated)

    def between(self, item: s.Expr, negated: Token | None, low: s.Expr, high: s.Expr) -> s.Expr:
        return _negated(s.Between(item, low, high), negated)

    def like(self, item: s.Expr, negated: Token | None, pattern: s.Expr, escape: s.Literal | None) -> s.Expr:
        return _negated(s.Like(item, pattern, escape.value if escape else None), negated)

    def arithmetic(self, left: s.Expr, operator: Token, right: s.Expr) -> s.Expr:
        return s.Arithmetic(str(operator), left, right)

    def negative(self, _: Token, operand: s.Expr) -> s.Expr:
        if isinstance(operand, s.Literal) and isinstance(operand.value, int | float):
            return s.Literal(-operand.value)
        return s.Arithmetic("-", s.Literal(0), operand)

    def positive(self, _: Token, operand: s.Expr) -> s.Expr:
        return operand

    def true(self) -> s.Expr:
        return s.Literal(True)

    def false(self) -> s.Expr:
        return s.Literal(False)

    def null(self) -> s.Expr:
        return s.Literal(None)

    def undefined(self) -> s.Expr:
        return s.Literal(UNDEFINED)

    def name(self, name: Token) -> s.Expr:
        return s.Name(str(name))

    def call(self, function: Token, *arguments: s.Expr | None) -> s.Expr:
        return s.Call(function.upper(), tuple(part for part in arguments if part is not None))

    def user_function(self, _: s.Expr, function: Token, *__: Any) -> s.Expr:
        raise bad_request(f"User-defined functions are not supported by this emulator: {function}")

    def member(self, base: s.Expr, key: Token) -> s.Expr:
        return s.Member(base, s.Literal(str(key)))

    def element(self, base: s.Expr, key: s.Expr) -> s.Expr:
        return s.Member(base, key)

    def exists(self, query: s.Query) -> s.Expr:
        return s.Subquery("EXISTS", query)

    def array_of(self, query: s.Query) -> s.Expr:
        return s.Subquery("ARRAY", query)

    def scalar(self, query: s.Query) -> s.Expr:
        return s.Subquery("SCALAR", query)

    def object(self, *properties: tuple[str, s.Expr] | None) -> s.Expr:
        return s.ObjectOf(tuple(part for part in properties if part is not None))

    def property(self, name: Token, expr: s.Expr) -> tuple[str, s.Expr]:
        return (_unquote(name) if name.type == "STRING" else str(name)), expr

    def array(self, *items: s.Expr | None) -> s.Expr:
        return s.ArrayOf(tuple(part for part in items if part is not None))

    def number(self, token: Token) -> s.Expr:
        return s.Literal(int(token) if token.type == "INTEGER" else float(token))

    def integer(self, token: Token) -> s.Expr:
        return s.Literal(int(token))

    def string(self, token: Token) -> s.Expr:
        return s.Literal(_unquote(token))

    def param(self, token: Token) -> s.Expr:
        return s.Param(str(token))


setattr(_Builder, "from", _Builder.from_)


def _negated(expr: s.Expr, negated: Token | None) -> s.Expr:
    return expr if negated is None else s.Not(expr)


def _unquote(token: str) -> str:
    body = token[1:-1].replace("\\'", "'")
    if token[0] == "'":
        body = body.replace('\\"', '"').replace('"', '\\"')
    try:
        return str(orjson.loads(f'"{body}"'))
    except orjson.JSONDecodeError:
        raise bad_request(f"The string literal {token} is invalid.") from None


_LARK = Lark(
    (Path(__file__).parent / "grammar.lark").read_text(),
    parser="lalr",
    start=["query"],
    maybe_placeholders=True,
)
