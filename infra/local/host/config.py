"""host.json: the part of it that this host obeys, with the platform's defaults."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.host.errors import ConfigurationError

_OVERRIDE_PREFIX = "azurefunctionsjobhost__"
_TIME_SPAN = re.compile(
    r"^(?:(?P<days>\d+)\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{2}):(?P<seconds>\d{2}(?:\.\d+)?)$"
)


@dataclass(frozen=True)
class ServiceBusOptions:
    """``extensions.serviceBus``; durations in seconds.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus#hostjson-settings
    """

    auto_complete: bool = True
    prefetch_count: int = 0
    max_concurrent_calls: int = 16
    max_auto_lock_renewal: float = 300.0
    max_message_batch_size: int = 1000


@dataclass(frozen=True)
class HostConfig:
    """What of host.json matters here; ``function_timeout`` in seconds, None for no limit.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-host-json
    """

    function_timeout: float | None
    route_prefix: str
    service_bus: ServiceBusOptions


def load_host_config(path: Path, environment: Mapping[str, str] = os.environ) -> HostConfig:
    """Read host.json with its ``AzureFunctionsJobHost__a__b`` overrides from the environment.

    Raises:
        ConfigurationError: the file is missing or malformed.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    if document.get("version") != "2.0":
        raise ConfigurationError(f'{path} must say "version": "2.0"')
    tree = _lowered(document)
    _apply_overrides(tree, environment)
    return _from_tree(tree)


def _from_tree(tree: dict[str, Any]) -> HostConfig:
    extensions = tree.get("extensions", {})
    bus, defaults = extensions.get("servicebus", {}), ServiceBusOptions()
    return HostConfig(
        function_timeout=_timeout(tree.get("functiontimeout", "00:30:00")),
        route_prefix=str(extensions.get("http", {}).get("routeprefix", "api")).strip("/"),
        service_bus=ServiceBusOptions(
            auto_complete=_boolean(bus.get("autocompletemessages", defaults.auto_complete)),
            prefetch_count=int(bus.get("prefetchcount", defaults.prefetch_count)),
            max_concurrent_calls=int(bus.get("maxconcurrentcalls", defaults.max_concurrent_calls)),
            max_auto_lock_renewal=_seconds(
                bus.get("maxautolockrenewalduration", defaults.max_auto_lock_renewal)
            ),
            max_message_batch_size=int(bus.get("maxmessagebatchsize", defaults.max_message_batch_size)),
        ),
    )


def _lowered(value: Any) -> Any:
    """Lower every key: .NET configuration ignores case."""
    if isinstance(value, dict):
        return {key.lower(): _lowered(item) for key, item in value.items()}
    return value


def _apply_overrides(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not name.lower().startswith(_OVERRIDE_PREFIX):
            continue
        *parents, leaf = name.lower().removeprefix(_OVERRIDE_PREFIX).split("__")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value


def _timeout(value: object) -> float | None:
    return None if str(value).strip() == "-1" else _seconds(value)


def _seconds(value: object) -> float:
    if isinstance(value, float):
        return value
    match = _TIME_SPAN.match(str(value).strip())
    if match is None:
        raise ConfigurationError(f"{value!r} is not a time span such as 00:10:00")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _boolean(value: object) -> bool:
    return str(value).strip().lower() == "true"
