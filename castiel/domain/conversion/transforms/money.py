"""Money and numbers as they are written."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

import pycountry
from babel.numbers import (
    NumberFormatError,
    format_decimal,
    get_currency_precision,
    get_group_symbol,
    parse_decimal,
)

from castiel.domain.conversion.numbers import as_decimal, as_json
from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms.places import locale_of
from castiel.domain.conversion.transforms.registry import Function, as_it_is, text_only, transform

CLDR = "Babel (CLDR)"
_SPACE = re.compile(r"\s")


def _decimal_back(*, locale: str = "en_US") -> Function:
    there = locale_of(locale)
    return lambda value: format_decimal(as_decimal(value), locale=there, decimal_quantization=False)


@transform(
    "decimal",
    does="a number as written in `locale` (`1.234,50` in `de`) to a number",
    source=CLDR,
    limits="JSON numbers keep some 15 digits; a currency's sign is refused; back with thousands separators",
    inverse=_decimal_back,
)
def decimal(*, locale: str = "en_US") -> Function:
    there = locale_of(locale)
    group = get_group_symbol(there)

    def read(value: object) -> int | float:
        if isinstance(value, (int, float)):
            return as_json(as_decimal(value))
        text = text_only(value).strip()
        if group.isspace():
            text = _SPACE.sub(group, text)  # people type other spaces than the one CLDR names
        try:
            return as_json(as_decimal(str(parse_decimal(text, locale=there, strict=True))))
        except NumberFormatError as error:
            raise UnconvertibleError(f"is not a number as written in {locale}") from error

    return read


def _minor_units_back(*, currency: str) -> Function:
    digits = _digits(currency)
    return lambda value: int(as_decimal(value).scaleb(digits).quantize(Decimal(1), ROUND_HALF_EVEN))


@transform(
    "minor_units",
    does="an amount in the smallest unit of `currency` (cents) to one in the currency itself",
    source=CLDR,
    limits="one currency per mapping; digits by CLDR, which for a few (IQD, LBP) are not ISO 4217's; back rounded "
    "half to even",
    inverse=_minor_units_back,
)
def minor_units(*, currency: str) -> Function:
    digits = _digits(currency)
    return lambda value: as_json(as_decimal(value).scaleb(-digits))


@transform(
    "currency",
    does="a currency's code or English name to its code (`EUR`)",
    source="pycountry (ISO 4217)",
    limits="no signs: `$` is many currencies'",
    inverse=as_it_is,
)
def currency() -> Function:
    def read(value: object) -> str:
        try:
            return str(pycountry.currencies.lookup(text_only(value).strip()).alpha_3)
        except LookupError as error:
            raise UnconvertibleError("is not a currency") from error

    return read


def _digits(currency: str) -> int:
    if pycountry.currencies.get(alpha_3=currency) is None:
        raise UnconvertibleError("'currency' is not a currency's code (ISO 4217, such as EUR)")
    return get_currency_precision(currency)
