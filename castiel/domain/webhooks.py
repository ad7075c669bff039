"""Webhooks: the endpoint issued to a connection, what arrives there, and the record of each delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from castiel.domain.messages import Operation
from castiel.domain.model import Document, Model, UtcDatetime, UtcSecond

AUDIT_TTL_SECONDS = 2_592_000


class WebhookAction(StrEnum):
    """What an event does: tell the other connections too, pull into our own shard only, or nothing."""

    PROPAGATE = "propagate"
    PULL = "pull"
    NONE = "none"


class PastWebhook(Model):
    """A webhook at the provider that another took the place of: it is deleted there, or ends by itself."""

    settings: dict[str, Any]
    """What the provider's adapter names it by."""
    ends_at: UtcDatetime | None = None


class Renewal(Model):
    """A webhook at the provider that ends by itself: what is needed to have the next one before that."""

    address: str
    """Where the provider sends to: the app's address and the registration's path."""
    made: int = 0
    """How many were made and stored so far."""
    ends_at: UtcDatetime | None = None
    """When the present one ends; ``None`` where it does not, or none was made yet."""
    renew_from: UtcDatetime | None = None
    secret_version: str | None = None
    """The version of the secret that the present one was made with."""
    past: list[PastWebhook] = Field(default_factory=list)
    failure: str | None = None
    """The code of the error that the last attempt ended with."""


class Registration(Document):
    """A document of the ``webhooks`` container, in the partition of its own id.

    ``scheme`` is a preset's name (``github``) or a whole signature scheme. ``secret_names`` are Key Vault
    secrets, newest first: more than one while a rotation overlaps.
    """

    tenant_id: str
    integration_id: str
    connection_id: str
    scheme: str | dict[str, Any]
    secret_names: list[str] = Field(default_factory=list)
    events: list[str] = Field(default_factory=lambda: ["*"])
    action: WebhookAction = WebhookAction.PROPAGATE
    enabled: bool = True
    """False: paused. A delivery is answered as if there were no such registration."""
    pending_verification: bool = False
    """No secret exists yet: the sender's first delivery brings it (Notion), and is taken once."""
    credential_id: str | None = None
    """The credential of the newest secret, where Castiel manages it."""
    rate_limit_per_minute: int | None = None
    max_body_bytes: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    created_at: UtcDatetime | None = None
    renewal: Renewal | None = None
    """Where Castiel made the webhook at the provider, and it ends by itself."""
    renew_at: UtcSecond | None = None
    """When the renewal has to be looked at next: what the scheduler finds it by."""

    def wants(self, event_type: str) -> bool:
        """Whether an event of this type matches one of the registration's patterns (``contact.*``)."""
        return any(fnmatchcase(event_type, pattern) for pattern in self.events)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A delivery as it came in: the raw body untouched, header names in lower case.

    ``settings``: the registration's own, added once it is known; they say which writer we are (``botId``).
    """

    registration_id: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    source_ip: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the body, or more where the sender announced more than the host has handed over."""
        declared = self.headers.get("content-length", "")
        announced = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 16 else 0
        return max(len(self.body), announced)


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """What the sender is told."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """What a provider announced about one record.

    ``external_id`` is ``None`` for an event about no record. ``own_write``: the provider marks it as ours.
    ``lifecycle`` names an event about the connection itself (``revoked``, ``suspended``), which is no change.
    """

    event_type: str
    entity: str | None = None
    external_id: str | None = None
    operation: Operation | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    changed_fields: tuple[str, ...] = ()
    occurred_at: datetime | None = None
    own_write: bool = False
    lifecycle: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A parsed delivery: its id at the provider, and the events it carries (usually one)."""

    delivery_id: str
    events: tuple[WebhookEvent, ...]


class PendingMessage(Model):
    """A queue message that waits in an audit record. ``queue``: ``inbound`` or ``outbound``."""

    queue: str
    message_id: str
    body: str
    correlation_id: str
    trace: dict[str, str] = Field(default_factory=dict)


class WebhookAudit(Document):
    """A document of the ``webhook-audit`` container, in the partition (registrationId, receivedOn)."""

    registration_id: str
    received_on: str
    received_at: UtcDatetime
    tenant_id: str | None = None
    delivery_id: str | None = None
    event_type: str | None = None
    entity_id: str | None = None
    verified: bool = False
    secret_index: int | None = None
    """Which of the registration's secrets the sender used: not 0 while it still has an older one."""
    queued: bool = False
    duplicate: bool = False
    status: int = 0
    reason: str | None = None
    duration: int = 0
    """Milliseconds."""
    source_ip: str | None = None
    correlation_id: str | None = None
    events: int | None = None
    """How many events the delivery carried, where it is not one."""
    lifecycle: str | None = None
    """What the delivery said about the connection itself."""
    payload: str | None = None
    """The body of a delivery too large for the queue (gzip, Base64): its messages refer to it."""
    pending: bool | None = None
    """True while messages wait here: what the sweep looks for, by the index."""
    pending_messages: list[PendingMessage] = Field(default_factory=list)
    """What could not be queued yet, while Service Bus is down: the sweep sends it."""
    ttl: int = AUDIT_TTL_SECONDS


def delivery_key(registration_id: str, delivery_id: str) -> str:
    """A short id, safe in a message id and a document id, for one delivery of one registration."""
    return hashlib.sha256(f"{registration_id}\x00{delivery_id}".encode()).hexdigest()[:40]
