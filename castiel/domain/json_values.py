"""What it means for two JSON values to be the same: numbers by value, booleans never numbers, keys in any order."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: ``1 == 1.0``, ``True != 1``, NaN equals itself."""
    if left is right:
        return True
    if isinstance(left, str) or isinstance(right, str) or left is None or right is None:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (_is_nan(left) and _is_nan(right))


def identity(value: Any) -> Hashable:
    """A hashable stand-in: two values have equal identities exactly when they are the ``same``."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, Mapping):
        return ("object", frozenset((key, identity(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(identity(item) for item in value))
    if _is_nan(value):
        return ("number", "nan")
    return ("value", value)


def is_empty(value: Any) -> bool:
    """Whether a value says nothing: ``None``, blank text, an empty list or object. ``0`` and ``False`` do say something."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, (list, tuple, Mapping)) and not value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
