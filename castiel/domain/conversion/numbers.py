"""JSON numbers as exact decimals, and back."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from castiel.domain.conversion.problems import UnconvertibleError


def as_json(number: Decimal) -> int | float:
    """A JSON number: an integer where it is whole."""
    return int(number) if number == number.to_integral_value() else float(number)


def as_decimal(value: object) -> Decimal:
    """The exact decimal that a JSON number, or text in its notation, is written as. Raises ``UnconvertibleError``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UnconvertibleError("is not a number")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation as error:
        raise UnconvertibleError("is not a number") from error
    if not number.is_finite() or number.adjusted() > 30:
        raise UnconvertibleError("is not a number")
    return number
