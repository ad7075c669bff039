"""Times as Notion writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from castiel.domain.model import as_utc
from castiel.errors import MalformedResponse


def parse_moment(text: object) -> datetime:
    """``2022-10-24T22:54:00.000Z``. Raises :class:`MalformedResponse`."""
    try:
        return as_utc(datetime.fromisoformat(str(text)))
    except ValueError:
        raise MalformedResponse("a time that can't be read") from None


def moment_text(moment: datetime) -> str:
    """A moment in the form of Notion's answers, to the millisecond."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def minute_of(moment: datetime) -> datetime:
    """The start of the minute, which is as exactly as Notion tells ``last_edited_time``."""
    return moment.replace(second=0, microsecond=0)
