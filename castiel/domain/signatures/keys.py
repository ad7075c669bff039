"""Secrets and public keys as verification takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from .encodings import SecretEncoding, decode_secret

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
"""Below: breakable (NIST SP 800-131A). Above: a key somebody registers to make verification slow."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A sender's public key. Without a key id it is tried for every key id (one key, registered by hand)."""

    key: RSAPublicKey | EllipticCurvePublicKey
    key_id: str | None = None

    @classmethod
    def from_pem(cls, pem: bytes, key_id: str | None = None) -> Self:
        """Read a PEM public key (SubjectPublicKeyInfo). Raises ``ValueError`` if it isn't one, or is too weak."""
        try:
            key = load_pem_public_key(pem)
        except UnsupportedAlgorithm:
            raise ValueError("not an RSA or EC public key") from None
        if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey) or not _acceptable(key):
            raise ValueError(f"not an EC public key, nor an RSA one of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
        return cls(key, key_id)


Secret = bytes | PublicKey
"""A shared secret or a PEM public key as bytes, or a public key that is already parsed."""


def parse_jwks(document: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """The signing keys of a JWK set (RFC 7517); keys of other kinds, uses and sizes are left out.

    Raises ``ValueError`` when the document has no list of keys.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise ValueError("a JWK set has a list named keys")
    keys = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        key_id = entry.get("kid")
        if isinstance(key, RSAPublicKey | EllipticCurvePublicKey) and _acceptable(key):
            keys.append(PublicKey(key, key_id if isinstance(key_id, str) else None))
    return tuple(keys)


def shared_keys(
    secrets: Sequence[Secret], prefix: bytes, encoding: SecretEncoding
) -> list[tuple[int, bytes]]:
    """The usable shared secrets, decoded, with their positions.

    Left out: empty and undecodable ones, and PEM keys. A public key is no secret; who knows it could sign.
    """
    usable = []
    for index, secret in enumerate(secrets):
        if isinstance(secret, bytes) and secret.find(b"-----BEGIN") < 0:
            key = decode_secret(secret, prefix, encoding)
            if key:
                usable.append((index, key))
    return usable


def public_keys(secrets: Sequence[Secret]) -> list[tuple[int, PublicKey]]:
    """The usable public keys, with their positions; what is not one is left out."""
    usable = []
    for index, secret in enumerate(secrets):
        key = secret if isinstance(secret, PublicKey) else _parsed(secret)
        if key is not None:
            usable.append((index, key))
    return usable


def named(keys: list[tuple[int, PublicKey]], key_id: str | None) -> list[tuple[int, PublicKey]]:
    """The keys to try for a key id: those with that id, and those without any."""
    return [(index, key) for index, key in keys if key.key_id is None or key.key_id == key_id]


@lru_cache(maxsize=256)
def _parsed(pem: bytes) -> PublicKey | None:
    try:
        return PublicKey.from_pem(pem)
    except ValueError:
        return None


def _acceptable(key: RSAPublicKey | EllipticCurvePublicKey) -> bool:
    return not isinstance(key, RSAPublicKey) or MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS
