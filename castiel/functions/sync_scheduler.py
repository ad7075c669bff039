"""SyncScheduler: what is due is claimed and queued; what is stuck is repaired; what a crash left is sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from castiel import telemetry
from castiel.domain.messages import SyncMessage
from castiel.domain.tasks import SyncMode, SyncTask
from castiel.errors import CastielError, MessageTooLarge, QueueUnavailable
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage
from castiel.services.outbox import Outbox
from castiel.services.sync_tasks import SyncTaskService

logger = logging.getLogger(__name__)

BATCH_SIZE = 100


@dataclass(slots=True)
class SchedulerRun:
    """What one run did."""

    queued: int = 0
    failed: int = 0
    disabled: int = 0
    repaired: int = 0
    outbox_sent: int = 0


class SyncScheduler:
    """One run an hour; two at once never queue a task twice, since a claim is a conditional write."""

    def __init__(
        self,
        tasks: SyncTaskService,
        inbound: Queue,
        outbound: Queue,
        outbox: Outbox,
        clock: Clock,
        *,
        ttl: timedelta,
    ) -> None:
        self._tasks = tasks
        self._queues: Mapping[SyncMode, Queue] = {
            SyncMode.PULL: inbound,
            SyncMode.BIDIRECTIONAL: inbound,
            SyncMode.PUSH: outbound,
        }
        self._outbox = outbox
        self._clock = clock
        self._ttl = ttl

    async def run(self) -> SchedulerRun:
        """Repair, then queue, then sweep. A part that fails doesn't keep the others from running."""
        started = self._clock.monotonic()
        run = SchedulerRun()
        failures: list[CastielError] = []
        with telemetry.log_context(function="SyncScheduler"):
            for part in (self._repair, self._queue_due, self._sweep):
                try:
                    await part(run)
                except CastielError as error:
                    logger.error("scheduler: %s failed: %s", part.__name__.strip("_"), error)
                    failures.append(error)
            telemetry.record("sync_scheduler_duration_ms", (self._clock.monotonic() - started) * 1000)
            logger.info(
                "scheduler run",
                extra={
                    "queued": run.queued,
                    "failed": run.failed,
                    "disabled": run.disabled,
                    "repaired": run.repaired,
                },
            )
        if failures:
            raise failures[0]
        return run

    async def _repair(self, run: SchedulerRun) -> None:
        run.repaired = await self._tasks.repair()

    async def _sweep(self, run: SchedulerRun) -> None:
        run.outbox_sent = await self._outbox.sweep()

    async def _queue_due(self, run: SchedulerRun) -> None:
        run.disabled = await self._tasks.count_disabled()
        batch: list[SyncTask] = []
        async for task in self._tasks.due():
            claimed = await self._tasks.claim(task)
            if claimed is None:
                continue
            batch.append(claimed)
            if len(batch) == BATCH_SIZE:
                await self._send(batch, run)
                batch = []
        await self._send(batch, run)

    async def _send(self, batch: list[SyncTask], run: SchedulerRun) -> None:
        by_queue: dict[str, tuple[Queue, list[SyncTask]]] = {}
        for task in batch:
            queue = self._queues[task.sync_mode]
            by_queue.setdefault(queue.name, (queue, []))[1].append(task)
        for queue, tasks in by_queue.values():
            try:
                await queue.send([self._message(task) for task in tasks])
            except (QueueUnavailable, MessageTooLarge):
                telemetry.count("sync_scheduler_failure", len(tasks))
                run.failed += len(tasks)
                # What was sent all the same names an execution that is no longer the task's: it will be dropped.
                for task in tasks:
                    await self._tasks.give_back(task)
                raise
            telemetry.count("sync_scheduler_success", len(tasks))
            run.queued += len(tasks)

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
        return QueueMessage(f"task:{execution}", body.to_json_text(), execution, time_to_live=self._ttl)
