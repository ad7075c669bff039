"""Route templates of HTTP triggers, as ASP.NET Core's router reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from infra.local.host.errors import IndexingError
from infra.local.host.indexing import IndexedFunction

_PARAMETER = re.compile(r"^\{(?P<star>\*{0,2})(?P<name>\w+)(?P<optional>\??)\}$")
# Literals come before parameters and these before catch-alls, segment by segment.
_LITERAL, _VALUE, _REST = 0, 1, 2


@dataclass(frozen=True)
class Route:
    """One HTTP function with its compiled template; ``methods`` is None when every method is taken."""

    function: IndexedFunction
    template: str
    pattern: re.Pattern[str]
    precedence: tuple[int, ...]
    methods: frozenset[str] | None

    def values(self, raw_path: str) -> dict[str, str] | None:
        """Return the route values of a still escaped path, or None when it does not match."""
        match = self.pattern.match(raw_path.strip("/"))
        if match is None:
            return None
        return {name: _unescape(value) for name, value in match.groupdict().items() if value}


def _unescape(value: str) -> str:
    """Unescape all but the escaped slash, which would otherwise change the number of segments."""
    return "%2F".join(unquote(part) for part in re.split("%2F", value, flags=re.IGNORECASE))


def compile_route(function: IndexedFunction, prefix: str) -> Route:
    """Build the route of an HTTP function below host.json's ``routePrefix``.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#customize-the-http-endpoint

    Raises:
        IndexingError: the template uses something this host does not know (constraints, defaults, mixed segments).
    """
    route = function.trigger.get("route") or function.name
    template = "/".join(part for part in (prefix, route.strip("/")) if part)
    methods = function.trigger.get("methods")
    expression, precedence = "", []
    for segment in template.split("/"):
        part, rank = _segment(segment, function.name, first=not expression)
        expression += part
        precedence.append(rank)
    return Route(
        function=function,
        template=template,
        pattern=re.compile(f"^{expression}$", re.IGNORECASE),
        precedence=tuple(precedence),
        methods=frozenset(str(method).upper() for method in methods) if methods else None,
    )


def _segment(segment: str, function: str, *, first: bool) -> tuple[str, int]:
    slash = "" if first else "/"
    if "{" not in segment:
        return slash + re.escape(segment), _LITERAL
    match = _PARAMETER.match(segment)
    if match is None:
        raise IndexingError(f"{function}: this host does not know the route segment {segment!r}")
    if match["star"]:
        return f"(?:{slash}(?P<{match['name']}>.*))?", _REST
    if match["optional"]:
        return f"(?:{slash}(?P<{match['name']}>[^/]+))?", _VALUE
    return f"{slash}(?P<{match['name']}>[^/]+)", _VALUE


class RouteTable:
    """All HTTP functions, most specific template first."""

    def __init__(self, functions: Iterable[IndexedFunction], prefix: str) -> None:
        routes = [compile_route(function, prefix) for function in functions]
        self.routes = sorted(routes, key=lambda route: (route.precedence, route.template))

    def find(self, method: str, raw_path: str) -> tuple[IndexedFunction, dict[str, str]] | None:
        """Return the function for a request and its route values, or None.

        A known path with another method finds nothing either: the platform answers 404, not 405
        (https://github.com/Azure/azure-functions-host/issues/10098).
        """
        for route in self.routes:
            if route.methods is not None and method.upper() not in route.methods:
                continue
            values = route.values(raw_path)
            if values is not None:
                return route.function, values
        return None
