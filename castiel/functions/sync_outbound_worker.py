"""SyncOutboundWorker: each message's change arrives once, in the provider's own batches."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from castiel import telemetry, tracing
from castiel.domain.messages import OutboundSource, SyncMessage, parse_outbound
from castiel.domain.pushing import newest_per_shard
from castiel.errors import CastielError, InvalidMessage, Unexpected
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, ReceivedMessage
from castiel.ports.stores import ResultStore
from castiel.services.outbound_batch import Change, OutboundBatch
from castiel.services.push import PushService
from castiel.services.push_task import PushTaskService
from castiel.services.push_work import Pushed
from castiel.services.refetch import RefetchService
from castiel.services.retries import Retries
from castiel.services.time_budget import TimeBudgetSpent

logger = logging.getLogger(__name__)

_Handler = Callable[[list[Change], OutboundBatch], Awaitable[None]]


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
            batch = OutboundBatch(
                self._results,
                self._queue,
                self._retries,
                self._clock,
                alone=len(received) == 1,
                lost_answer_seconds=self._lost_answer,
            )
            work = self._sort(received, batch)
            slots = asyncio.Semaphore(self._concurrency)
            async with asyncio.TaskGroup() as group:
                for item in work:
                    group.create_task(_within(slots, item))
            await batch.write()

    def _sort(
        self, received: Sequence[ReceivedMessage], batch: OutboundBatch
    ) -> list[Callable[[], Awaitable[None]]]:
        """By what has to be done: pushes and refetches of one connection's entity go together."""
        pushes: dict[tuple[str, ...], list[Change]] = defaultdict(list)
        refetches: dict[tuple[str, ...], list[Change]] = defaultdict(list)
        work: list[Callable[[], Awaitable[None]]] = []
        for each in received:
            try:
                message = parse_outbound(each.body)
            except InvalidMessage as error:
                batch.set_apart(each, error)
                continue
            if isinstance(message, SyncMessage):
                work.append(lambda m=message, r=each: self._run_task(m, r, batch))  # type: ignore[misc]
                continue
            key = (message.tenant_id, message.connection_id, message.entity or "")
            groups = refetches if message.source is OutboundSource.WEBHOOK else pushes
            groups[key].append(Change(each, message))
        for handler, groups in ((self._push_group, pushes), (self._refetch_group, refetches)):
            work += [lambda h=handler, g=group: self._guarded(h, g, batch) for group in groups.values()]  # type: ignore[misc]
        return work

    async def _guarded(self, handler: _Handler, group: list[Change], batch: OutboundBatch) -> None:
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
            batch.settle(group[0], Pushed(message.operation, message.external_id, unexpected), 0.0)

    async def _push_group(self, group: list[Change], batch: OutboundBatch) -> None:
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
                batch.settle(change, outcomes[change.message.entity_id], share)

    async def _refetch_group(self, group: list[Change], batch: OutboundBatch) -> None:
        with _traced("SyncOutboundWorker refetch", group):
            errors = await self._refetch.bring_up_to_date([change.message for change in group])
            for change, error in zip(group, errors, strict=True):
                if error is None or batch.try_again(change.received, error):
                    continue
                logger.error("webhook not applied: %s", error, extra=change.dimensions(error))
                batch.give_up(change, error)

    async def _run_task(self, message: SyncMessage, received: ReceivedMessage, batch: OutboundBatch) -> None:
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
                batch.go_on_later(received)
            except CastielError as error:
                await self._end_task(message, received, error, batch)
            except Exception as error:
                if batch.alone:
                    raise
                logger.exception("push task failed unexpectedly")
                unexpected = Unexpected(f"unexpected: {type(error).__name__}")
                await self._end_task(message, received, unexpected, batch)

    async def _end_task(
        self, message: SyncMessage, received: ReceivedMessage, error: CastielError, batch: OutboundBatch
    ) -> None:
        """Again later, or given up. Raises nothing: it would end the pushes that are under way beside it."""
        if batch.try_again(received, error):
            return
        try:
            await self._push_tasks.give_up(message, received, error)
        except CastielError as unsaved:
            if not batch.try_again(received, unsaved):
                # The scheduler frees a task that nobody works on.
                logger.error("push task could not be ended: %s", unsaved)


@contextmanager
def _traced(name: str, group: Sequence[Change]) -> Iterator[None]:
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


async def _within(slots: asyncio.Semaphore, work: Callable[[], Awaitable[None]]) -> None:
    async with slots:
        await work()
