"""Why a delivery was refused: a fixed list of reasons, none of which repeats what was sent."""

from __future__ import annotations

from enum import StrEnum

from castiel.errors import SignatureInvalid


class Reason(StrEnum):
    """Machine-readable cause of a refusal; goes to the audit record and to logs."""

    MISSING_HEADER = "missing_header"
    DUPLICATE_HEADER = "duplicate_header"
    MALFORMED = "malformed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    MISMATCH = "mismatch"
    NO_SECRET = "no_secret"  # noqa: S105 - a reason, not a secret
    UNKNOWN_KEY = "unknown_key"
    WRONG_ALGORITHM = "wrong_algorithm"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_IDENTITY = "wrong_identity"
    UNCONFIGURED = "unconfigured"


_TEXT = {
    Reason.MISSING_HEADER: "a required header is missing or empty",
    Reason.DUPLICATE_HEADER: "a header that may come once came several times",
    Reason.MALFORMED: "a header does not have the form the scheme asks for",
    Reason.EXPIRED: "the signature is too old",
    Reason.NOT_YET_VALID: "the signature's time lies in the future",
    Reason.MISMATCH: "no live secret or key gives this signature",
    Reason.NO_SECRET: "the registration has no usable secret or key",
    Reason.UNKNOWN_KEY: "the named key is not among the known ones",
    Reason.WRONG_ALGORITHM: "the token's algorithm is not one the scheme allows",
    Reason.WRONG_ISSUER: "the token's issuer is not an accepted one",
    Reason.WRONG_AUDIENCE: "the token was made for somebody else",
    Reason.WRONG_IDENTITY: "the token names a sender that is not an accepted one",
    Reason.UNCONFIGURED: "the scheme lacks a setting without which nothing may be accepted",
}


class SignatureRefused(SignatureInvalid):
    """The sender of the webhook can't be verified, for a reason a program can tell apart."""

    def __init__(self, reason: Reason, header: str | None = None) -> None:
        """``header``: the header concerned, as the *scheme* names it; never anything that was received."""
        where = f" ({header})" if header else ""
        super().__init__(f"{reason.value}: {_TEXT[reason]}{where}")
        self.reason = reason
        self.header = header
