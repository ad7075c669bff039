"""Signatures and secrets as text: hex, base64, base64url. Strict: no white space, no stray characters."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

Encoding = Literal["hex", "base64", "base64url"]
SecretEncoding = Literal["raw", "hex", "base64"]

_BLANKS = b" \t\r\n"
_TO_STANDARD = str.maketrans("-_", "+/")


def decode(text: str, encoding: Encoding) -> bytes | None:
    """The bytes, or ``None`` for anything that isn't this encoding.

    Hex may be in either case. Base64 must be as an encoder writes it (RFC 4648, section 3.5), base64url with or
    without its padding (RFC 7515 leaves it out).
    """
    try:
        if encoding == "hex":
            return binascii.unhexlify(text)
        if encoding == "base64url":
            if "+" in text or "/" in text:
                return None
            text = text.translate(_TO_STANDARD)
            text += "=" * (-len(text) % 4)
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return data if binascii.b2a_base64(data, newline=False) == text.encode() else None


def encode(data: bytes, encoding: Encoding) -> str:
    """The text of a signature: lower-case hex, padded base64, unpadded base64url."""
    if encoding == "hex":
        return data.hex()
    if encoding == "base64":
        return base64.b64encode(data).decode("ascii")
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decode_secret(secret: bytes, prefix: bytes, encoding: SecretEncoding) -> bytes | None:
    """The key a secret stands for; ``None`` for an empty or undecodable one.

    The prefix may be there or not, and base64 may lack its padding: senders' own libraries are as lenient
    (standardwebhooks 1.1, ``Webhook.__init__``).
    """
    if prefix and secret.startswith(prefix):
        secret = secret[len(prefix) :]
    if not secret.strip(_BLANKS):
        return None
    if encoding == "raw":
        return secret
    try:
        if encoding == "hex":
            key = binascii.unhexlify(secret)
        else:
            key = binascii.a2b_base64(secret + b"=" * (-len(secret) % 4), strict_mode=True)
    except ValueError:
        return None
    return key or None
