"""When a secret should be replaced, and when somebody should be warned: values and arithmetic, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from castiel.domain.model import Model, UtcDatetime


class RotationPolicy(Model):
    """How old a secret may get. All in days.

    ``automatic``: Castiel makes the next secret by itself. ``overlap_days``: both the old and the new one are
    accepted for so long.
    """

    max_age_days: int | None = Field(default=None, ge=1)
    warn_days: int = Field(default=14, ge=0)
    automatic: bool = False
    overlap_days: int = Field(default=7, ge=0)


class SecretOverlap(Model):
    """A rotation in progress: the version before the newest is accepted too.

    ``confirmed``: the sender has the new secret, because its API took it or a person said so.
    """

    previous_version: str
    started_at: UtcDatetime
    ends_at: UtcDatetime
    new_version: str | None = None
    confirmed: bool = False
    dropped: bool = False
    """The registration no longer names the old one; receivers may still have it in mind for a moment."""


class RotationState(StrEnum):
    """``due``: older than its policy allows. ``expired``: past its own expiry."""

    OK = "ok"
    WARN = "warn"
    DUE = "due"
    EXPIRED = "expired"


_PASSWORD = RotationPolicy(max_age_days=90, warn_days=14)
_CERTIFICATE = RotationPolicy(max_age_days=365, warn_days=30)
DEFAULT_POLICIES: Mapping[str, RotationPolicy] = {
    "apiKey": _PASSWORD,
    "basicAuthPassword": _PASSWORD,
    "clientCertificate": _CERTIFICATE,
    "clientPrivateKey": _CERTIFICATE,
    "webhookSecret": RotationPolicy(max_age_days=180, warn_days=14, automatic=True, overlap_days=7),
}
"""By credential type; the others have none (token pairs renew themselves, a user name is no secret that ages)."""


def due_at(policy: RotationPolicy | None, rotated_at: datetime | None) -> datetime | None:
    """When a secret of that age has to be replaced."""
    if policy is None or policy.max_age_days is None or rotated_at is None:
        return None
    return rotated_at + timedelta(days=policy.max_age_days)


def warn_at(
    policy: RotationPolicy | None, rotated_at: datetime | None, expires_at: datetime | None
) -> datetime | None:
    """When rotation or expiry first has to be looked at: the earlier of the two, less the warning time.

    A secret that rotates by itself needs no warning before it is due.
    """
    due = due_at(policy, rotated_at)
    ahead = timedelta(days=policy.warn_days if policy else RotationPolicy().warn_days)
    moments = []
    if due is not None:
        moments.append(due if policy and policy.automatic else due - ahead)
    if expires_at is not None:
        moments.append(expires_at - ahead)
    return min(moments, default=None)


def rotation_state(
    policy: RotationPolicy | None,
    rotated_at: datetime | None,
    expires_at: datetime | None,
    now: datetime,
) -> RotationState:
    """How urgent a replacement is."""
    if expires_at is not None and expires_at <= now:
        return RotationState.EXPIRED
    due = due_at(policy, rotated_at)
    if due is not None and due <= now:
        return RotationState.DUE
    first = warn_at(policy, rotated_at, expires_at)
    return RotationState.WARN if first is not None and first <= now else RotationState.OK
