"""What could not be queued when it arrived, and waits in its audit record."""

from __future__ import annotations

import asyncio
import logging

from castiel.domain.webhooks import WebhookAudit
from castiel.errors import CastielError
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage
from castiel.ports.stores import WebhookAuditStore
from castiel.services.webhooks.intake import INBOUND, OUTBOUND

logger = logging.getLogger(__name__)


FIRST_WAIT_SECONDS = 10.0
TRIES = 6
"""Of a receiver's own, each after twice the wait of the one before; then it is the scheduler's."""


class PendingDeliveries:
    """Sends it once the queue works again: in the scheduler's sweep, and before that by the receiver that holds it."""

    def __init__(self, inbound: Queue, outbound: Queue, audit: WebhookAuditStore, clock: Clock) -> None:
        self._queues = {INBOUND: inbound, OUTBOUND: outbound}
        self._audit = audit
        self._clock = clock
        self._running: asyncio.Task[None] | None = None

    async def sweep(self) -> int:
        """Send all that waits. Returns how many deliveries that were. Two sweeps at once send the same ids.

        Raises :class:`~castiel.errors.DependencyUnavailable` when the queue or the store still doesn't work.
        """
        sent = 0
        async for audit in self._audit.with_pending_messages():
            try:
                await self._send(audit)
                sent += 1
            except CastielError as error:
                if error.retryable:
                    raise
                logger.error(
                    "a late delivery can't be queued: %s",
                    error,
                    extra={"registrationId": audit.registration_id, "auditId": audit.id},
                )
        if sent:
            logger.info("deliveries queued late", extra={"deliveries": sent})
        return sent

    def expect(self) -> None:
        """Something was held just now: try in the background, unless that is under way."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._try())

    async def stop(self) -> None:
        """End the background: for the end of a command or a test."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _try(self) -> None:
        for attempt in range(TRIES):
            await self._clock.sleep(FIRST_WAIT_SECONDS * 2.0**attempt)
            try:
                await self.sweep()
            except CastielError as error:
                logger.warning("late deliveries wait on: %s", error, extra={"error": error.code})
            else:
                return

    async def _send(self, audit: WebhookAudit) -> None:
        for name, queue in self._queues.items():
            await queue.send(
                [
                    QueueMessage(
                        message.message_id, message.body, message.correlation_id, trace=message.trace
                    )
                    for message in audit.pending_messages
                    if message.queue == name
                ]
            )
        audit.pending = None
        audit.pending_messages = []
        audit.queued = True
        await self._audit.put(audit)
