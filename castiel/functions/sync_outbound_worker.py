"""SyncOutboundWorker: each message's change arrives once, in the provider's own batches."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from castiel import telemetry, tracing
from castiel.domain.messages import OutboundMessage, OutboundSource, SyncMessage, parse_outbound
from castiel.domain.pushing import newest_per_shard
from castiel.domain.results import PushResult
from castiel.domain.retry import MAX_DELAY_SECONDS, RetryIn
from castiel.errors import (
    CastielError,
    FirstPullPending,
    InvalidMessage,
    LeaseHeld,
    OutcomeUnknown,
    RateLimited,
    Unexpected,
)
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage, ReceivedMessage
from castiel.ports.stores import ResultStore
from castiel.services.push import PushService
from castiel.services.push_task import PushTaskService
from castiel.services.push_work import Pushed
from castiel.services.refetch import RefetchService
from castiel.services.retries import Retries, message_json
from castiel.services.time_budget import TimeBudgetSpent

logger = logging.getLogger(__name__)

FIRST_PULL_SECONDS = 5.0
"""The shortest time until a create looks again whether its connection has been pulled."""


@dataclass(frozen=True, slots=True)
class _Change:
    received: ReceivedMessage
    message: OutboundMessage


@dataclass
class _Batch:
    """What a batch came to: results and delayed copies are each written in one go at its end."""

    alone: bool
    """Whether one message is all of it: then what is unexpected is the host's to abandon."""
    results: list[tuple[ReceivedMessage, PushResult]] = field(default_factory=list)
    copies: list[QueueMessage] = field(default_factory=list)


_Handler = Callable[[list[_Change], _Batch], Awaitable[None]]


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
        *,
        concurrency: int = 8,
        lost_answer_seconds: float = 30.0,
    ) -> None:
        """``lost_answer_seconds``: how long a write whose answer never came may still be on its way."""
        self._push = push
        self._push_tasks = push_tasks
        self._refetch = refetch
        self._results = results
        self._queue = queue
        self._retries = retries
        self._clock = clock
        self._concurrency = concurrency
        self._lost_answer = lost_answer_seconds

    async def handle(self, received: Sequence[ReceivedMessage]) -> None:
        """Raises only for a message that is alone and can't be read, or fails unexpectedly: the host abandons it."""
        with telemetry.log_context(function="SyncOutboundWorker"), tracing.span("SyncOutboundWorker"):
            batch = _Batch(alone=len(received) == 1)
            work = self._sort(received, batch)
            slots = asyncio.Semaphore(self._concurrency)
            async with asyncio.TaskGroup() as group:
                for item in work:
                    group.create_task(_within(slots, item))
            # Results before copies: a crash in between repeats a result that has the same id.
            await self._store_results(batch)
            await self._queue.send(batch.copies)

    async def _store_results(self, batch: _Batch) -> None:
        """Messages whose results can't be stored now are put back: done again, they find that it is done."""
        try:
            await self._results.put_many([result for _, result in batch.results])
        except CastielError as error:
            put_back = [self._try_again(received, error, batch) for received, _ in batch.results]
            if not all(put_back):
                raise

    def _sort(
        self, received: Sequence[ReceivedMessage], batch: _Batch
    ) -> list[Callable[[], Awaitable[None]]]:
        """By what has to be done: pushes and refetches of one connection's entity go together."""
        pushes: dict[tuple[str, ...], list[_Change]] = defaultdict(list)
        refetches: dict[tuple[str, ...], list[_Change]] = defaultdict(list)
        work: list[Callable[[], Awaitable[None]]] = []
        for each in received:
            try:
                message = parse_outbound(each.body)
            except InvalidMessage as error:
                self._set_apart(each, error, batch)
                continue
            if isinstance(message, SyncMessage):
                work.append(lambda m=message, r=each: self._run_task(m, r, batch))  # type: ignore[misc]
                continue
            key = (message.tenant_id, message.connection_id, message.entity or "")
            groups = refetches if message.source is OutboundSource.WEBHOOK else pushes
            groups[key].append(_Change(each, message))
        for handler, groups in ((self._push_group, pushes), (self._refetch_group, refetches)):
            work += [lambda h=handler, g=group: self._guarded(h, g, batch) for group in groups.values()]  # type: ignore[misc]
        return work

    async def _guarded(self, handler: _Handler, group: list[_Change], batch: _Batch) -> None:
        """A bug that one message meets is that message's alone: its group is tried again one by one."""
        try:
            await handler(group, batch)
        except Exception as error:
            if batch.alone:
                raise
            if len(group) > 1:
                for change in group:
                    await self._guarded(handler, [change], batch)
                return
            logger.exception("message failed unexpectedly", extra={"entityId": group[0].message.entity_id})
            unexpected = Unexpected(f"unexpected: {type(error).__name__}")
            message = group[0].message
            self._settle(group[0], Pushed(message.operation, message.external_id, unexpected), 0.0, batch)

    async def _push_group(self, group: list[_Change], batch: _Batch) -> None:
        started = self._clock.monotonic()
        # Of a message and its own copy (its lock was lost meanwhile) the copy counts: put back once more, the message
        # would be the copy's duplicate, and dropped with it.
        group = sorted(group, key=lambda change: change.received.hop)
        by_message = {id(change.message): change for change in group}
        chosen = [by_message[id(m)] for m in newest_per_shard(change.message for change in group)]
        with _traced("SyncOutboundWorker push", group):
            outcomes = await self._push.push(
                [change.message for change in chosen],
                # A copy of a failed message is delivered for the first time, but the work is not.
                {c.message.entity_id: c.received.delivery_count + c.received.attempt for c in chosen},
            )
            share = (self._clock.monotonic() - started) * 1000 / len(chosen)
            for change in chosen:
                self._settle(change, outcomes[change.message.entity_id], share, batch)

    async def _refetch_group(self, group: list[_Change], batch: _Batch) -> None:
        with _traced("SyncOutboundWorker refetch", group):
            errors = await self._refetch.bring_up_to_date([change.message for change in group])
            for change, error in zip(group, errors, strict=True):
                if error is None or self._try_again(change.received, error, batch):
                    continue
                logger.error("webhook not applied: %s", error, extra=_dimensions(change, error))
                outcome = Pushed(change.message.operation, change.message.external_id, error)
                batch.results.append((change.received, self._result(change, outcome, 0.0)))

    async def _run_task(self, message: SyncMessage, received: ReceivedMessage, batch: _Batch) -> None:
        with (
            telemetry.log_context(
                tenantId=message.tenant_id,
                connectionId=message.connection_id,
                integrationId=message.integration_id,
                correlationId=message.correlation_id,
                taskId=message.task_id,
            ),
            tracing.span("SyncOutboundWorker task", parent=received.trace),
        ):
            try:
                await self._push_tasks.run(message)
            except TimeBudgetSpent:
                batch.copies.append(
                    self._retries.delayed(
                        self._queue, received, delay=0.0, attempt=received.attempt, reason="time_budget"
                    )
                )
            except CastielError as error:
                await self._end_task(message, received, error, batch)
            except Exception as error:
                if batch.alone:
                    raise
                logger.exception("push task failed unexpectedly")
                unexpected = Unexpected(f"unexpected: {type(error).__name__}")
                await self._end_task(message, received, unexpected, batch)

    async def _end_task(
        self, message: SyncMessage, received: ReceivedMessage, error: CastielError, batch: _Batch
    ) -> None:
        """Again later, or given up. Raises nothing: it would end the pushes that are under way beside it."""
        if self._try_again(received, error, batch):
            return
        try:
            await self._push_tasks.give_up(message, received, error)
        except CastielError as unsaved:
            if not self._try_again(received, unsaved, batch):
                # The scheduler frees a task that nobody works on.
                logger.error("push task could not be ended: %s", unsaved)

    def _settle(self, change: _Change, outcome: Pushed, duration: float, batch: _Batch) -> None:
        error = outcome.error
        if isinstance(error, FirstPullPending):
            error.retry_after = self._first_pull_wait(change.message)
        if error is not None and self._try_again(change.received, error, batch):
            return
        batch.results.append((change.received, self._result(change, outcome, duration)))
        telemetry.record("outbound_worker_duration_ms", duration, integration=change.message.integration_id)
        name = "outbound_worker_failure" if error else "outbound_worker_success"
        telemetry.count(name, integration=change.message.integration_id)
        if outcome.conflicts:
            telemetry.count(
                "conflicts_detected", len(outcome.conflicts), integration=change.message.integration_id
            )
        if error is not None:
            logger.error("push failed: %s", error, extra=_dimensions(change, error))

    def _first_pull_wait(self, message: OutboundMessage) -> float:
        """A first pull may take seconds or hours: asked again when it has taken up to twice as long."""
        waited = (self._clock.now() - message.enqueued_at).total_seconds()
        return min(MAX_DELAY_SECONDS, max(FIRST_PULL_SECONDS, waited * (0.5 + self._clock.random() / 2)))

    def _try_again(self, received: ReceivedMessage, error: CastielError, batch: _Batch) -> bool:
        if isinstance(error, LeaseHeld | RateLimited | FirstPullPending):
            # Not a failure: somebody works on the shard, our own limit says later, or a pull comes first.
            delay, attempt = error.retry_after or 1.0, received.attempt
        else:
            decision = self._retries.decide(error, received.attempt)
            if not isinstance(decision, RetryIn):
                return False
            delay, attempt = decision.delay, decision.attempt
        if isinstance(error, OutcomeUnknown):
            # Looked for before it arrives, a create would be found missing and made twice.
            delay = max(delay, self._lost_answer)
        batch.copies.append(
            self._retries.delayed(self._queue, received, delay=delay, attempt=attempt, reason=error.code)
        )
        return True

    def _set_apart(self, received: ReceivedMessage, error: InvalidMessage, batch: _Batch) -> None:
        """A batch is completed or abandoned as a whole: what can't be read must not take the others with it."""
        logger.error("message can't be read: %s", error, extra={"deliveryCount": received.delivery_count})
        if batch.alone:
            raise error
        delay, attempt = min(MAX_DELAY_SECONDS, 2.0 ** min(received.attempt, 10)), received.attempt + 1
        batch.copies.append(
            self._retries.delayed(self._queue, received, delay=delay, attempt=attempt, reason=error.code)
        )

    def _result(self, change: _Change, outcome: Pushed, duration: float) -> PushResult:
        """One per message: its id follows from the message, so writing it again replaces it."""
        message, received, error = change.message, change.received, outcome.error
        milliseconds = int(message.enqueued_at.timestamp() * 1000)
        return PushResult(
            id=f"outbound-{_named(message.entity_id)}-{milliseconds}-{hashlib.sha256(received.root.encode()).hexdigest()[:8]}",
            integration_id=message.integration_id,
            tenant_id=message.tenant_id,
            connection_id=message.connection_id,
            entity_id=message.entity_id,
            external_id=outcome.external_id,
            operation=outcome.operation,
            success=error is None,
            duration=int(duration),
            executed_at=self._clock.now(),
            correlation_id=message.correlation_id,
            attempt=received.attempt,
            conflicts=list(outcome.conflicts),
            retryable=error.retryable if error else None,
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            given_up_message=message_json(received) if error else None,
        )


@contextmanager
def _traced(name: str, group: Sequence[_Change]) -> Iterator[None]:
    """One piece of work for messages that may come from as many traces."""
    message = group[0].message
    with (
        telemetry.log_context(
            tenantId=message.tenant_id,
            connectionId=message.connection_id,
            integrationId=message.integration_id,
            correlationId=message.correlation_id if len(group) == 1 else None,
            entity=message.entity,
            messages=len(group),
        ),
        tracing.shared_span(name, [change.received.trace for change in group]),
    ):
        yield


def _named(entity_id: str) -> str:
    """A part of a document's id: a webhook names the provider's record, whose id may be any text (``o/r#1``)."""
    if re.fullmatch(r"[\w.:-]{1,200}", entity_id):
        return entity_id
    return hashlib.sha256(entity_id.encode()).hexdigest()[:32]


def _dimensions(change: _Change, error: CastielError) -> dict[str, str]:
    return {
        "entityId": change.message.entity_id,
        "correlationId": change.message.correlation_id,
        "error": error.code,
    }


async def _within(slots: asyncio.Semaphore, work: Callable[[], Awaitable[None]]) -> None:
    async with slots:
        await work()
