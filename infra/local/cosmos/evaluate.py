"""Expressions of a query as Python functions of an environment.

An environment is a list: place 0 for the results of aggregates, then the value of each alias of FROM and JOIN.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import syntax as s
from .errors import bad_request
from .functions import AGGREGATES, find_function
from .values import NUMBER, UNDEFINED, compare, rank

Env = list[Any]
Evaluator = Callable[[Env], Any]
Rows = Callable[[Env], Iterator[Any]]
RowsCompiler = Callable[[s.Query, "Scope"], Rows]

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": lambda left, right: left - right * int(left / right),
}


@dataclass
class Scope:
    """What names mean where an expression stands."""

    params: Mapping[str, Any]
    compile_rows: RowsCompiler
    slots: dict[str, int] = field(default_factory=dict)
    size: int = 1
    group: tuple[s.Expr, ...] = ()
    aggregates: list[tuple[str, Evaluator]] | None = None
    """Where a clause that aggregates collects its aggregate calls; None elsewhere."""

    def inner(self) -> Scope:
        """A scope for a clause or subquery within this one, in which nothing is aggregated."""
        return Scope(self.params, self.compile_rows, dict(self.slots), self.size)

    def bind(self, alias: str) -> int:
        """Give a new alias its place in the environment."""
        self.slots[alias] = self.size
        self.size += 1
        return self.size - 1


def constant(expr: s.Expr, params: Mapping[str, Any]) -> Any:
    """The value of a literal or parameter. Raises a 400 for a parameter that is not given, KeyError for the rest."""
    if isinstance(expr, s.Literal):
        return expr.value
    if isinstance(expr, s.Param):
        if expr.name not in params:
            raise bad_request(f"The parameter {expr.name} has no value.")
        return params[expr.name]
    raise KeyError


def compile_expr(expr: s.Expr, scope: Scope) -> Evaluator:
    """The expression as a function. Raises a 400 for unknown names, functions and misplaced aggregates."""
    if scope.aggregates is not None and expr in scope.group:
        scope = scope.inner()
    return _COMPILERS[type(expr)](expr, scope)


def _constant(expr: s.Expr, scope: Scope) -> Evaluator:
    value = constant(expr, scope.params)
    return lambda _: value


def _name(expr: s.Name, scope: Scope) -> Evaluator:
    if expr.name not in scope.slots:
        raise bad_request(f"Identifier '{expr.name}' could not be resolved.")
    if scope.aggregates is not None:
        raise bad_request(f"'{expr.name}' must be in an aggregate function or in the GROUP BY clause.")
    return operator.itemgetter(scope.slots[expr.name])


def _member(expr: s.Member, scope: Scope) -> Evaluator:
    base, key = compile_expr(expr.base, scope), constant(expr.key, scope.params)
    if isinstance(key, str):

        def of_object(env: Env) -> Any:
            value = base(env)
            return value.get(key, UNDEFINED) if type(value) is dict else UNDEFINED

        return of_object
    if isinstance(key, bool) or not isinstance(key, int):
        raise bad_request("Only strings and whole numbers may stand in brackets.")

    def of_array(env: Env) -> Any:
        value = base(env)
        return value[key] if type(value) is list and 0 <= key < len(value) else UNDEFINED

    return of_array


def _not(expr: s.Not, scope: Scope) -> Evaluator:
    operand = compile_expr(expr.operand, scope)

    def negation(env: Env) -> Any:
        value = operand(env)
        return not value if value is True or value is False else UNDEFINED

    return negation


def _junction(decisive: bool) -> Callable[[s.And | s.Or, Scope], Evaluator]:
    def compile_junction(expr: s.And | s.Or, scope: Scope) -> Evaluator:
        parts = [compile_expr(part, scope) for part in expr.parts]

        def junction(env: Env) -> Any:
            result: Any = not decisive
            for part in parts:
                value = part(env)
                if value is decisive:
                    return decisive
                if value is not True and value is not False:
                    result = UNDEFINED
            return result

        return junction

    return compile_junction


def _compare(expr: s.Compare, scope: Scope) -> Evaluator:
    left, right, relation = compile_expr(expr.left, scope), compile_expr(expr.right, scope), expr.relation
    if relation == "!=" and any(_is_null(side, scope) for side in (expr.left, expr.right)):
        raise bad_request(
            "'!= null' is not supported by this emulator: write NOT IS_NULL(...) or IS_DEFINED(...)."
        )
    return lambda env: compare(relation, left(env), right(env))


def _is_null(expr: s.Expr, scope: Scope) -> bool:
    return isinstance(expr, s.Literal | s.Param) and constant(expr, scope.params) is None


def _in(expr: s.In, scope: Scope) -> Evaluator:
    if all(isinstance(option, s.Literal | s.Param) for option in expr.options):
        values = [constant(option, scope.params) for option in expr.options]
        if all(isinstance(value, str) for value in values):
            return _in_strings(compile_expr(expr.item, scope), frozenset(values))
    return compile_expr(s.Or(tuple(s.Compare("=", expr.item, option) for option in expr.options)), scope)


def _in_strings(item: Evaluator, values: frozenset[str]) -> Evaluator:
    def is_in(env: Env) -> Any:
        value = item(env)
        return value in values if type(value) is str else UNDEFINED

    return is_in


def _between(expr: s.Between, scope: Scope) -> Evaluator:
    both = (s.Compare(">=", expr.item, expr.low), s.Compare("<=", expr.item, expr.high))
    return compile_expr(s.And(both), scope)


def _like(expr: s.Like, scope: Scope) -> Evaluator:
    item, pattern = compile_expr(expr.item, scope), compile_expr(expr.pattern, scope)

    def like(env: Env) -> Any:
        value, wanted = item(env), pattern(env)
        if not isinstance(value, str) or not isinstance(wanted, str):
            return UNDEFINED
        return re.fullmatch(_like_pattern(wanted, expr.escape), value, re.DOTALL) is not None

    return like


def _like_pattern(pattern: str, escape: str | None) -> str:
    parts, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, "")))
        elif character in "[]^":
            raise bad_request("Character sets in LIKE are not supported by this emulator.")
        else:
            parts.append({"%": ".*", "_": "."}.get(character, re.escape(character)))
    return "".join(parts)


def _arithmetic(expr: s.Arithmetic, scope: Scope) -> Evaluator:
    left, right = compile_expr(expr.left, scope), compile_expr(expr.right, scope)

    def concat(env: Env) -> Any:
        one, other = left(env), right(env)
        return one + other if isinstance(one, str) and isinstance(other, str) else UNDEFINED

    def calculate(env: Env) -> Any:
        one, other = left(env), right(env)
        if rank(one) != NUMBER or rank(other) != NUMBER or (other == 0 and expr.operator in "/%"):
            return UNDEFINED
        return _ARITHMETIC[expr.operator](one, other)

    return concat if expr.operator == "||" else calculate


def _ternary(expr: s.Ternary, scope: Scope) -> Evaluator:
    condition, yes, no = (compile_expr(part, scope) for part in (expr.condition, expr.yes, expr.no))
    return lambda env: yes(env) if condition(env) is True else no(env)


def _coalesce(expr: s.Coalesce, scope: Scope) -> Evaluator:
    parts = [compile_expr(part, scope) for part in expr.parts]
    return lambda env: next((value for part in parts if (value := part(env)) is not UNDEFINED), UNDEFINED)


def _call(expr: s.Call, scope: Scope) -> Evaluator:
    if expr.function in AGGREGATES:
        return _aggregate(expr, scope)
    function = find_function(expr.function, len(expr.arguments))
    if function is None:
        raise bad_request(
            f"The function {expr.function} with {len(expr.arguments)} arguments is not supported by this emulator."
        )
    arguments = [compile_expr(argument, scope) for argument in expr.arguments]
    if len(arguments) == 1:
        only = arguments[0]
        return lambda env: function(only(env))
    return lambda env: function(*[argument(env) for argument in arguments])


def _aggregate(expr: s.Call, scope: Scope) -> Evaluator:
    if scope.aggregates is None or len(expr.arguments) != 1:
        raise bad_request(
            f"The aggregate {expr.function} is not supported here; it takes one argument, in SELECT."
        )
    place = len(scope.aggregates)
    scope.aggregates.append((expr.function, compile_expr(expr.arguments[0], scope.inner())))
    return lambda env: env[0][place]


def _object(expr: s.ObjectOf, scope: Scope) -> Evaluator:
    return compile_object([(name, compile_expr(part, scope)) for name, part in expr.properties])


def compile_object(properties: list[tuple[str, Evaluator]]) -> Evaluator:
    """An object of those properties, without the undefined ones."""
    return lambda env: {name: value for name, part in properties if (value := part(env)) is not UNDEFINED}


def _array(expr: s.ArrayOf, scope: Scope) -> Evaluator:
    parts = [compile_expr(part, scope) for part in expr.items]
    return lambda env: [value for part in parts if (value := part(env)) is not UNDEFINED]


def _subquery(expr: s.Subquery, scope: Scope) -> Evaluator:
    rows = scope.compile_rows(expr.query, scope.inner())
    if expr.kind == "EXISTS":
        return lambda env: next(rows(env), UNDEFINED) is not UNDEFINED
    if expr.kind == "ARRAY":
        return lambda env: list(rows(env))

    def scalar(env: Env) -> Any:
        values = list(rows(env))
        if len(values) > 1:
            raise bad_request("A scalar subquery returned more than one value.")
        return values[0] if values else UNDEFINED

    return scalar


_COMPILERS: dict[type[s.Expr], Callable[[Any, Scope], Evaluator]] = {
    s.Literal: _constant,
    s.Param: _constant,
    s.Name: _name,
    s.Member: _member,
    s.Not: _not,
    s.And: _junction(decisive=False),
    s.Or: _junction(decisive=True),
    s.Compare: _compare,
    s.In: _in,
    s.Between: _between,
    s.Like: _like,
    s.Arithmetic: _arithmetic,
    s.Ternary: _ternary,
    s.Coalesce: _coalesce,
    s.Call: _call,
    s.ObjectOf: _object,
    s.ArrayOf: _array,
    s.Subquery: _subquery,
}
