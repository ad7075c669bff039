"""Verification of a delivery, whatever its scheme."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .headers import Headers
from .keys import Secret
from .oidc import verify_oidc
from .rsa import verify_rsa
from .schemes import SignatureScheme
from .symmetric import verify_hmac, verify_shared_token
from .verification import Verification


def verify(
    scheme: SignatureScheme, headers: Headers, body: bytes, secrets: Sequence[Secret], now: datetime
) -> Verification:
    """Check who sent a delivery, over the raw body and before anything of it is parsed.

    ``secrets`` are all that are live, the current one first: shared secrets as bytes, public keys as PEM bytes
    or PublicKey. ``now`` is an aware datetime. Whatever was sent, the outcome is a Verification or
    SignatureRefused (a SignatureInvalid, not retryable), in time proportional to the size of the body.
    """
    # Told apart by the discriminator: isinstance on a pydantic model costs a microsecond when it says no.
    if scheme.algorithm == "rsa-sha256":
        return verify_rsa(scheme, headers, body, secrets, now)
    if scheme.algorithm == "shared-token":
        return verify_shared_token(scheme, headers, secrets)
    if scheme.algorithm == "oidc-jwt":
        return verify_oidc(scheme, headers, secrets, now)
    return verify_hmac(scheme, headers, body, secrets, now)
