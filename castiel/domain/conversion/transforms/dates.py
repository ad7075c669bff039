"""Dates, moments and time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from castiel.domain.conversion.moments import parse_day, parse_moment, written, zone_of
from castiel.domain.conversion.numbers import as_decimal, as_json
from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms.registry import Function, text_only, transform

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STRPTIME = "Python's `datetime` (ISO 8601, RFC 2822 or a strptime format), `zoneinfo` with the IANA database `tzdata`"


def _datetime_back(*, zone: str = "UTC", format: str | None = None) -> Function:  # noqa: A002 - the option's name
    there = zone_of(zone)

    def write(value: object) -> str:
        moment = parse_moment(text_only(value))
        return moment.astimezone(there).strftime(format) if format else written(moment)

    return write


@transform(
    "datetime",
    does="text to RFC 3339 in UTC; without an offset the time is one in `zone`; `format` names a form of its own",
    source=STRPTIME,
    limits="goes back as far as `format` has room; of the hour a clock repeats in autumn, the first is meant; "
    "month names in English",
    inverse=_datetime_back,
)
def to_datetime(*, zone: str = "UTC", format: str | None = None) -> Function:  # noqa: A002
    there = zone_of(zone)
    return lambda value: written(parse_moment(text_only(value), there, format))


def _date_back(*, format: str | None = None) -> Function:  # noqa: A002
    return lambda value: parse_day(text_only(value)).strftime(format) if format else text_only(value)


@transform(
    "date",
    does="text to `YYYY-MM-DD`; `format` names a form of its own (`%d/%m/%Y`)",
    source=STRPTIME,
    limits="of a moment, the day as written, in whichever zone that is (see `date_in_zone`)",
    inverse=_date_back,
)
def to_date(*, format: str | None = None) -> Function:  # noqa: A002
    return lambda value: parse_day(text_only(value), format).isoformat()


@transform(
    "date_in_zone",
    does="a moment to the day it falls on in `zone`",
    source=STRPTIME,
    limits="the time of day is lost",
)
def date_in_zone(*, zone: str) -> Function:
    there = zone_of(zone)

    def day(value: object) -> str:
        on: date = parse_moment(text_only(value)).astimezone(there).date()
        return on.isoformat()

    return day


def _epoch_back(*, unit: Literal["s", "ms"] = "s") -> Function:
    per_second = 1000 if unit == "ms" else 1

    def write(value: object) -> int | float:
        since = parse_moment(text_only(value)) - EPOCH
        micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return as_json(Decimal(micros) * per_second / 1_000_000)

    return write


@transform(
    "epoch",
    does="Unix time in seconds or, with `unit` `ms`, milliseconds (a number or text) to RFC 3339 in UTC",
    source="Python's `datetime`",
    limits="to the microsecond (in seconds after 2286: to ten), years 1 to 9999",
    inverse=_epoch_back,
)
def epoch(*, unit: Literal["s", "ms"] = "s") -> Function:
    divisor = 1000 if unit == "ms" else 1

    def read(value: object) -> str:
        try:
            micros = int((as_decimal(value) * 1_000_000 / divisor).to_integral_value())
            return written(EPOCH + timedelta(microseconds=micros))
        except (UnconvertibleError, OverflowError) as error:
            raise UnconvertibleError("is not a Unix time") from error

    return read
