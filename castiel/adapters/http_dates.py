"""Dates in an answer's headers (RFC 9110, section 5.6.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from castiel.domain.model import as_utc
from castiel.errors import MalformedResponse


def http_date(text: str | None) -> datetime | None:
    """``Sun, 06 Nov 1994 08:49:37 GMT`` as a moment in UTC; ``None`` for what is none."""
    try:
        return as_utc(parsedate_to_datetime(text or ""))
    except (TypeError, ValueError):
        return None


def answered_at(headers: Mapping[str, str]) -> datetime:
    """The server's clock when it answered. Raises :class:`MalformedResponse` for an answer without a ``Date``."""
    moment = http_date(headers.get("date"))
    if moment is None:
        raise MalformedResponse("the answer has no Date")
    return moment
