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
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    for name, value in pairs:
        key = name.lower()
        # Some other characters' lower case is an ASCII letter (the Kelvin sign's is k): not the same header.
        if key not in wanted or not name.isascii():
            continue
        if key in found:
            raise SignatureRefused(Reason.DUPLICATE_HEADER, wanted[key])
        found[key] = value if isinstance(value, str) else _single(value, wanted[key])
    for key, shown in wanted.items():
        text = found.get(key)
        if not text:
            raise SignatureRefused(Reason.MISSING_HEADER, shown)
        if len(text) > MAX_HEADER_CHARS or not text.isascii():
            raise SignatureRefused(Reason.MALFORMED, shown)
    return found


def _single(values: object, shown: str) -> str:
    if isinstance(values, list | tuple):
        if len(values) > 1:
            raise SignatureRefused(Reason.DUPLICATE_HEADER, shown)
        if len(values) == 1 and isinstance(values[0], str):
            return values[0]
    raise SignatureRefused(Reason.MISSING_HEADER, shown)
