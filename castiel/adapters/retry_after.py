"""The Retry-After header (RFC 9110, section 10.2.3): seconds, or a date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from castiel.adapters.http_dates import http_date

MAX_RETRY_AFTER_SECONDS = 86_400.0


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, or ``None``. A date is measured from the answer's own ``Date``, so clocks need not agree."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    when = http_date(text)
    since = http_date(headers.get("date")) or now or datetime.now(UTC)
    return None if when is None else min(max(0.0, (when - since).total_seconds()), MAX_RETRY_AFTER_SECONDS)
