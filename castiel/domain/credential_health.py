"""How well a credential does, and how a tenant's credentials do together: judged from metadata alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from castiel.domain.credentials import Credential, CredentialType
from castiel.domain.rotation import DEFAULT_POLICIES, RotationPolicy, RotationState, rotation_state


class Health(StrEnum):
    """``degraded``: it works, and somebody should look at it. ``failed``: it does not work."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CredentialHealth:
    """A verdict, what it rests on, and what to do."""

    status: Health
    reasons: tuple[str, ...] = ()
    recommendations: tuple[str, ...] = ()


@dataclass(slots=True)
class CredentialStatistics:
    """Counts over a tenant's credentials."""

    total: int = 0
    enabled: int = 0
    needs_reauth: int = 0
    expired: int = 0
    rotation_due: int = 0
    refreshes: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_integration: Counter[str] = field(default_factory=Counter)
    by_health: Counter[str] = field(default_factory=Counter)


def policy_of(credential: Credential) -> RotationPolicy | None:
    """The credential's own policy, or its type's."""
    return credential.rotation or DEFAULT_POLICIES.get(credential.type.value)


def rotation_of(credential: Credential, now: datetime) -> RotationState:
    """How urgent a replacement is. A token pair renews itself, so its expiry is no reason to rotate."""
    if credential.type is CredentialType.OAUTH2:
        return RotationState.OK
    rotated = credential.last_rotated_at or credential.created_at
    return rotation_state(policy_of(credential), rotated, credential.expiry_time, now)


_FAILED = (
    (lambda c: c.revoked_at is not None, "revoked", "store a new credential"),
    (lambda c: not c.enabled, "disabled", "enable it, or store a new one"),
    (
        lambda c: c.needs_reauth,
        "waits for re-authorisation",
        "authorise the connection again",
    ),
)
_BY_ROTATION = {
    RotationState.EXPIRED: (Health.FAILED, "expired", "replace it now"),
    RotationState.DUE: (Health.DEGRADED, "older than its policy allows", "rotate it"),
    RotationState.WARN: (Health.DEGRADED, "has to be replaced soon", "plan its rotation"),
}


def assess(credential: Credential, now: datetime) -> CredentialHealth:
    """The verdict on one credential."""
    found: list[tuple[Health, str, str]] = [
        (Health.FAILED, reason, advice) for applies, reason, advice in _FAILED if applies(credential)
    ]
    state = _BY_ROTATION.get(rotation_of(credential, now))
    if state is not None:
        found.append(state)
    if credential.consecutive_failures and not credential.needs_reauth:
        reason = f"its last {credential.consecutive_failures} refreshes failed ({credential.last_error_code})"
        found.append((Health.DEGRADED, reason, "see the errors of TokenRefresher"))
    if credential.type is CredentialType.OAUTH2 and credential.expiry_time and credential.expiry_time <= now:
        found.append((Health.DEGRADED, "its token has expired", "it is refreshed at its next use"))
    if credential.overlap is not None and not credential.overlap.confirmed:
        found.append((Health.DEGRADED, "its sender still uses the old secret", "set the new secret there"))
    status = max((level for level, _, _ in found), key=list(Health).index, default=Health.HEALTHY)
    return CredentialHealth(
        status, tuple(reason for _, reason, _ in found), tuple(advice for _, _, advice in found)
    )


def summarise(credentials: Iterable[Credential], now: datetime) -> CredentialStatistics:
    """The counts."""
    counts = CredentialStatistics()
    for credential in credentials:
        counts.total += 1
        counts.enabled += credential.enabled
        counts.needs_reauth += credential.needs_reauth
        counts.expired += credential.expiry_time is not None and credential.expiry_time <= now
        counts.rotation_due += rotation_of(credential, now) is not RotationState.OK
        counts.refreshes += credential.refresh_count
        counts.by_type[credential.type.value] += 1
        counts.by_integration[credential.integration_id] += 1
        counts.by_health[assess(credential, now).status.value] += 1
    return counts
