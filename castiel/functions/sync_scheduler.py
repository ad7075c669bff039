"""SyncScheduler: what is due is claimed and queued; what is stuck repaired; what a crash left sent; webhooks renewed."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from castiel import telemetry, tracing
from castiel.domain.messages import SyncMessage
from castiel.domain.tasks import SyncMode, SyncTask, TaskStatus
from castiel.errors import CastielError
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage
from castiel.ports.stores import ConnectionStore
from castiel.services.outbox import Outbox
from castiel.services.sync_tasks import SyncTaskService
from castiel.services.webhooks.renewal import WebhookRenewal
from castiel.services.webhooks.sweep import PendingDeliveries

logger = logging.getLogger(__name__)

BATCH_SIZE = 100
CLAIMS_AT_ONCE = 16


@dataclass(slots=True)
class SchedulerRun:
    """What one run did. ``disabled`` and ``paused`` are due and left alone: the task is, or its connection."""

    queued: int = 0
    failed: int = 0
    disabled: int = 0
    paused: int = 0
    repaired: int = 0
    outbox_sent: int = 0
    deliveries_sent: int = 0
    webhooks_made: int = 0


class SyncScheduler:
    """One run an hour; two at once never queue a task twice, since a claim is a conditional write."""

    def __init__(
        self,
        tasks: SyncTaskService,
        inbound: Queue,
        outbound: Queue,
        outbox: Outbox,
        connections: ConnectionStore,
        clock: Clock,
        *,
        ttl: timedelta,
        late_deliveries: PendingDeliveries | None = None,
        renewal: WebhookRenewal | None = None,
    ) -> None:
        self._tasks = tasks
        self._queues: Mapping[SyncMode, Queue] = {
            SyncMode.PULL: inbound,
            SyncMode.BIDIRECTIONAL: inbound,
            SyncMode.PUSH: outbound,
        }
        self._outbox = outbox
        self._connections = connections
        self._clock = clock
        self._ttl = ttl
        self._late_deliveries = late_deliveries
        self._renewal = renewal
        self._slots = asyncio.Semaphore(CLAIMS_AT_ONCE)

    async def run(self) -> SchedulerRun:
        """Repair, then queue, then sweep. A part that fails doesn't keep the others from running."""
        started = self._clock.monotonic()
        run = SchedulerRun()
        failures: list[CastielError] = []
        with telemetry.log_context(function="SyncScheduler"), tracing.span("SyncScheduler"):
            for part in (
                self._repair,
                self._queue_due,
                self._sweep,
                self._sweep_deliveries,
                self._renew_webhooks,
            ):
                try:
                    await part(run)
                except CastielError as error:
                    logger.error("scheduler: %s failed: %s", part.__name__.strip("_"), error)
                    failures.append(error)
            telemetry.record("sync_scheduler_duration_ms", (self._clock.monotonic() - started) * 1000)
            logger.info(
                "scheduler run: %d queued, %d failed, %d repaired, %d disabled, %d paused",
                run.queued,
                run.failed,
                run.repaired,
                run.disabled,
                run.paused,
                extra={
                    "queued": run.queued,
                    "failed": run.failed,
                    "disabled": run.disabled,
                    "paused": run.paused,
                    "repaired": run.repaired,
                },
            )
        await telemetry.flush()
        if failures:
            raise failures[0]
        return run

    async def run_now(self, task: SyncTask) -> str | None:
        """Queue one task whether it is due or not. Returns its execution's id, or ``None`` when one is under way.

        Raises :class:`~castiel.errors.QueueUnavailable`; the task is then as if nothing had happened.
        """
        if task.status in (TaskStatus.QUEUED, TaskStatus.PROCESSING):
            return None
        claimed = await self._tasks.claim(task)
        if claimed is None:
            return None
        await self._send([claimed], SchedulerRun())
        return claimed.execution_id

    async def _repair(self, run: SchedulerRun) -> None:
        run.repaired = await self._tasks.repair()

    async def _sweep(self, run: SchedulerRun) -> None:
        run.outbox_sent = await self._outbox.sweep()

    async def _sweep_deliveries(self, run: SchedulerRun) -> None:
        """Webhook deliveries that came while their queue was down."""
        if self._late_deliveries is not None:
            run.deliveries_sent = await self._late_deliveries.sweep()

    async def _renew_webhooks(self, run: SchedulerRun) -> None:
        """Webhooks at providers that would end by themselves."""
        if self._renewal is not None:
            run.webhooks_made = await self._renewal.run()

    async def _queue_due(self, run: SchedulerRun) -> None:
        """Claim what is due, some at a time, and send what is claimed in whole batches per queue."""
        run.disabled = await self._tasks.count_disabled()
        waiting: dict[str, list[SyncTask]] = defaultdict(list)
        try:
            async for some in _chunks(self._runnable(run), BATCH_SIZE):
                # Whatever goes wrong, what was claimed is sent or given back below.
                claims = await asyncio.gather(*self._claims(some), return_exceptions=True)
                claimed = {id(task) for tasks in claims if isinstance(tasks, list) for task in tasks}
                # In the order they came in, the urgent first, whichever tenant they are of.
                for task in some:
                    if id(task) in claimed:
                        waiting[self._queues[task.sync_mode].name].append(task)
                _raise_first(claims)
                for tasks in waiting.values():
                    while len(tasks) >= BATCH_SIZE:
                        await self._send(tasks, run)
        finally:
            outcomes = [await self._send_rest(tasks, run) for tasks in waiting.values()]
        _raise_first(outcomes)

    async def _runnable(self, run: SchedulerRun) -> AsyncIterator[SyncTask]:
        """What is due, without the tasks of connections that no work is done on: a worker could only fail them.

        They stay due, and go at the first run after their connection is active again. Which connections those are is
        asked once, not task by task: few are inactive, however many there are.
        """
        inactive = {(each.tenant_id, each.id) async for each in self._connections.inactive()}
        async for task in self._tasks.due():
            if (task.tenant_id, task.connection_id) in inactive:
                run.paused += 1
            else:
                yield task

    def _claims(self, tasks: Sequence[SyncTask]) -> Iterator[Awaitable[list[SyncTask]]]:
        """The claims of each tenant's tasks, which share a partition and so a write."""
        by_tenant: dict[str, list[SyncTask]] = defaultdict(list)
        for task in tasks:
            by_tenant[task.tenant_id].append(task)
        for tenant_id, some in by_tenant.items():
            yield self._claim(tenant_id, some)

    async def _claim(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[SyncTask]:
        async with self._slots:
            return await self._tasks.claim_each(tenant_id, tasks)

    async def _send_rest(self, tasks: list[SyncTask], run: SchedulerRun) -> CastielError | None:
        """Send what is left for one queue. One queue's failure must not keep the other's tasks claimed."""
        try:
            while tasks:
                await self._send(tasks, run)
        except CastielError as error:
            for task in tasks:
                await self._tasks.give_back(task)
            return error
        return None

    async def _send(self, tasks: list[SyncTask], run: SchedulerRun) -> None:
        """Send the first batch of a queue's tasks, and take it off them."""
        batch = tasks[:BATCH_SIZE]
        del tasks[:BATCH_SIZE]
        try:
            await self._queues[batch[0].sync_mode].send([self._message(task) for task in batch])
        except CastielError:
            telemetry.count("sync_scheduler_failure", len(batch))
            run.failed += len(batch)
            # What was sent all the same names an execution that is no longer the task's: it will be dropped.
            for task in batch:
                await self._tasks.give_back(task)
            raise
        telemetry.count("sync_scheduler_success", len(batch))
        run.queued += len(batch)

    def _message(self, task: SyncTask) -> QueueMessage:
        execution = task.execution_id or ""
        body = SyncMessage(
            integration_id=task.integration_id,
            tenant_id=task.tenant_id,
            connection_id=task.connection_id,
            sync_mode=task.sync_mode,
            priority=task.priority,
            correlation_id=execution,
            enqueued_at=self._clock.now().replace(microsecond=0),
            task_id=task.id,
        )
        # Each execution is a trace of its own, linked to the run: one trace of all would be too large to look at.
        with (
            telemetry.log_context(
                correlationId=execution,
                tenantId=task.tenant_id,
                connectionId=task.connection_id,
                taskId=task.id,
            ),
            tracing.span("SyncScheduler queue", root=True),
        ):
            return QueueMessage(f"task:{execution}", body.to_json_text(), execution, time_to_live=self._ttl)


async def _chunks(tasks: AsyncIterator[SyncTask], size: int) -> AsyncIterator[list[SyncTask]]:
    chunk: list[SyncTask] = []
    async for task in tasks:
        chunk.append(task)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _raise_first(outcomes: Iterable[object]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
