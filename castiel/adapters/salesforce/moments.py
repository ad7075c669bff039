"""Times as Salesforce writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from castiel.domain.model import as_utc
from castiel.errors import MalformedResponse


def parse_moment(text: str) -> datetime:
    """A datetime field's value (``2026-11-01T10:00:00.000+0000``). Raises :class:`MalformedResponse`."""
    try:
        return as_utc(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        raise MalformedResponse("a time that can't be read") from None


def moment_text(moment: datetime) -> str:
    """A moment in the form of Salesforce's answers, to the millisecond."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}+0000"


def literal(text: str) -> str:
    """A moment as a SOQL literal, in UTC and unquoted.

    Source: https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_dateformats.htm
    """
    return moment_text(parse_moment(text)).removesuffix("+0000") + "Z"
