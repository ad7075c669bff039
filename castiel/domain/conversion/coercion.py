"""Coercion: a value of one JSON type made into another, or refused; never guessed at."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from castiel.domain.conversion.contacts import normalise_email, normalise_phone
from castiel.domain.conversion.moments import parse_day, parse_moment, written
from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.fields import FieldType

Coercion = Callable[[Any], Any]
"""Takes any value but ``None``. Raises ``UnconvertibleError`` with what is wrong, without the value itself."""

_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "no", "n", "off", "0"), False),
}


def to_text(value: Any) -> str:
    """Text: numbers and booleans as JSON writes them, whole numbers without a fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, (Mapping, list, tuple)):
        raise UnconvertibleError("is a list or an object, not text")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def to_integer(value: Any) -> int:
    """A whole number, or text or a float that is exactly one."""
    number = to_number(value)
    if isinstance(number, float):
        raise UnconvertibleError("is not a whole number")
    return number


def to_number(value: Any) -> int | float:
    """A finite number, or text that is one in JSON's or Python's notation; whole ones become integers."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UnconvertibleError("is not a number")
    if isinstance(value, int):
        return value
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and ("_" in text or len(text) > 64):
        raise UnconvertibleError("is not a number")
    try:
        return int(text) if isinstance(text, str) else _whole(text)
    except ValueError:
        pass
    try:
        return _whole(float(text))
    except ValueError as error:
        raise UnconvertibleError("is not a number") from error


def to_boolean(value: Any) -> bool:
    """A boolean, 0 or 1, or one of the words true/false, yes/no, y/n, on/off, 1/0."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _WORDS:
        return _WORDS[word]
    if value in (0, 1) and isinstance(value, (int, float)):
        return bool(value)
    raise UnconvertibleError("is neither true nor false")


def to_date(value: Any) -> str:
    """``YYYY-MM-DD``; of a moment, the day as it is written there, in its own zone."""
    return parse_day(_text(value, "a date")).isoformat()


def to_datetime(value: Any) -> str:
    """RFC 3339 in UTC; without an offset it is taken for UTC, and a date for its midnight."""
    return written(parse_moment(_text(value, "a date and time")))


def to_url(value: Any) -> str:
    """An absolute URL with a scheme and a host."""
    text = _text(value, "a URL").strip()
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise UnconvertibleError("is not an absolute URL") from error
    if not parts.scheme or not parts.netloc or any(character.isspace() for character in text):
        raise UnconvertibleError("is not an absolute URL")
    return text


def to_object(value: Any) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, Mapping):
        raise UnconvertibleError("is not an object")
    return dict(value)


def to_list(value: Any) -> list[Any]:
    """A list; a single value becomes a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _to_email(value: Any) -> str:
    return normalise_email(_text(value, "an e-mail address"))


def _to_phone(value: Any) -> str:
    return normalise_phone(_text(value, "a phone number"))


_COERCIONS: Final[dict[FieldType, Coercion]] = {
    "string": to_text,
    "text": to_text,
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
    "date": to_date,
    "datetime": to_datetime,
    "email": _to_email,
    "phone": _to_phone,
    "url": to_url,
    "enum": to_text,
    "reference": to_text,
    "object": to_object,
    "list": to_list,
}
if set(_COERCIONS) != set(get_args(FieldType)):
    raise TypeError("every field type needs its coercion")


def coercion_to(field_type: FieldType, values: Collection[str] = ()) -> Coercion:
    """The coercion to a type; blank text is no value for any but text. ``values``: the only ones an enum takes."""
    coerce = _enum_of(values) if field_type == "enum" and values else _COERCIONS[field_type]
    if field_type in ("string", "text"):
        return coerce
    return lambda value: None if isinstance(value, str) and not value.strip() else coerce(value)


def _enum_of(values: Collection[str]) -> Coercion:
    allowed = frozenset(values)

    def to_enum(value: Any) -> str:
        text = to_text(value)
        if text not in allowed:
            raise UnconvertibleError("is not one of the values allowed")
        return text

    return to_enum


def _whole(number: float) -> int | float:
    if not math.isfinite(number):
        raise UnconvertibleError("is not a number")
    return int(number) if number.is_integer() else number


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise UnconvertibleError(f"is not {what}")
    return value
