"""What a delivery asks Castiel to do: the messages of its events, with ids that follow from the delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from castiel.domain.messages import Operation, OutboundMessage, OutboundSource, SyncMessage
from castiel.domain.model import utc_date
from castiel.domain.tasks import Priority, SyncMode
from castiel.domain.webhooks import Delivery, Registration, WebhookAction, WebhookEvent, delivery_key
from castiel.ports.clock import Clock
from castiel.ports.messaging import QueueMessage

LARGE_CHARS = 48_000
"""A message's body beyond this leaves its changes behind. Service Bus takes 256 KB in the Standard tier, its own
overhead included, and a character may be four bytes long:
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas"""
MOST_RECORDS = 200
"""A delivery that names more records of one entity asks for what has changed in the entity instead."""
RECORDS_PER_PULL = 100
QUIET_SECONDS = 5
"""Notices about one entity within this time are one pull, which runs when it is over."""


@dataclass(slots=True)
class Orders:
    """Messages by queue. ``large``: changes were left behind, so the delivery's payload must be kept."""

    inbound: list[QueueMessage] = field(default_factory=list)
    outbound: list[QueueMessage] = field(default_factory=list)
    large: bool = False

    def __bool__(self) -> bool:
        return bool(self.inbound or self.outbound)


class OrderBook:
    """Turns events into messages."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def orders(
        self,
        registration: Registration,
        delivery: Delivery,
        events: Sequence[WebhookEvent],
        correlation_id: str,
    ) -> Orders:
        """The messages for the events of a delivery that are wanted."""
        found = Orders()
        named, entities = _sorted_out(events)
        key = delivery_key(registration.id, delivery.delivery_id)
        for entity in entities:
            found.inbound.append(self._entity_pull(registration, entity, correlation_id))
        if registration.action is WebhookAction.PULL:
            found.inbound += self._record_pulls(registration, named, key, correlation_id)
            return found
        for index, event in enumerate(named):
            body, large = self._change(registration, delivery, event, key, correlation_id)
            found.outbound.append(QueueMessage(f"wh:{key}:{index}", body, correlation_id))
            found.large = found.large or large
        return found

    def _change(
        self,
        registration: Registration,
        delivery: Delivery,
        event: WebhookEvent,
        key: str,
        correlation_id: str,
    ) -> tuple[str, bool]:
        now = self._clock.now()
        message = OutboundMessage(
            tenant_id=registration.tenant_id,
            integration_id=registration.integration_id,
            connection_id=registration.connection_id,
            entity_id=event.external_id or "",
            operation=event.operation or Operation.UPDATE,
            correlation_id=correlation_id,
            enqueued_at=now,
            source=OutboundSource.WEBHOOK,
            entity=event.entity,
            external_id=event.external_id,
            changes=dict(event.changes),
            changed_fields=list(event.changed_fields),
            occurred_at=event.occurred_at,
            registration_id=registration.id,
            delivery_id=delivery.delivery_id,
        )
        body = message.to_json_text()
        if len(body) <= LARGE_CHARS:
            return body, False
        message.changes = {}
        message.changed_fields = []
        message.changes_reference = f"webhook-audit/{registration.id}/{utc_date(now)}/{key}"
        return message.to_json_text(), True

    def _record_pulls(
        self, registration: Registration, events: Sequence[WebhookEvent], key: str, correlation_id: str
    ) -> list[QueueMessage]:
        newest: dict[str, dict[str, WebhookEvent]] = {}
        for event in events:
            newest.setdefault(event.entity or "", {})[event.external_id or ""] = event
        pulls = [
            (entity, list(found.values())[start : start + RECORDS_PER_PULL])
            for entity, found in newest.items()
            for start in range(0, len(found), RECORDS_PER_PULL)
        ]
        return [
            QueueMessage(
                f"wh:{key}:{index}", self._pull(registration, entity, some, correlation_id), correlation_id
            )
            for index, (entity, some) in enumerate(pulls)
        ]

    def _entity_pull(self, registration: Registration, entity: str, correlation_id: str) -> QueueMessage:
        """One for all notices of a few seconds: same id, and due when no more can join it."""
        bucket = int(self._clock.now().timestamp()) // QUIET_SECONDS
        due = datetime.fromtimestamp((bucket + 1) * QUIET_SECONDS, UTC) + timedelta(seconds=1)
        about = f"{registration.tenant_id}\x00{registration.connection_id}\x00{entity}"
        name = hashlib.sha256(about.encode()).hexdigest()[:32]
        body = self._pull(registration, entity, [], correlation_id)
        return QueueMessage(f"whp:{name}:{bucket}", body, correlation_id, due=due)

    def _pull(
        self, registration: Registration, entity: str, events: Sequence[WebhookEvent], correlation_id: str
    ) -> str:
        now = self._clock.now()
        return SyncMessage(
            integration_id=registration.integration_id,
            tenant_id=registration.tenant_id,
            connection_id=registration.connection_id,
            sync_mode=SyncMode.PULL,
            priority=Priority.HIGH,
            correlation_id=correlation_id,
            enqueued_at=now,
            entity=entity,
            external_ids=[event.external_id or "" for event in events],
            deletions={
                event.external_id or "": event.occurred_at or now
                for event in events
                if event.operation is Operation.DELETE
            },
        ).to_json_text()


def wanted(registration: Registration, delivery: Delivery) -> list[WebhookEvent]:
    """The events of a delivery that change something here."""
    if registration.action is WebhookAction.NONE:
        return []
    return [
        event
        for event in delivery.events
        if event.entity and not event.own_write and registration.wants(event.event_type)
    ]


def _sorted_out(events: Sequence[WebhookEvent]) -> tuple[list[WebhookEvent], list[str]]:
    """Events about records that are named, and entities of which only a look can tell what has changed."""
    counts: dict[str, int] = {}
    for event in events:
        if event.external_id:
            counts[event.entity or ""] = counts.get(event.entity or "", 0) + 1
    looked_through = {entity for entity, count in counts.items() if count > MOST_RECORDS}
    looked_through |= {event.entity or "" for event in events if not event.external_id}
    named = [event for event in events if event.external_id and event.entity not in looked_through]
    return named, sorted(looked_through)
