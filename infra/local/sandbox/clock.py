"""The sandbox's time of day: the machine's clock plus an offset that the control API moves."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Milliseconds since the epoch, shifted by `offset_ms`."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms


def iso_z(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, ending in Z."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def parse_ms(text: str) -> int:
    """Milliseconds of an RFC 3339 date and time; `Z`, `+0000` and `+00:00` are all read.

    Raises ValueError when the text is no date and time, or names no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return round(moment.timestamp() * 1000)
