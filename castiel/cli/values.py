"""What people type, as values."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from castiel.cli.exits import UsageProblem

LONGEST = timedelta(days=36_500)
"""A hundred years: further from now there are no moments."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(text: str) -> timedelta:
    """``90s``, ``15m``, ``24h``, ``7d``. Raises :class:`UsageProblem`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None:
        raise UsageProblem(f"{text!r} is no duration: write 90s, 15m, 24h or 7d")
    length = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if length > LONGEST:
        raise UsageProblem(f"{text!r} is too long: at most {LONGEST.days}d")
    return length


def pairs(texts: Sequence[str]) -> dict[str, Any]:
    """``name=value`` arguments; a value that reads as JSON is that, else it is text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageProblem(f"{text!r}: write name=value")
        found[name] = json_or_text(value)
    return found


def json_or_text(text: str) -> Any:
    """JSON where it is JSON; a word needs no quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def moment(text: str) -> datetime:
    """A day (its beginning, UTC) or a moment. Raises :class:`UsageProblem`."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageProblem(f"{text!r} is no moment: write 2027-01-31 or 2027-01-31T12:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
