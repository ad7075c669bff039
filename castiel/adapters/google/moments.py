"""Times as Google writes them (RFC 3339)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from castiel.domain.model import as_utc


def moment(text: Any) -> datetime | None:
    """A time, or ``None`` for what is none."""
    if not isinstance(text, str):
        return None
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError:
        return None
