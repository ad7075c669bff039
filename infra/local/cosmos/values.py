"""Values of the query language: JSON plus *undefined*, compared and ordered as the service does.

Sources: https://learn.microsoft.com/azure/cosmos-db/nosql/query/equality-comparison-operators,
https://learn.microsoft.com/azure/cosmos-db/nosql/query/order-by (undefined, null, booleans, numbers, strings, arrays,
objects, in this order).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final


class _Undefined:
    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = _Undefined()

NULL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT = range(1, 7)
_RANKS = {type(None): NULL, bool: BOOLEAN, int: NUMBER, float: NUMBER, str: STRING, list: ARRAY, dict: OBJECT}
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def rank(value: Any) -> int:
    """The place of the value's type in the order of types; 0 for undefined."""
    return _RANKS.get(type(value), 0)


def equal(left: Any, right: Any) -> bool:
    """Whether two values of any depth are the same JSON value (1 equals 1.0; true does not equal 1)."""
    kind = rank(left)
    if kind != rank(right):
        return False
    if kind == ARRAY:
        return len(left) == len(right) and all(map(equal, left, right))
    if kind == OBJECT:
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def compare(relation: str, left: Any, right: Any) -> Any:
    """``left relation right``: a bool, or UNDEFINED across types (and between two arrays or objects for ``<``...)."""
    kind = rank(left)
    if kind == 0 or kind != rank(right):
        return UNDEFINED
    if relation == "=":
        return equal(left, right)
    if relation == "!=":
        return not equal(left, right)
    if kind >= ARRAY:
        return UNDEFINED
    if kind == NULL:
        return relation in ("<=", ">=")
    return _RELATIONS[relation](left, right)


def order_key(value: Any) -> tuple[int, Any]:
    """A key that sorts scalars of mixed types as ORDER BY, MIN and MAX do."""
    kind = rank(value)
    return (kind, 0 if kind <= NULL else value)


def freeze(value: Any) -> Any:
    """A hashable stand-in: equal for values that are the same JSON value, used by DISTINCT and GROUP BY."""
    kind = rank(value)
    if kind == ARRAY:
        return (ARRAY, tuple(map(freeze, value)))
    if kind == OBJECT:
        return (OBJECT, frozenset((key, freeze(member)) for key, member in value.items()))
    return (kind, value)
