"""Named functions that an installation adds by entry points: conflict resolvers and match functions.

A package offers them in its metadata (https://packaging.python.org/specifications/entry-points/)::

    [project.entry-points."castiel.resolvers"]
    longest_note = "our_package.resolvers:longest_note"

What such a function does wrong must not keep a connection from being synced: a resolver that raises, or returns what
is no JSON value, has settled nothing, and the field waits for a person; a match function that does has found nothing
alike. Both are logged, without the values.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from importlib.metadata import entry_points
from typing import Any

from castiel.domain.conflicts import BUILT_IN, UNRESOLVED, FieldVersions, Resolver
from castiel.domain.matching import MatchFunction
from castiel.errors import ConfigurationError

logger = logging.getLogger(__name__)

RESOLVERS = "castiel.resolvers"
MATCHERS = "castiel.matchers"


def load_resolvers() -> dict[str, Resolver]:
    """Castiel's own resolvers and the installed ones. Raises :class:`ConfigurationError` for one that can't be used."""
    installed = _installed(RESOLVERS, taken=BUILT_IN)
    return {**BUILT_IN, **{name: _careful_resolver(name, function) for name, function in installed.items()}}


def load_matchers() -> dict[str, MatchFunction]:
    """The installed match functions. Raises :class:`ConfigurationError` for one that can't be used."""
    installed = _installed(MATCHERS, taken={})
    return {name: _careful_matcher(name, function) for name, function in installed.items()}


def _careful_resolver(name: str, function: Callable[..., Any]) -> Resolver:
    @wraps(function)
    def resolve(versions: FieldVersions) -> Any:
        try:
            value = function(versions)
            return value if value is UNRESOLVED else json.loads(json.dumps(value, allow_nan=False))
        except Exception as error:  # noqa: BLE001 - it is anybody's code, and may raise anything
            _log_failure(RESOLVERS, name, error)
            return UNRESOLVED

    return resolve


def _careful_matcher(name: str, function: Callable[..., Any]) -> MatchFunction:
    @wraps(function)
    def compare(one: Any, other: Any) -> float:
        try:
            return float(function(one, other))
        except Exception as error:  # noqa: BLE001 - it is anybody's code, and may raise anything
            _log_failure(MATCHERS, name, error)
            return 0.0

    return compare


def _log_failure(group: str, name: str, error: Exception) -> None:
    # The error's text may hold values.
    logger.error("function '%s' of %s failed: %s", name, group, type(error).__name__)


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
