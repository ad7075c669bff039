"""Queues and their properties, read from a Config.json of the form Microsoft's emulator takes.

Form and limits: https://learn.microsoft.com/azure/service-bus-messaging/overview-emulator (usage quotas) and
https://github.com/Azure/azure-service-bus-emulator-installer (Config.json). The upper limits are kept so that a
file which works here works there too; lower limits are relaxed, because tests want short locks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

DEFAULT_CONFIG = Path(__file__).with_name("Config.json")
MAX_LOCK = timedelta(minutes=5)
MAX_TIME_TO_LIVE = timedelta(hours=1)
MAX_DUPLICATE_WINDOW = timedelta(minutes=5)
MAX_DELIVERIES = 10

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class ConfigError(ValueError):
    """The configuration file asks for something that cannot be served; the text says which queue and what."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The properties of one queue. Durations in seconds."""

    name: str
    lock_seconds: float = 60.0
    max_delivery_count: int = 10
    time_to_live_seconds: float = 3600.0
    dead_letter_on_expiration: bool = False
    detect_duplicates: bool = False
    duplicate_window_seconds: float = 20.0


def load_config(path: Path = DEFAULT_CONFIG) -> list[QueueSettings]:
    """The queues named in the file at ``path``. Raises ConfigError."""
    try:
        namespaces = json.loads(path.read_text(encoding="utf-8"))["UserConfig"]["Namespaces"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no emulator configuration: {error!r}") from error
    queues: list[QueueSettings] = []
    for namespace in namespaces:
        if namespace.get("Topics"):
            raise ConfigError("topics are not implemented")
        queues.extend(_queue(queue) for queue in namespace.get("Queues", []))
    names = [queue.name.lower() for queue in queues]
    if len(set(names)) != len(names):
        raise ConfigError("two queues have the same name")
    return queues


def parse_duration(text: str) -> timedelta:
    """An ISO 8601 duration of days, hours, minutes and seconds, such as PT1M. Raises ConfigError."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ConfigError(f"not a duration: {text!r}")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _queue(entry: Mapping[str, Any]) -> QueueSettings:
    name, properties = entry["Name"], entry.get("Properties", {})
    for refused in ("RequiresSession", "ForwardTo", "ForwardDeadLetteredMessagesTo"):
        if properties.get(refused):
            raise ConfigError(f"{name}: {refused} is not implemented")
    deliveries = int(properties.get("MaxDeliveryCount", 10))
    if not 1 <= deliveries <= MAX_DELIVERIES:
        raise ConfigError(f"{name}: MaxDeliveryCount must be 1 to {MAX_DELIVERIES}")
    return QueueSettings(
        name=name,
        lock_seconds=_seconds(name, properties, "LockDuration", "PT1M", MAX_LOCK),
        max_delivery_count=deliveries,
        time_to_live_seconds=_seconds(name, properties, "DefaultMessageTimeToLive", "PT1H", MAX_TIME_TO_LIVE),
        dead_letter_on_expiration=bool(properties.get("DeadLetteringOnMessageExpiration", False)),
        detect_duplicates=bool(properties.get("RequiresDuplicateDetection", False)),
        duplicate_window_seconds=_seconds(
            name, properties, "DuplicateDetectionHistoryTimeWindow", "PT20S", MAX_DUPLICATE_WINDOW
        ),
    )


def _seconds(name: str, properties: Mapping[str, Any], key: str, default: str, most: timedelta) -> float:
    duration = parse_duration(properties.get(key, default))
    if not timedelta(0) < duration <= most:
        raise ConfigError(f"{name}: {key} must be more than 0 and at most {most}")
    return duration.total_seconds()
