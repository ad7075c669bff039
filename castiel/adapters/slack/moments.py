"""Times as Slack writes them: seconds since 1970, and message timestamps with six more digits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 100_000_000_000
"""Users say when they were changed in seconds, channels in milliseconds; as seconds, this is the year 5138."""


def moment_of_ts(ts: Any) -> datetime | None:
    """A message's timestamp as a time; ``None`` for what is none."""
    try:
        seconds, _, fraction = str(ts).partition(".")
        return _EPOCH + timedelta(seconds=int(seconds), microseconds=int(f"{fraction:0<6}"[:6]))
    except (ValueError, OverflowError):
        return None


def moment_of_number(value: Any) -> datetime | None:
    """``updated`` and its like, in seconds or milliseconds; ``None`` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        return _EPOCH + timedelta(seconds=value / 1000 if value >= _MILLISECONDS_FROM else value)
    except OverflowError:
        return None


def ts_before(ts: str, hours: float) -> str:
    """The timestamp that many hours earlier."""
    moment = moment_of_ts(ts)
    return "0.000000" if moment is None else ts_of(moment - timedelta(hours=hours))


def ts_of(moment: datetime) -> str:
    """A time as a timestamp; not before 1970."""
    microseconds = max(0, (moment - _EPOCH) // timedelta(microseconds=1))
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"
