"""Reading a request's headers: case-insensitive, each wanted one exactly once, bounded in length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .refusal import Reason, SignatureRefused

Headers = Mapping[str, str] | Mapping[str, Sequence[str]] | Iterable[tuple[str, str]]
"""What a host gives: a mapping (with one value or a list per name), or the pairs as they came."""

MAX_HEADER_CHARS = 8_192
"""Longest value looked at. A Google identity token has about 900 characters, an RSA-8192 signature 2 048."""


def read_headers(headers: Headers, wanted: Mapping[str, str]) -> dict[str, str]:
    """The values of the wanted headers, by lower-case name.

    ``wanted`` maps the lower-case name to the name a refusal shows. Raises SignatureRefused when one is
    missing, empty, repeated (which of the two was signed?), too long or not ASCII.
    """
    found: dict[str, str] = {}
    # A dict is asked for first: the general question takes a fifth of a microsecond.
    pairs = headers.items() if type(headers) is dict or isinstance(headers, Mapping) else headers
    for name, value in pairs:
        key = name.lower()
        if key in wanted:
            if key in found:
                raise SignatureRefused(Reason.DUPLICATE_HEADER, wanted[key])
            text = value if isinstance(value, str) else _single(value, wanted[key])
            # A name may be as deceptive as a value: the lower case of the Kelvin sign is an ASCII k.
            if len(text) > MAX_HEADER_CHARS or not text.isascii() or not name.isascii():
                raise SignatureRefused(Reason.MALFORMED, wanted[key])
            found[key] = text
    if len(found) < len(wanted) or "" in found.values():
        missing = next(shown for key, shown in wanted.items() if not found.get(key))
        raise SignatureRefused(Reason.MISSING_HEADER, missing)
    return found


def read_header(headers: Headers, name: str) -> str:
    """The value of one header, under the same rules."""
    key = name.lower()
    return read_headers(headers, {key: name})[key]


def _single(values: object, shown: str) -> str:
    if isinstance(values, list | tuple):
        if len(values) > 1:
            raise SignatureRefused(Reason.DUPLICATE_HEADER, shown)
        if len(values) == 1 and isinstance(values[0], str):
            return values[0]
    raise SignatureRefused(Reason.MISSING_HEADER, shown)
