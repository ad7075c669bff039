"""The sending side of every scheme: for tests, the sandbox and the command that sends a trial delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .encodings import decode_secret, encode
from .rsa import PADDINGS, PREHASHED, digest_of
from .schemes import (
    OidcScheme,
    RsaScheme,
    SharedTokenScheme,
    SignatureScheme,
    SignedScheme,
    TimestampSignatureScheme,
)
from .symmetric import calculate_mac
from .timestamps import format_timestamp

TOKEN_SECONDS = 3600
"""Life of a signed token; Google's live an hour."""


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A sender's private key, and the id its public half is known by."""

    key: RSAPrivateKey | EllipticCurvePrivateKey
    key_id: str | None = None

    @classmethod
    def from_pem(cls, pem: bytes, key_id: str | None = None) -> Self:
        """Read an unencrypted PEM private key. Raises ``ValueError`` if it isn't an RSA or EC one."""
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
            raise ValueError("not an RSA or EC private key")
        return cls(key, key_id)


def sign(
    scheme: SignatureScheme,
    body: bytes,
    secret: bytes | PrivateKey,
    now: datetime,
    message_id: str | None = None,
) -> dict[str, str]:
    """The headers a sender would add. ``message_id`` is needed where the scheme has an ``idHeader``.

    Raises ``ValueError`` when the secret or id doesn't fit the scheme.
    """
    if isinstance(scheme, SharedTokenScheme):
        return {scheme.header: scheme.prefix + _shared(secret).decode("ascii")}
    if isinstance(scheme, OidcScheme):
        return {scheme.header: scheme.prefix + _token(scheme, secret, now)}
    stamp = format_timestamp(now, scheme.timestamp_unit)
    before, after = _around(scheme, stamp, message_id)
    headers = {}
    if isinstance(scheme, RsaScheme):
        private = _private(secret)
        if not isinstance(private.key, RSAPrivateKey):
            raise ValueError("an RSA scheme signs with an RSA key")
        digest = digest_of(before, body, after)
        signature = private.key.sign(digest, PADDINGS[scheme.padding], PREHASHED)
        if scheme.key_id_header:
            if not private.key_id:
                raise ValueError("the scheme names keys: the private key needs a key id")
            headers[scheme.key_id_header] = private.key_id
    else:
        key = decode_secret(_shared(secret), scheme.secret_prefix.encode(), scheme.secret_encoding)
        if key is None:
            raise ValueError("the secret is empty or not in the scheme's encoding")
        signature = calculate_mac(key, scheme.hash, before, body, after)
    headers[scheme.signature_header] = _written(scheme, encode(signature, scheme.encoding), stamp)
    if scheme.timestamp_header:
        headers[scheme.timestamp_header] = stamp
    if scheme.id_header and message_id:
        headers[scheme.id_header] = message_id
    return headers


def _around(scheme: SignedScheme, stamp: str, message_id: str | None) -> tuple[bytes, bytes]:
    if scheme.id_header and not message_id:
        raise ValueError("the scheme signs an id: give a message id")
    around = scheme.plan.template.render(message_id or "", stamp, scheme.plan.version)
    if around is None:
        raise ValueError("the message id holds the character that separates it from what follows")
    return around


def _written(scheme: SignedScheme, signature: str, stamp: str) -> str:
    if not isinstance(scheme, TimestampSignatureScheme):
        return scheme.plan.prefix + signature
    entries = [f"{scheme.signature_field}{scheme.field_separator}{signature}"]
    if scheme.timestamp_field:
        entries.insert(0, f"{scheme.timestamp_field}{scheme.field_separator}{stamp}")
    return scheme.entry_separator.join(entries)


def _token(scheme: OidcScheme, secret: bytes | PrivateKey, now: datetime) -> str:
    private = _private(secret)
    issued = int(now.timestamp())
    claims: dict[str, Any] = {"iss": scheme.issuers[0], "iat": issued, "exp": issued + TOKEN_SECONDS}
    if scheme.audiences:
        claims["aud"] = scheme.audiences[0]
    if scheme.subjects:
        claims["sub"] = scheme.subjects[0]
    if scheme.emails:
        claims |= {"email": scheme.emails[0], "email_verified": True}
    algorithm = "RS256" if isinstance(private.key, RSAPrivateKey) else "ES256"
    headers = {"kid": private.key_id} if private.key_id else None
    return jwt.encode(claims, private.key, algorithm=algorithm, headers=headers)


def _shared(secret: bytes | PrivateKey) -> bytes:
    if not isinstance(secret, bytes):
        raise ValueError("the scheme signs with a shared secret")
    return secret


def _private(secret: bytes | PrivateKey) -> PrivateKey:
    return PrivateKey.from_pem(secret) if isinstance(secret, bytes) else secret
