"""SyncTaskService: the life of a task, every step a conditional write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

from castiel.domain.messages import SyncMessage
from castiel.domain.schedules import next_run
from castiel.domain.tasks import (
    EntityCheckpoint,
    Priority,
    Progress,
    SyncTask,
    TaskFailure,
    TaskStatus,
    task_is_stuck,
)
from castiel.errors import CastielError, ConfigurationError, Conflict, LeaseLost, NotFound
from castiel.ports.clock import Clock
from castiel.ports.coordination import Leases
from castiel.ports.stores import TaskStore

logger = logging.getLogger(__name__)

PRIORITIES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
SILENT_FOR = timedelta(minutes=20)
"""Longer than a worker may work without a checkpoint, and than a continuation waits in its queue once it is there."""


class SyncTaskService:
    """Claims, checkpoints and ends tasks."""

    def __init__(self, tasks: TaskStore, leases: Leases, clock: Clock, *, message_ttl: timedelta) -> None:
        self._tasks = tasks
        self._leases = leases
        self._clock = clock
        self._message_ttl = message_ttl

    async def due(self) -> AsyncIterator[SyncTask]:
        """What the scheduler should queue now: high, then normal, then low; streamed."""
        now = self._clock.now()
        for priority in PRIORITIES:
            async for task in self._tasks.due(now, priority):
                yield task

    async def count_disabled(self) -> int:
        """How many disabled tasks would be due."""
        return await self._tasks.count_disabled_due(self._clock.now())

    async def claim(self, task: SyncTask) -> SyncTask | None:
        """``→ queued``, or ``None`` when another scheduler was first."""
        task.queue(f"exec-{self._clock.new_id()}", self._clock.now())
        try:
            return await self._tasks.replace(task)
        except NotFound:
            return None
        except Conflict:
            return await self._ours(task)

    async def claim_each(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[SyncTask]:
        """The same for several tasks of one tenant, in as few writes as can be: those that were claimed."""
        for task in tasks:
            task.queue(f"exec-{self._clock.new_id()}", self._clock.now())
        errors = await self._tasks.replace_each(tenant_id, tasks)
        refused = [error for error in errors if error is not None and not isinstance(error, Conflict)]
        if refused:
            # As if they had not been looked at: the next run finds them. The others are to be sent all the same.
            logger.warning("%d tasks could not be claimed: %s", len(refused), refused[0])
        outcomes = list(zip(tasks, errors, strict=True))
        doubtful = [self._ours(task) for task, error in outcomes if isinstance(error, Conflict)]
        ours = await asyncio.gather(*doubtful, return_exceptions=True)
        for unknown in (each for each in ours if isinstance(each, BaseException)):
            # The others are to be sent all the same; this one is freed later, if it was claimed.
            logger.warning("whether a task was claimed is not known: %s", unknown)
        return [task for task, error in outcomes if error is None] + [
            task for task in ours if isinstance(task, SyncTask)
        ]

    async def _ours(self, task: SyncTask) -> SyncTask | None:
        """A task whose claim met another write: our own, perhaps, sent again below us when its answer was lost."""
        try:
            current = await self._tasks.get(task.tenant_id, task.id)
        except NotFound:
            return None
        if current.execution_id != task.execution_id:
            return None
        task.etag = current.etag  # the very task that was claimed: the scheduler knows it again by that
        return task

    async def give_back(self, task: SyncTask) -> None:
        """``→ pending`` again, after a send that failed. If somebody changed the task meanwhile, theirs stands."""
        task.give_back()
        try:
            await self._tasks.replace(task)
        except (Conflict, NotFound):
            logger.info("claim not given back: the task was changed meanwhile", extra={"taskId": task.id})

    async def repair(self) -> int:
        """Tasks whose message is gone, or whose worker is, go back to ``pending``. Returns how many."""
        repaired = 0
        async for task in self._tasks.unfinished():
            now = self._clock.now()
            stuck = task_is_stuck(task, now, queued_for=self._message_ttl, silent_for=SILENT_FOR)
            if not stuck or await self._leases.is_held(connection_lease(task.tenant_id, task.connection_id)):
                continue
            logger.warning("task was stuck", extra={"taskId": task.id, "status": task.status.value})
            await self.give_back(task)
            repaired += 1
        return repaired

    async def begin(self, message: SyncMessage, fence: int) -> SyncTask | None:
        """``→ processing`` for a message's execution; ``None`` when there is nothing (left) to do.

        Nothing to do: the task is gone or disabled, the execution is over, or another one has taken its place.
        """
        if message.task_id is None:
            return None
        try:
            task = await self._tasks.get(message.tenant_id, message.task_id)
        except NotFound:
            _log_dropped(message, "the task is gone")
            return None
        if task.execution_id != message.correlation_id:
            _log_dropped(message, "another execution has taken its place")
            return None
        if task.status not in (TaskStatus.QUEUED, TaskStatus.PROCESSING):
            _log_dropped(message, "the execution is over")
            return None
        if not task.enabled:
            await self.give_back(task)
            _log_dropped(message, "the task was disabled")
            return None
        if task.fence is not None and task.fence >= fence:
            raise LeaseLost("a newer lease has been seen on this task")
        task.begin(fence, self._clock.now())
        try:
            return await self._tasks.replace(task)
        except Conflict:
            # Whoever changed it did so a moment ago: look again.
            return await self.begin(message, fence)

    async def current(self, message: SyncMessage) -> SyncTask | None:
        """The message's task while its execution is the task's. Raises :class:`NotFound`."""
        task = await self._tasks.get(message.tenant_id, message.task_id or "")
        return task if task.execution_id == message.correlation_id else None

    async def checkpoint(
        self, task: SyncTask, entity: str, checkpoint: EntityCheckpoint, done: Progress
    ) -> SyncTask:
        """Save how far an entity has come, and the count so far, in one write.

        Raises :class:`LeaseLost` when another worker has taken over.
        """

        def change(current: SyncTask) -> None:
            checkpoint.updated_at = self._clock.now()
            current.checkpoints[entity] = checkpoint
            (current.progress or Progress()).add(done)
            current.heartbeat_at = self._clock.now().replace(microsecond=0)

        return await self._change(task, change)

    async def entity_done(self, task: SyncTask, entity: str, done: Progress) -> SyncTask:
        """Take note that an entity is complete in this execution, with what was done after its last page.

        A continuation passes it by.
        """

        def change(current: SyncTask) -> None:
            if entity in current.checkpoints:
                current.checkpoints[entity].full_pass = None
            progress = current.progress or Progress()
            progress.add(done)
            if entity not in progress.entities_done:
                progress.entities_done = [*progress.entities_done, entity]
            current.progress = progress

        return await self._change(task, change)

    async def rest(self, task: SyncTask, seconds: float) -> SyncTask:
        """A sign of life: the execution goes on by a message that is delivered in so many seconds."""

        def change(current: SyncTask) -> None:
            now = self._clock.now()
            current.rest(now, now + timedelta(seconds=seconds))

        return await self._change(task, change)

    async def finish(
        self, task: SyncTask, result_id: str, error: CastielError | None = None, attempt: int = 0
    ) -> None:
        """``→ completed | failed``, with the next run's time."""
        now = self._clock.now()

        def change(current: SyncTask) -> None:
            current.last_result_id = result_id
            current.last_failure = (
                TaskFailure(code=error.code, message=str(error), at=now, attempt=attempt) if error else None
            )
            status = TaskStatus.FAILED if error else TaskStatus.COMPLETED
            current.finish(status, now, self._next_run(current))

        await self._change(task, change)

    def _next_run(self, task: SyncTask) -> datetime | None:
        try:
            return next_run(task.schedule, self._clock.now())
        except ConfigurationError as error:
            logger.error("task has no next run: %s", error, extra={"taskId": task.id})
            return None

    async def _change(self, task: SyncTask, change: Callable[[SyncTask], None]) -> SyncTask:
        """Change a task we work on, keeping what others changed in it (a person may disable it meanwhile)."""
        while True:
            execution, fence = task.execution_id, task.fence
            change(task)
            task.write_id = self._clock.new_id()
            try:
                return await self._tasks.replace(task)
            except Conflict:
                written = task.write_id
                task = await self._tasks.get(task.tenant_id, task.id)
                if task.write_id == written:
                    return task  # it was ours: the answer was lost, and the write sent again below us
                if task.execution_id != execution or task.fence != fence:
                    raise LeaseLost("another worker has taken this execution over") from None


def connection_lease(tenant_id: str, connection_id: str) -> str:
    """The lease that keeps a connection to one inbound worker at a time."""
    return f"connection:{tenant_id}:{connection_id}"


def _log_dropped(message: SyncMessage, reason: str) -> None:
    logger.info("message dropped: %s", reason, extra={"taskId": message.task_id})
