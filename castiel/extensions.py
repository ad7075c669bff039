"""Named functions that an installation adds by entry points: conflict resolvers and match functions.

A package offers them in its metadata (https://packaging.python.org/specifications/entry-points/)::

    [project.entry-points."castiel.resolvers"]
    longest_note = "our_package.resolvers:longest_note"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, cast

from castiel.domain.conflicts import BUILT_IN, Resolver
from castiel.domain.matching import MatchFunction
from castiel.errors import ConfigurationError

RESOLVERS = "castiel.resolvers"
MATCHERS = "castiel.matchers"


def load_resolvers() -> dict[str, Resolver]:
    """Castiel's own resolvers and the installed ones. Raises :class:`ConfigurationError` for one that can't be used."""
    return {**BUILT_IN, **cast("Mapping[str, Resolver]", _installed(RESOLVERS, taken=BUILT_IN))}


def load_matchers() -> dict[str, MatchFunction]:
    """The installed match functions. Raises :class:`ConfigurationError` for one that can't be used."""
    return cast("dict[str, MatchFunction]", _installed(MATCHERS, taken={}))


def _installed(group: str, *, taken: Mapping[str, object]) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    values: dict[str, str] = {}
    for point in entry_points(group=group):
        where = f"entry point '{point.name}' of group {group} ({point.value})"
        if point.name in taken or values.get(point.name, point.value) != point.value:
            raise ConfigurationError(f"{where}: the name is taken; choose another")
        try:
            function = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"{where}: it can't be imported ({error})") from error
        if not callable(function):
            raise ConfigurationError(f"{where}: it is no function")
        found[point.name], values[point.name] = function, point.value
    return found
