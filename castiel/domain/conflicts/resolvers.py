"""The named functions of the ``custom`` strategy that Castiel brings along. An app may pass more of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from castiel.domain.conflicts.versions import FieldVersions
from castiel.domain.json_values import is_empty


class _Unresolved(Enum):
    UNRESOLVED = "unresolved"


UNRESOLVED: Final = _Unresolved.UNRESOLVED
"""What a resolver returns when it can't decide: the field then waits for a person, as under ``manual``."""

Resolver = Callable[[FieldVersions], Any]
"""Decides one field. Pure; the value it returns is stored here and pushed there."""


def non_empty(versions: FieldVersions) -> Any:
    """The side that says something; the newest if both do."""
    if is_empty(versions.local) != is_empty(versions.external):
        return versions.external if is_empty(versions.local) else versions.local
    return versions.newest


def longest(versions: FieldVersions) -> Any:
    """The longer text or list; the newest if they are equally long or of other types."""
    local, external = versions.local, versions.external
    if isinstance(local, (str, list)) and isinstance(external, type(local)) and len(local) != len(external):
        return local if len(local) > len(external) else external
    return non_empty(versions)


def highest(versions: FieldVersions) -> Any:
    """The greater number, or the later of two RFC 3339 texts of one form; for a person if they can't be compared."""
    if (ordered := _ordered(versions)) is None:
        return UNRESOLVED
    return ordered[1]


def lowest(versions: FieldVersions) -> Any:
    """The smaller number, or the earlier of two RFC 3339 texts of one form; for a person if they can't be compared."""
    if (ordered := _ordered(versions)) is None:
        return UNRESOLVED
    return ordered[0]


def true_wins(versions: FieldVersions) -> Any:
    """``True`` if either side says so: for an opt-out, where a wrong ``False`` costs more."""
    return True if True in _booleans(versions) else versions.newest


def false_wins(versions: FieldVersions) -> Any:
    """``False`` if either side says so: for a consent, where a wrong ``True`` costs more."""
    return False if False in _booleans(versions) else versions.newest


BUILT_IN: Final[Mapping[str, Resolver]] = MappingProxyType(
    {
        "non_empty": non_empty,
        "longest": longest,
        "highest": highest,
        "lowest": lowest,
        "true_wins": true_wins,
        "false_wins": false_wins,
    }
)


def _booleans(versions: FieldVersions) -> list[bool]:
    return [value for value in (versions.local, versions.external) if isinstance(value, bool)]


def _ordered(versions: FieldVersions) -> tuple[Any, Any] | None:
    local, external = versions.local, versions.external
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in (local, external)
    )
    texts = isinstance(local, str) and isinstance(external, str)
    if not numbers and not texts:
        return None
    return (local, external) if local <= external else (external, local)
