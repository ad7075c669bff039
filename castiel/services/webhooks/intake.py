"""How a delivery becomes durable before its sender is told so: in the queue, or in its audit record for later."""

from __future__ import annotations

import base64
import gzip
import logging
from collections.abc import Sequence

from castiel.domain.webhooks import PendingMessage, WebhookAudit
from castiel.errors import CastielError, DependencyUnavailable, MessageTooLarge, StoreUnavailable
from castiel.ports.messaging import Queue, QueueMessage
from castiel.ports.stores import WebhookAuditStore
from castiel.services.group_commit import GroupCommit
from castiel.services.webhooks.orders import Orders

logger = logging.getLogger(__name__)

INBOUND, OUTBOUND = "inbound", "outbound"
AUDITS_AT_ONCE = 100
MOST_HELD_CHARS = 1_000_000
"""What one audit record may hold of messages and payload, under the 2 MB of a document:
https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits"""


class DeliveryIntake:
    """Takes what deliveries ordered. Those that arrive together share one batch per queue and one audit write."""

    def __init__(self, inbound: Queue, outbound: Queue, audit: WebhookAuditStore) -> None:
        self._queues = {INBOUND: inbound, OUTBOUND: outbound}
        self._audits: GroupCommit[WebhookAudit] = GroupCommit(
            audit.put_many, max_items=AUDITS_AT_ONCE, at_once=2
        )

    async def take(self, orders: Orders, audit: WebhookAudit, body: bytes) -> None:
        """Durable when it returns: queued, or held in the audit record.

        Raises :class:`DependencyUnavailable` when neither the queue nor the store takes it.
        """
        if orders.large:
            audit.payload = _packed(body)
        if orders:
            audit.queued = await self._queue(orders, audit)
        try:
            await self._audits.add(audit)
        except StoreUnavailable as error:
            if audit.pending:
                raise
            # The event itself is in the queue.
            logger.error("audit record lost: %s", error, extra={"alert": "webhook_audit_lost"})

    async def note(self, audit: WebhookAudit) -> None:
        """Write a record that nothing depends on: a refusal's. Its loss is logged."""
        try:
            await self._audits.add(audit)
        except CastielError as error:
            logger.error("audit record lost: %s", error, extra={"alert": "webhook_audit_lost"})

    async def _queue(self, orders: Orders, audit: WebhookAudit) -> bool:
        parts = ((INBOUND, orders.inbound), (OUTBOUND, orders.outbound))
        for index, (name, messages) in enumerate(parts):
            try:
                await self._queues[name].send(messages)
            except (DependencyUnavailable, MessageTooLarge) as error:
                # What was sent of them already is told apart by the message ids.
                _hold(audit, parts[index:], error)
                return False
        return True


def _hold(
    audit: WebhookAudit, parts: Sequence[tuple[str, Sequence[QueueMessage]]], error: CastielError
) -> None:
    held = [
        PendingMessage(
            queue=name,
            message_id=message.message_id,
            body=message.body,
            correlation_id=message.correlation_id,
            trace=dict(message.trace),
        )
        for name, messages in parts
        for message in messages
    ]
    if sum(len(message.body) for message in held) + len(audit.payload or "") > MOST_HELD_CHARS:
        raise error
    audit.pending = True
    audit.pending_messages = held


def _packed(body: bytes) -> str | None:
    packed = base64.b64encode(gzip.compress(body, 1)).decode("ascii")
    if len(packed) <= MOST_HELD_CHARS:
        return packed
    logger.warning("a delivery's payload is too large to be kept; its records are read from the provider")
    return None
