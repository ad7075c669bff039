"""What a signed delivery brings along: its signatures, its timestamp and id, and the bytes around the body."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from .encodings import decode
from .headers import Headers, read_headers
from .refusal import Reason, SignatureRefused
from .schemes import RequestSigningScheme, SignedScheme, TimestampSignatureScheme
from .timestamps import check_timestamp

MAX_SIGNATURES = 16
"""Entries looked at in one header. A rotation sends two; nobody sends seventeen."""


class Envelope(NamedTuple):
    """A delivery's headers, read by its scheme."""

    signatures: list[bytes]
    before: bytes
    after: bytes
    timestamp: datetime | None
    message_id: str | None
    values: dict[str, str]


def open_envelope(scheme: SignedScheme, headers: Headers, now: datetime) -> Envelope:
    """Read the headers the scheme names and check the timestamp. Raises SignatureRefused."""
    values = read_headers(headers, scheme.wanted)
    text = values[scheme.signature_header.lower()]
    if isinstance(scheme, TimestampSignatureScheme):
        signatures, stamp = _listed(scheme, text)
    else:
        signatures, stamp = [_single(scheme, text)], None
    if scheme.timestamp_header:
        stamp = values[scheme.timestamp_header.lower()]
    moment = None
    if stamp is not None:
        moment = check_timestamp(
            stamp,
            scheme.timestamp_unit,
            scheme.tolerance_seconds,
            now,
            scheme.timestamp_header or scheme.signature_header,
        )
    message_id = values[scheme.id_header.lower()] if scheme.id_header else None
    around = scheme.base_string.render(
        {
            "timestamp": stamp or "",
            "id": message_id or "",
            "version": scheme.version if isinstance(scheme, RequestSigningScheme) else "",
        }
    )
    if around is None:
        raise SignatureRefused(Reason.MALFORMED, scheme.id_header)
    return Envelope(signatures, *around, moment, message_id, values)


def _single(scheme: SignedScheme, text: str) -> bytes:
    prefix = "" if isinstance(scheme, TimestampSignatureScheme) else scheme.prefix
    signature = decode(text[len(prefix) :], scheme.encoding) if text.startswith(prefix) else None
    if not signature:
        raise SignatureRefused(Reason.MALFORMED, scheme.signature_header)
    return signature


def _listed(scheme: TimestampSignatureScheme, text: str) -> tuple[list[bytes], str | None]:
    """The signatures with the scheme's label, and the timestamp if it is in the same header.

    A second timestamp is refused, however equal: which of them was signed would be a guess.
    """
    entries = text.split(scheme.entry_separator, MAX_SIGNATURES)
    if len(entries) > MAX_SIGNATURES:
        raise SignatureRefused(Reason.MALFORMED, scheme.signature_header)
    signatures: list[bytes] = []
    stamp: str | None = None
    for entry in entries:
        label, _, value = entry.strip(" ").partition(scheme.field_separator)
        if label == scheme.signature_field:
            signature = decode(value, scheme.encoding)
            if signature:
                signatures.append(signature)
        elif label == scheme.timestamp_field:
            if stamp is not None:
                raise SignatureRefused(Reason.MALFORMED, scheme.signature_header)
            stamp = value
    if not signatures or (scheme.timestamp_field is not None and stamp is None):
        raise SignatureRefused(Reason.MALFORMED, scheme.signature_header)
    return signatures, stamp
