"""Which events a topic accepts: CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).

Event Grid's demands on them: https://learn.microsoft.com/azure/event-grid/cloud-event-schema
"""

from __future__ import annotations

import datetime
import re
from typing import Any

_REQUIRED = ("id", "source", "specversion", "type")
_OPTIONAL_TEXT = ("subject", "time", "datacontenttype", "dataschema", "data_base64")
_DATA = ("data", "data_base64")
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]+")


def problem_with(event: object) -> str | None:
    """Why an event is not a CloudEvent 1.0, in words, or None if it is one."""
    if not isinstance(event, dict):
        return "an event must be a JSON object"
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            return f"the required attribute '{name}' is missing or not a non-empty string"
    if event["specversion"] != "1.0":
        return f"specversion '{event['specversion']}' is not supported; it must be '1.0'"
    for name in _OPTIONAL_TEXT:
        if event.get(name) is not None and not isinstance(event[name], str):
            return f"the attribute '{name}' must be a string"
    if all(event.get(name) is not None for name in _DATA):
        return "'data' and 'data_base64' exclude each other"
    if event.get("time") is not None and not _is_timestamp(event["time"]):
        return "'time' must be an RFC 3339 timestamp"
    return _problem_with_extensions(event)


def _problem_with_extensions(event: dict[str, Any]) -> str | None:
    for name in event.keys() - {*_REQUIRED, *_OPTIONAL_TEXT, *_DATA}:
        if not _ATTRIBUTE_NAME.fullmatch(name):
            return f"the extension attribute '{name}' must be lower-case letters and digits"
        if not isinstance(event[name], (str, int, float, bool, type(None))):
            return f"the extension attribute '{name}' must be a simple value"
    return None


def _is_timestamp(text: str) -> bool:
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
