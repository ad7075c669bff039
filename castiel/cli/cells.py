"""JSON values as a person reads them in a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from rich.text import Text

_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.\d+)?Z")
_STATES = {
    "active": "green",
    "completed": "green",
    "failed": "red",
    "healthy": "green",
    "degraded": "yellow",
    "needsReauth": "red",
    "partial": "yellow",
    "paused": "yellow",
    "success": "green",
}


_PLAIN = frozenset(
    {"connectionId", "credentialId", "integrationId", "otherShardId", "registrationId", "shardId", "tenantId"}
)
"""What is known by its id: the heading need not say so."""


def heading(name: str) -> str:
    """A field's name as a heading: ``nextScheduled`` → ``next scheduled``, ``connectionId`` → ``connection``."""
    bare = name.removesuffix("Id") if name in _PLAIN else name
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f" {found[1].lower()}", bare)


def cell(value: Any, *, today: date | None = None) -> Text:
    """A table's cell: records' values are text, never markup or commands to the terminal.

    With ``today`` a moment is short: the time alone on that day.
    """
    if value in (None, [], {}):
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Mapping):
        members = {heading(name): each for name, each in value.items() if each not in (None, [], {})}
        return Text("\n".join(printable(f"{name}: {_inline(each)}") for name, each in members.items()))
    if isinstance(value, float):
        return Text(_number(value))
    if isinstance(value, list):
        nested = any(isinstance(each, Mapping | list) for each in value)
        return Text(printable(("\n" if nested else ", ").join(map(_inline, value))))
    text = str(value)
    return Text(printable(_readable(text, today)), style=_STATES.get(text, ""))


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{heading(name)}: {_inline(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_inline, value))
    if isinstance(value, float):
        return _number(value)
    return _readable(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """To the sixth decimal: what is behind it is the machine's, not the measurement's."""
    return repr(round(value, 6))


def _readable(text: str, today: date | None = None) -> str:
    moment = _MOMENT.fullmatch(text)
    if moment is None:
        return text
    day, time = moment[1], moment[2]
    if today is None:
        return f"{day} {time}Z"
    return f"{time}Z" if day == today.isoformat() else f"{day} {time[:5]}Z"


def short(text: str, most: int = 18) -> str:
    """The beginning of a long id."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def milliseconds(duration: int) -> str:
    """``412 ms``, ``5.3 s``."""
    return f"{duration} ms" if duration < 1000 else f"{duration / 1000:.1f} s"


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(each if each.isprintable() or each == "\n" else "�" for each in text)
