"""The built-in functions that the emulator knows; any other is refused with a 400.

Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/system-functions. Unless a page says otherwise, an
argument of the wrong type makes the result undefined.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .values import ARRAY, BOOLEAN, NULL, NUMBER, OBJECT, STRING, UNDEFINED, equal, rank

AGGREGATES = frozenset({"COUNT", "SUM", "MIN", "MAX", "AVG"})

TYPE_CHECKS: dict[str, tuple[int, ...]] = {
    "IS_DEFINED": (NULL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT),
    "IS_NULL": (NULL,),
    "IS_BOOL": (BOOLEAN,),
    "IS_NUMBER": (NUMBER,),
    "IS_STRING": (STRING,),
    "IS_ARRAY": (ARRAY,),
    "IS_OBJECT": (OBJECT,),
    "IS_PRIMITIVE": (NULL, BOOLEAN, NUMBER, STRING),
}
"""Functions that ask for the type of their argument; they answer true or false, never undefined."""

Function = Callable[..., Any]


def array_contains(array: Any, value: Any, partial: Any = False) -> Any:
    """ARRAY_CONTAINS: whether an element equals the value, or with ``partial`` has its properties."""
    if not isinstance(array, list) or value is UNDEFINED:
        return UNDEFINED
    matches = _has if partial is True and isinstance(value, dict) else equal
    return any(matches(element, value) for element in array)


def _has(element: Any, part: dict[str, Any]) -> bool:
    return isinstance(element, dict) and all(
        key in element
        and (_has(element[key], value) if isinstance(value, dict) else equal(element[key], value))
        for key, value in part.items()
    )


def _on_strings(decide: Callable[[str, str], bool]) -> Function:
    def function(text: Any, part: Any, ignore_case: Any = False) -> Any:
        if not isinstance(text, str) or not isinstance(part, str):
            return UNDEFINED
        return decide(text.lower(), part.lower()) if ignore_case is True else decide(text, part)

    return function


def _string(change: Callable[[str], Any]) -> Function:
    return lambda text: change(text) if isinstance(text, str) else UNDEFINED


def _number(change: Callable[[float], Any]) -> Function:
    return lambda value: change(value) if rank(value) == NUMBER else UNDEFINED


def _concat(*parts: Any) -> Any:
    return "".join(parts) if all(isinstance(part, str) for part in parts) else UNDEFINED


def _round(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value) if isinstance(value, float) else value


_FUNCTIONS: dict[str, tuple[int, int, Function]] = {
    "ARRAY_CONTAINS": (2, 3, array_contains),
    "ARRAY_LENGTH": (1, 1, lambda array: len(array) if isinstance(array, list) else UNDEFINED),
    "STARTSWITH": (2, 3, _on_strings(str.startswith)),
    "ENDSWITH": (2, 3, _on_strings(str.endswith)),
    "CONTAINS": (2, 3, _on_strings(str.__contains__)),
    "STRINGEQUALS": (2, 3, _on_strings(str.__eq__)),
    "LOWER": (1, 1, _string(str.lower)),
    "UPPER": (1, 1, _string(str.upper)),
    "TRIM": (1, 1, _string(str.strip)),
    "LENGTH": (1, 1, _string(len)),
    "CONCAT": (2, 100, _concat),
    "ABS": (1, 1, _number(abs)),
    "FLOOR": (1, 1, _number(math.floor)),
    "CEILING": (1, 1, _number(math.ceil)),
    "ROUND": (1, 1, _number(_round)),
}


def _type_check(ranks: tuple[int, ...]) -> Function:
    return lambda value: rank(value) in ranks


for _name, _ranks in TYPE_CHECKS.items():
    _FUNCTIONS[_name] = (1, 1, _type_check(_ranks))


def find_function(name: str, arguments: int) -> Function | None:
    """The function of that name that takes that many arguments, or None."""
    least, most, function = _FUNCTIONS.get(name, (1, 0, array_contains))
    return function if least <= arguments <= most else None
