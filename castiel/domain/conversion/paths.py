"""Dotted paths into nested objects: ``address.city``."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

Path = tuple[str, ...]


def split_path(text: str) -> Path:
    """The members a dotted path leads through. Raises ``ValueError`` for an empty one."""
    path = tuple(text.split("."))
    if not all(member.strip() for member in path):
        raise ValueError("is not a field's path")
    return path


def get_path(data: Any, path: Path) -> Any:
    """The value at a path, or ``None``."""
    for member in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(member)
    return data


def has_path(data: Any, path: Path) -> bool:
    """Whether there is something at a path, be it ``None``; below a ``None`` everything is, and is ``None``."""
    for member in path:
        if data is None:
            return True
        if not isinstance(data, Mapping) or member not in data:
            return False
        data = data[member]
    return True


def set_path(data: MutableMapping[str, Any], path: Path, value: Any) -> None:
    """Put a value at a path, making the objects on the way."""
    for member in path[:-1]:
        inner = data.get(member)
        if not isinstance(inner, MutableMapping):
            inner = data[member] = {}
        data = inner
    data[path[-1]] = value


def overlap(left: Path, right: Path) -> bool:
    """Whether one path is, or leads into, what the other names."""
    return all(a == b for a, b in zip(left, right, strict=False))
