"""Dates and moments as they come: ISO 8601, RFC 2822, Unix time or a named format; written as RFC 3339 in UTC.

Shared by the coercion to ``date`` and ``datetime`` and by the date transforms.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.model import format_utc


def written(moment: datetime) -> str:
    """A moment as a shard's field holds it: RFC 3339 in UTC, with as much of a fraction as there is."""
    text = format_utc(moment)[:-1]
    return (text.rstrip("0") if "." in text else text) + "Z"


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises ``UnconvertibleError``."""
    try:
        return ZoneInfo(name)
    except (
        KeyError,
        OSError,
        ValueError,
    ) as error:  # unknown, a directory of the database, not a name at all
        raise UnconvertibleError(f"'{name}' is not an IANA time zone") from error


def parse_moment(text: str, zone: tzinfo = UTC, pattern: str | None = None) -> datetime:
    """A moment from text; one without an offset is in ``zone``. Raises ``UnconvertibleError``, without the text in it."""
    try:
        moment = datetime.strptime(text.strip(), pattern) if pattern else _parse(text.strip())  # noqa: DTZ007
    except ValueError as error:
        raise UnconvertibleError(
            f"is not a date in the form {pattern}" if pattern else "is not a date and time"
        ) from error
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise UnconvertibleError("is outside the years 1 to 9999") from error


def parse_day(text: str, pattern: str | None = None) -> date:
    """A calendar day from text; of a moment, the day as it is written there. Raises ``UnconvertibleError``."""
    try:
        moment = datetime.strptime(text.strip(), pattern) if pattern else _parse(text.strip())  # noqa: DTZ007
    except ValueError as error:
        raise UnconvertibleError(
            f"is not a date in the form {pattern}" if pattern else "is not a date"
        ) from error
    return moment.date()


def _parse(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)
