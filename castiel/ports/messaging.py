"""Queues and events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from castiel import tracing

MAX_BASE = 100
"""Of an id before its hops: Service Bus takes 128 characters."""


def again_id(message_id: str, about: str) -> str:
    """The id of a message that a person sends again: the same each time for the same ``about``, and no other's."""
    told = hashlib.sha256(f"{message_id}|{about}".encode()).hexdigest()
    return f"{message_id.partition('#')[0][:60]}:again-{told[:16]}"


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message to send. ``message_id`` decides what counts as a duplicate within the queue's window.

    ``due``: when it becomes visible (now with ``None``). ``properties``: the application properties. ``trace``: the
    trace it belongs to, the one it was made in unless it says otherwise.
    """

    message_id: str
    body: str
    correlation_id: str
    due: datetime | None = None
    time_to_live: timedelta | None = None
    properties: Mapping[str, str | int] = field(default_factory=dict)
    trace: tracing.Carrier = field(default_factory=tracing.carrier, compare=False)


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as a trigger hands it over."""

    body: bytes
    message_id: str
    correlation_id: str | None = None
    delivery_count: int = 0
    enqueued_at: datetime | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The id of the message that this one is, or is a copy of."""
        return self.message_id.partition("#")[0]

    @property
    def hop(self) -> int:
        """How often it was put back before, for whatever reason: the end of its id says so."""
        _, _, hop = self.message_id.rpartition("#")
        return int(hop) if hop.isdigit() else 0

    @property
    def next_id(self) -> str:
        """The id of the copy that is put back: no copy of another message has it, nor one from before a replay."""
        base, separator, hop = self.message_id.rpartition("#")
        if not separator or not hop.isdigit():
            base = self.message_id
        if len(base) > MAX_BASE:
            base = hashlib.sha256(base.encode()).hexdigest()
        return f"{base}#{self.hop + 1}"

    @property
    def attempt(self) -> int:
        """How many tries ended in a retryable failure before this one."""
        value = self.properties.get("attempt", 0)
        return int(value) if isinstance(value, int | float) or str(value).isdigit() else 0

    @property
    def trace(self) -> tracing.Carrier:
        """The trace its sender was in; empty when nothing was traced."""
        return tracing.carrier_of(self.properties)


class Queue(Protocol):
    """One queue."""

    name: str

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        """Send all, in as few batches as the queue's size limits allow; durable when it returns.

        Raises :class:`~castiel.errors.QueueUnavailable` (some may have been sent) or
        :class:`~castiel.errors.MessageTooLarge` (that message was not; those before it were).
        """


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent. ``data`` holds no secret and no record's values."""

    type: str
    subject: str
    data: Mapping[str, Any]
    tenant_id: str
    correlation_id: str | None = None


class EventPublisher(Protocol):
    """Tells whoever listens. Nothing depends on it, so a failure is logged, never raised."""

    async def publish(self, event: Event) -> None: ...
    async def publish_many(self, events: Sequence[Event]) -> None:
        """The same for several, in one call."""
