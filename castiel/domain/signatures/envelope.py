"""What a signed delivery brings along: its signatures, its timestamp and id, and the bytes around the body."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from .encodings import decode
from .headers import Headers, read_headers
from .refusal import Reason, SignatureRefused
from .schemes import SignedScheme, TimestampSignatureScheme
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
    key_id: str | None


def open_envelope(scheme: SignedScheme, headers: Headers, now: datetime) -> Envelope:
    """Read the headers the scheme names and check the timestamp. Raises SignatureRefused."""
    plan = scheme.plan
    values = read_headers(headers, plan.wanted)
    text = values[plan.signature]
    stamp = values[plan.timestamp] if plan.timestamp else ""
    message_id = values[plan.message_id] if plan.message_id else None
    if scheme.algorithm == "timestamp-signature":
        signatures, within = _listed(scheme, text)
        stamp = within or stamp
    else:
        signatures = [_single(scheme, plan.prefix, text)]
    moment = None
    if "timestamp" in plan.template.names:
        header = scheme.timestamp_header or scheme.signature_header
        moment = check_timestamp(stamp, scheme.timestamp_unit, scheme.tolerance_seconds, now, header)
    around = plan.template.render(message_id or "", stamp, plan.version)
    if around is None:
        raise SignatureRefused(Reason.MALFORMED, scheme.id_header)
    key_id = values[plan.key_id] if plan.key_id else None
    return Envelope(signatures, around[0], around[1], moment, message_id, key_id)


def _single(scheme: SignedScheme, prefix: str, text: str) -> bytes:
    signature = decode(text.removeprefix(prefix), scheme.encoding) if text.startswith(prefix) else None
    if not signature:
        raise SignatureRefused(Reason.MALFORMED, scheme.signature_header)
    return signature


def _listed(scheme: TimestampSignatureScheme, text: str) -> tuple[list[bytes], str]:
    """The signatures with the scheme's label, and the timestamp if it is in the same header.

    A second timestamp is refused, however equal: which of them was signed would be a guess.
    """
    entries = text.split(scheme.entry_separator, MAX_SIGNATURES)
    signatures: list[bytes] = []
    stamps: list[str] = []
    for entry in entries:
        label, _, value = entry.strip(" ").partition(scheme.field_separator)
        if label == scheme.signature_field:
            signature = decode(value, scheme.encoding)
            if signature:
                signatures.append(signature)
        elif label == scheme.timestamp_field:
            stamps.append(value)
    expected = 0 if scheme.timestamp_field is None else 1
    if not signatures or len(stamps) != expected or len(entries) > MAX_SIGNATURES:
        raise SignatureRefused(Reason.MALFORMED, scheme.signature_header)
    return signatures, stamps[0] if stamps else ""
