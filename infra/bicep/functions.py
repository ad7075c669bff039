"""The functions of the language that the files use.

https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.bicep.values import Resource, Unknown, is_known

SUBSCRIPTION = "/subscriptions/<subscription>"


def _unique(*parts: Any) -> str:
    """13 characters, as Azure's; not the same ones."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:13]


def _guid(*parts: Any) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(map(str, parts))))


def _union(*parts: Any) -> Any:
    if isinstance(parts[0], list):
        return [
            each for index, part in enumerate(parts) for each in part if index == 0 or each not in parts[0]
        ]
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = _union(merged[key], value) if nested else value
    return merged


def _items(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in sorted(value)]


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def _take(value: Any, count: int) -> Any:
    return value[:count]


def _string(value: Any) -> str:
    if isinstance(value, Unknown):
        return f"<{value.origin}>"
    return value if isinstance(value, str) else json.dumps(value)


def _resource_id(*parts: str) -> str:
    kind, *names = parts
    provider, *types = kind.split("/")
    path = "/".join(f"{each}/{name}" for each, name in zip(types, names, strict=True))
    return f"{SUBSCRIPTION}/resourceGroups/<group>/providers/{provider}/{path}"


def _subscription_resource_id(kind: str, name: str) -> str:
    return f"{SUBSCRIPTION}/providers/{kind}/{name}"


PURE: Mapping[str, Callable[..., Any]] = {
    "concat": lambda *parts: (
        [each for part in parts for each in part] if isinstance(parts[0], list) else "".join(parts)
    ),
    "contains": lambda whole, part: part in whole,
    "empty": lambda value: not isinstance(value, Unknown) and len(value) == 0,
    "environment": lambda: {"suffixes": {"storage": "core.windows.net"}, "name": "AzureCloud"},
    "filter": lambda values, test: [each for each in values if test.call(each)],
    "guid": _guid,
    "int": int,
    "items": _items,
    "length": len,
    "map": lambda values, change: [change.call(each) for each in values],
    "max": max,
    "min": min,
    "replace": _replace,
    "resourceId": _resource_id,
    "string": _string,
    "subscription": lambda: {"id": SUBSCRIPTION, "subscriptionId": "<subscription>", "tenantId": "<tenant>"},
    "subscriptionResourceId": _subscription_resource_id,
    "take": _take,
    "toLower": str.lower,
    "union": _union,
    "uniqueString": _unique,
}
"""What depends on the arguments alone. ``resourceGroup()`` and the functions that read files are the template's."""


def load_text(file: Path, name: str) -> str:
    """``loadTextContent``, relative to the file that calls it."""
    return (file.parent / name).read_text("utf-8")


def load_json(file: Path, name: str) -> Any:
    """``loadJsonContent``."""
    return json.loads(load_text(file, name))


__all__ = ["PURE", "Resource", "is_known", "load_json", "load_text"]
