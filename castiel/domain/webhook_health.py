"""How a registration does, from the records of its deliveries: a verdict, counts, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from castiel.domain.model import Model, UtcDatetime
from castiel.domain.webhooks import Registration, WebhookAudit

HEALTH_WINDOW = timedelta(hours=24)
DEGRADED_SHARE = 0.05
"""Of deliveries refused or failed."""
FAILED_SHARE = 0.5
_HANDSHAKES = frozenset({"handshake", "first_secret"})
HELD_FOR = timedelta(minutes=90)
"""Longer than the scheduler's sweep leaves anything waiting."""


class Health(StrEnum):
    """``failed``: most of what arrives is lost or refused. ``degraded``: some is, or something needs a person."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"


class RegistrationHealth(Model):
    """The verdict on a registration over the last 24 hours."""

    registration_id: str
    health: Health
    deliveries: int = 0
    accepted: int = 0
    refused: int = 0
    malformed: int = 0
    rate_limited: int = 0
    """Minutes in which deliveries were turned away, not deliveries."""
    pending: int = 0
    own_test: int = 0
    handshakes: int = 0
    """Deliveries by which the provider made sure of the address, or brought its secret: no events."""
    last_received_at: UtcDatetime | None = None
    last_accepted_at: UtcDatetime | None = None
    reasons: dict[str, int] = Field(default_factory=dict)
    recommendations: list[str] = Field(default_factory=list)


def assess(
    registration: Registration, deliveries: Iterable[WebhookAudit], now: datetime
) -> RegistrationHealth:
    """Judge a registration by its deliveries of the last 24 hours."""
    found = RegistrationHealth(registration_id=registration.id, health=Health.HEALTHY)
    old_secret = oldest_pending = None
    for one in deliveries:
        _count(found, one)
        if one.verified and one.secret_index:
            old_secret = one.secret_index
        if one.pending:
            oldest_pending = min(oldest_pending or one.received_at, one.received_at)
    failed = _advise(found, registration, old_secret is not None, oldest_pending, now)
    lost = found.refused + found.malformed
    share = lost / found.deliveries if found.deliveries else 0.0
    if failed or share > FAILED_SHARE:
        found.health = Health.FAILED
    elif found.recommendations or share > DEGRADED_SHARE:
        found.health = Health.DEGRADED
    return found


def _count(found: RegistrationHealth, one: WebhookAudit) -> None:
    found.last_received_at = max(found.last_received_at or one.received_at, one.received_at)
    if one.reason:
        found.reasons[one.reason] = found.reasons.get(one.reason, 0) + 1
    if one.status == 429:
        found.rate_limited += 1
        return
    found.deliveries += 1
    found.pending += bool(one.pending)
    if one.status == 200:
        found.accepted += 1
        found.own_test += one.reason == "test"
        found.handshakes += one.reason in _HANDSHAKES
        found.last_accepted_at = max(found.last_accepted_at or one.received_at, one.received_at)
    elif one.status == 401:
        found.refused += 1
    else:
        found.malformed += 1


def _advise(
    found: RegistrationHealth,
    registration: Registration,
    old_secret: bool,
    oldest_pending: datetime | None,
    now: datetime,
) -> bool:
    """Add what a person should do. Returns whether the registration can't work at all as it is."""
    say = found.recommendations.append
    failed = False
    if not registration.enabled:
        say("The registration is paused: resume it to take deliveries again.")
    if registration.pending_verification:
        say("The sender has not handed over its verification token yet: make it send the first delivery.")
    elif not registration.secret_names and not registration.settings and isinstance(registration.scheme, str):
        say("The registration has no secret: every delivery is refused. Rotate it to make one.")
        failed = True
    if found.reasons.get("mismatch") or found.reasons.get("unknown_key"):
        say("Signatures don't match: set the registration's present secret or key at the provider.")
    if found.reasons.get("missing_header") or found.reasons.get("malformed"):
        say(
            "Signature headers are missing or malformed: compare the registration's scheme with what is sent."
        )
    if found.reasons.get("expired") or found.reasons.get("not_yet_valid"):
        say("Timestamps are outside the tolerance: check the sender's clock, or a proxy that holds requests.")
    if found.reasons.get("unconfigured"):
        say("The signature scheme lacks a setting: set its audiences and emails (or subjects).")
        failed = True
    if found.malformed:
        say("Bodies could not be read: check the content type and format that the provider is set to.")
    if found.rate_limited:
        say(
            "Deliveries were turned away by the rate limit: raise the registration's limit or slow the sender."
        )
    failed = _advise_renewal(say, registration, now) or failed
    if old_secret:
        say("Deliveries still use the secret before the newest: set the new one before the overlap ends.")
    if oldest_pending is not None and now - oldest_pending > HELD_FOR:
        say("Deliveries have waited for the queue for too long: check Service Bus and the scheduler.")
    if registration.enabled and not registration.pending_verification:
        _advise_silence(say, found, registration, now)
    return failed


def _advise_silence(
    say: Callable[[str], None], found: RegistrationHealth, registration: Registration, now: datetime
) -> None:
    """Of a registration that has been there for a day in which no event came, not even one that was turned away."""
    if found.rate_limited or found.deliveries > found.own_test + found.handshakes:
        return
    if registration.created_at is not None and now - registration.created_at <= HEALTH_WINDOW:
        return
    if found.handshakes:
        say(
            "Only the provider's handshake has arrived in 24 hours, no event: check which events its webhook is"
            " subscribed to."
        )
    elif found.own_test:
        say(
            "Only our own test has arrived in 24 hours, nothing from the provider: check that it still has the"
            " webhook's address."
        )
    else:
        say("Nothing has arrived in 24 hours: check that the provider still has the webhook's address.")


def _advise_renewal(say: Callable[[str], None], registration: Registration, now: datetime) -> bool:
    """Of a webhook that ends by itself. Returns whether it has ended, or was never made."""
    renewal = registration.renewal
    if renewal is None:
        return False
    why = f" ({renewal.failure})" if renewal.failure else ""
    if renewal.made == 0:
        say(f"The provider has no webhook yet{why}: check the connection and the scheduler.")
        return True
    if renewal.ends_at is not None and renewal.ends_at <= now:
        say(
            f"The provider's webhook ended at {renewal.ends_at:%Y-%m-%d %H:%M}Z and could not be made anew{why}:"
            " check the connection and the scheduler; what changed meanwhile is found by the next sync."
        )
        return True
    if renewal.renew_from is not None and now - renewal.renew_from > HELD_FOR:
        say(
            f"The provider's webhook ends at {renewal.ends_at:%Y-%m-%d %H:%M}Z and could not be made anew yet{why}:"
            " check the connection and the scheduler."
        )
    return False
