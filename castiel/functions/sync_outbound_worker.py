"""SyncOutboundWorker: each message's change arrives once, in the provider's own batches."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from castiel import telemetry
from castiel.domain.messages import OutboundMessage, OutboundSource, SyncMessage, parse_outbound
from castiel.domain.results import PushResult
from castiel.domain.retry import RetryIn
from castiel.errors import CastielError, InvalidMessage, LeaseHeld, RateLimited
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, ReceivedMessage
from castiel.ports.stores import ResultStore
from castiel.services.push import Pushed, PushService
from castiel.services.push_task import PushTaskService
from castiel.services.refetch import RefetchService
from castiel.services.retries import Retries, message_json

logger = logging.getLogger(__name__)

MAX_PUT_BACKS_IN_COMPANY = 5
"""How often an unreadable message is set apart from its batch before it is recorded as failed."""


@dataclass(frozen=True, slots=True)
class _Change:
    received: ReceivedMessage
    message: OutboundMessage


class SyncOutboundWorker:
    """Handles a batch of ``sync-outbound``. One message's failure is that message's alone."""

    def __init__(
        self,
        push: PushService,
        push_tasks: PushTaskService,
        refetch: RefetchService,
        results: ResultStore,
        queue: Queue,
        retries: Retries,
        clock: Clock,
    ) -> None:
        self._push = push
        self._push_tasks = push_tasks
        self._refetch = refetch
        self._results = results
        self._queue = queue
        self._retries = retries
        self._clock = clock

    async def handle(self, batch: Sequence[ReceivedMessage]) -> None:
        """Raises only when nothing else was in the batch with what can't be read: the host then abandons it."""
        with telemetry.log_context(function="SyncOutboundWorker"):
            changes: dict[tuple[str, str, str | None], list[_Change]] = defaultdict(list)
            for received in batch:
                try:
                    message = parse_outbound(received.body)
                except InvalidMessage as error:
                    await self._set_apart(received, error, alone=len(batch) == 1)
                    continue
                if isinstance(message, SyncMessage):
                    await self._guard(received, None, self._push_tasks.run(message))
                elif message.source is OutboundSource.WEBHOOK:
                    await self._guard(received, message, self._refetch.bring_up_to_date(message))
                else:
                    key = (message.tenant_id, message.connection_id, message.entity)
                    changes[key].append(_Change(received, message))
            for group in changes.values():
                await self._push_group(group)

    async def _push_group(self, group: list[_Change]) -> None:
        started = self._clock.monotonic()
        newest = {change.message.entity_id: change for change in group}
        outcomes = await self._push.push(
            [change.message for change in newest.values()],
            {c.message.entity_id: c.received.attempt + c.received.delivery_count for c in newest.values()},
        )
        share = (self._clock.monotonic() - started) * 1000 / max(1, len(newest))
        for change in group:
            outcome = outcomes[change.message.entity_id]
            if newest[change.message.entity_id] is change:
                await self._settle(change, outcome, share)

    async def _settle(self, change: _Change, outcome: Pushed, duration: float) -> None:
        error = outcome.error
        if error is not None and await self._try_again(change.received, error):
            return
        await self._results.put(self._result(change, outcome, duration))
        telemetry.record("outbound_worker_duration_ms", duration, integration=change.message.integration_id)
        name = "outbound_worker_failure" if error else "outbound_worker_success"
        telemetry.count(name, integration=change.message.integration_id)
        if error is not None:
            logger.error(
                "push failed: %s", error, extra={"entityId": change.message.entity_id, "error": error.code}
            )

    async def _guard(self, received: ReceivedMessage, message: OutboundMessage | None, work: object) -> None:
        """Await one message's own work; a failure that may pass is put back, another one is recorded."""
        try:
            await work  # type: ignore[misc]
        except CastielError as error:
            if await self._try_again(received, error):
                return
            if message is None:
                raise
            logger.error("webhook not applied: %s", error, extra={"error": error.code})
            outcome = Pushed(message.operation, message.external_id, error)
            await self._results.put(self._result(_Change(received, message), outcome, 0.0))

    async def _try_again(self, received: ReceivedMessage, error: CastielError) -> bool:
        if isinstance(error, LeaseHeld | RateLimited):
            # Not a failure: somebody works on the shard, or our own limit says later.
            delay = error.retry_after or 1.0
            await self._retries.put_back(
                self._queue, received, delay=delay, attempt=received.attempt, reason=error.code
            )
            return True
        decision = self._retries.decide(error, received.attempt)
        if not isinstance(decision, RetryIn):
            return False
        await self._retries.put_back(
            self._queue, received, delay=decision.delay, attempt=decision.attempt, reason=error.code
        )
        return True

    async def _set_apart(self, received: ReceivedMessage, error: InvalidMessage, *, alone: bool) -> None:
        """A batch is completed or abandoned as a whole: what can't be read must not take the others with it."""
        logger.error("message can't be read: %s", error, extra={"deliveryCount": received.delivery_count})
        if alone or received.attempt >= MAX_PUT_BACKS_IN_COMPANY:
            raise error
        await self._retries.put_back(
            self._queue,
            received,
            delay=2.0**received.attempt,
            attempt=received.attempt + 1,
            reason=error.code,
        )

    def _result(self, change: _Change, outcome: Pushed, duration: float) -> PushResult:
        message, received, error = change.message, change.received, outcome.error
        now = self._clock.now()
        return PushResult(
            id=f"outbound-{message.entity_id}-{int(now.timestamp() * 1000)}",
            integration_id=message.integration_id,
            tenant_id=message.tenant_id,
            connection_id=message.connection_id,
            entity_id=message.entity_id,
            external_id=outcome.external_id,
            operation=outcome.operation,
            success=error is None,
            duration=int(duration),
            executed_at=now,
            correlation_id=message.correlation_id,
            attempt=received.attempt,
            conflicts=list(outcome.conflicts),
            retryable=error.retryable if error else None,
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            given_up_message=message_json(received) if error else None,
        )
