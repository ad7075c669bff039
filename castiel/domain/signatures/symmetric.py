"""HMAC signatures: HMAC-SHA256, HMAC-SHA1, request signing and timestamp + signature are one calculation."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime

from .envelope import open_envelope
from .headers import Headers, read_header
from .keys import Secret, shared_keys
from .refusal import Reason, SignatureRefused
from .schemes import HashName, HmacLike, SharedTokenScheme
from .verification import Verification


def verify_hmac(
    scheme: HmacLike, headers: Headers, body: bytes, secrets: Sequence[Secret], now: datetime
) -> Verification:
    """Accept if any live secret gives any of the signatures sent."""
    keys = shared_keys(secrets, scheme.secret_prefix.encode(), scheme.secret_encoding)
    if not keys:
        raise SignatureRefused(Reason.NO_SECRET)
    envelope = open_envelope(scheme, headers, now)
    for index, key in keys:
        expected = calculate_mac(key, scheme.hash, envelope.before, body, envelope.after)
        for signature in envelope.signatures:
            if hmac.compare_digest(expected, signature):
                return Verification(index, None, envelope.timestamp, envelope.message_id)
    raise SignatureRefused(Reason.MISMATCH, scheme.signature_header)


def calculate_mac(key: bytes, name: HashName, before: bytes, body: bytes, after: bytes) -> bytes:
    """The HMAC over the three parts. The body is fed to it where it lies: joining would copy it."""
    if not before and not after:
        return hmac.digest(key, body, name)
    mac = hmac.new(key, before, name)
    mac.update(body)
    if after:
        mac.update(after)
    return mac.digest()


def verify_shared_token(
    scheme: SharedTokenScheme, headers: Headers, secrets: Sequence[Secret]
) -> Verification:
    """Accept if the header repeats a live secret. The time taken tells a token's length at most."""
    keys = shared_keys(secrets, b"", "raw")
    if not keys:
        raise SignatureRefused(Reason.NO_SECRET)
    text = read_header(headers, scheme.header)
    if not text.startswith(scheme.prefix):
        raise SignatureRefused(Reason.MALFORMED, scheme.header)
    given = text[len(scheme.prefix) :].encode("ascii")
    for index, key in keys:
        if hmac.compare_digest(key, given):
            return Verification(index)
    raise SignatureRefused(Reason.MISMATCH, scheme.header)
