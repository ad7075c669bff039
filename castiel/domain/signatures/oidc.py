"""OpenID Connect tokens (Google Pub/Sub push) over keys that are given; fetching them is somebody else's.

PyJWT reads the token and checks its signature, issuer and audience. The times are checked here: PyJWT has a
clock of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .headers import Headers, read_header
from .keys import PublicKey, Secret, named, public_keys
from .refusal import Reason, SignatureRefused
from .schemes import OidcScheme
from .verification import Verification

_KEY_TYPES: dict[str, type[RSAPublicKey] | type[EllipticCurvePublicKey]] = {
    "RS256": RSAPublicKey,
    "ES256": EllipticCurvePublicKey,
}
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, RecursionError)
_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (jwt.InvalidIssuerError, Reason.WRONG_ISSUER),
    (jwt.InvalidAudienceError, Reason.WRONG_AUDIENCE),
    (jwt.InvalidAlgorithmError, Reason.WRONG_ALGORITHM),
)


def verify_oidc(
    scheme: OidcScheme, headers: Headers, secrets: Sequence[Secret], now: datetime
) -> Verification:
    """Accept a token that a known key signed, for us, now, and for a sender the scheme names.

    UNKNOWN_KEY is what a caller answers by fetching the issuer's keys again, once.
    """
    if not scheme.audiences or not (scheme.emails or scheme.subjects):
        raise SignatureRefused(Reason.UNCONFIGURED)
    keys = public_keys(secrets)
    if not keys:
        raise SignatureRefused(Reason.NO_SECRET)
    token = _token(scheme, headers)
    algorithm, key_id = _algorithm_and_key_id(scheme, token)
    candidates = named(keys, key_id)
    if not candidates:
        raise SignatureRefused(Reason.UNKNOWN_KEY, scheme.header)
    index, key, claims = _signed_claims(scheme, token, algorithm, candidates)
    issued = _check_times(scheme, claims, now)
    _check_identity(scheme, claims)
    return Verification(index, key.key_id, issued, None, claims)


def _token(scheme: OidcScheme, headers: Headers) -> str:
    text = read_header(headers, scheme.header)
    # The name of an authentication scheme is case-insensitive (RFC 9110, section 11.1).
    if text[: len(scheme.prefix)].lower() != scheme.prefix.lower():
        raise SignatureRefused(Reason.MALFORMED, scheme.header)
    return text[len(scheme.prefix) :]


def _algorithm_and_key_id(scheme: OidcScheme, token: str) -> tuple[str, str | None]:
    try:
        header = jwt.get_unverified_header(token)
    except _UNREADABLE:
        raise SignatureRefused(Reason.MALFORMED, scheme.header) from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in scheme.algorithms:
        raise SignatureRefused(Reason.WRONG_ALGORITHM, scheme.header)
    return algorithm, key_id


def _signed_claims(
    scheme: OidcScheme, token: str, algorithm: str, candidates: list[tuple[int, PublicKey]]
) -> tuple[int, PublicKey, dict[str, Any]]:
    for index, key in candidates:
        if not isinstance(key.key, _KEY_TYPES[algorithm]):
            continue
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=scheme.audiences,
                issuer=scheme.issuers,
                options={
                    "require": ["iss", "aud", "exp", "iat"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue
        except _UNREADABLE as error:
            reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.MALFORMED)
            raise SignatureRefused(reason, scheme.header) from None
        return index, key, claims
    raise SignatureRefused(Reason.MISMATCH, scheme.header)


def _check_times(scheme: OidcScheme, claims: Mapping[str, Any], now: datetime) -> datetime:
    moment, leeway = now.timestamp(), scheme.leeway_seconds
    expires, issued = _numeric(scheme, claims["exp"]), _numeric(scheme, claims["iat"])
    not_before = _numeric(scheme, claims["nbf"]) if "nbf" in claims else issued
    if moment >= expires + leeway:
        raise SignatureRefused(Reason.EXPIRED, scheme.header)
    if moment < max(issued, not_before) - leeway:
        raise SignatureRefused(Reason.NOT_YET_VALID, scheme.header)
    return datetime.fromtimestamp(issued, UTC)


def _numeric(scheme: OidcScheme, value: object) -> float:
    """A NumericDate (RFC 7519, section 2) of the kind people issue: finite, after 1970, before the year 5138."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SignatureRefused(Reason.MALFORMED, scheme.header)
    if not (0 <= value < 100_000_000_000 and math.isfinite(value)):
        raise SignatureRefused(Reason.MALFORMED, scheme.header)
    return float(value)


def _check_identity(scheme: OidcScheme, claims: Mapping[str, Any]) -> None:
    if scheme.subjects and claims.get("sub") not in scheme.subjects:
        raise SignatureRefused(Reason.WRONG_IDENTITY, scheme.header)
    if scheme.emails and (
        claims.get("email") not in scheme.emails or claims.get("email_verified") is not True
    ):
        raise SignatureRefused(Reason.WRONG_IDENTITY, scheme.header)
