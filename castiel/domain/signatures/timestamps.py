"""The time a delivery was signed, and whether that is close enough to now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from .refusal import Reason, SignatureRefused

TimestampUnit = Literal["s", "ms"]
_MAX_DIGITS = 14
_PER_SECOND = {"s": 1, "ms": 1000}


def check_timestamp(text: str, unit: TimestampUnit, tolerance: int, now: datetime, header: str) -> datetime:
    """The moment a Unix timestamp names; both too old and too far ahead are refused.

    Decimal ASCII digits only, and only as many as a date needs: nothing is converted that could be long,
    signed, fractional or written in another script.
    """
    if not text.isdigit() or len(text) > _MAX_DIGITS or not text.isascii():
        raise SignatureRefused(Reason.MALFORMED, header)
    seconds = int(text) / _PER_SECOND[unit]
    age = now.timestamp() - seconds
    if not -tolerance <= age <= tolerance:
        raise SignatureRefused(Reason.EXPIRED if age > 0 else Reason.NOT_YET_VALID, header)
    return datetime.fromtimestamp(seconds, UTC)


def format_timestamp(now: datetime, unit: TimestampUnit) -> str:
    """A moment as the scheme's timestamp text."""
    return str(int(now.timestamp() * _PER_SECOND[unit]))
