"""RSA signatures over SHA-256 (RFC 8017): PKCS #1 v1.5, or PSS with a salt as long as the hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from .envelope import open_envelope
from .headers import Headers
from .keys import PublicKey, Secret, named, public_keys
from .refusal import Reason, SignatureRefused
from .schemes import RsaScheme
from .verification import Verification

PREHASHED = Prehashed(SHA256())
PADDINGS: dict[str, padding.AsymmetricPadding] = {
    "pkcs1v15": padding.PKCS1v15(),
    "pss": padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.DIGEST_LENGTH),
}


def verify_rsa(
    scheme: RsaScheme, headers: Headers, body: bytes, secrets: Sequence[Secret], now: datetime
) -> Verification:
    """Accept if the named key (or, where no key is named, any live key) made the signature."""
    keys = [(index, key) for index, key in public_keys(secrets) if isinstance(key.key, RSAPublicKey)]
    if not keys:
        raise SignatureRefused(Reason.NO_SECRET)
    envelope = open_envelope(scheme, headers, now)
    if scheme.key_id_header:
        keys = named(keys, envelope.key_id)
        if not keys:
            raise SignatureRefused(Reason.UNKNOWN_KEY, scheme.key_id_header)
    digest = digest_of(envelope.before, body, envelope.after)
    for index, key in keys:
        if _signed_by(key, scheme, envelope.signatures[0], digest):
            return Verification(index, key.key_id, envelope.timestamp, envelope.message_id)
    raise SignatureRefused(Reason.MISMATCH, scheme.signature_header)


def digest_of(before: bytes, body: bytes, after: bytes) -> bytes:
    """SHA-256 over the three parts, without joining them."""
    digest = hashlib.sha256(before)
    digest.update(body)
    digest.update(after)
    return digest.digest()


def _signed_by(key: PublicKey, scheme: RsaScheme, signature: bytes, digest: bytes) -> bool:
    assert isinstance(key.key, RSAPublicKey)  # noqa: S101 - narrowed by the caller's filter
    try:
        key.key.verify(signature, digest, PADDINGS[scheme.padding], PREHASHED)
    except InvalidSignature:
        return False
    return True
