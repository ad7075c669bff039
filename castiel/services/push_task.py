"""A push task: the shards that changed since the last time, announced to the task's connection."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from castiel.domain.connections import Connection, ConnectionStatus, EntitySync
from castiel.domain.conversion import ConversionSchema
from castiel.domain.messages import Operation, SyncMessage
from castiel.domain.model import format_utc
from castiel.domain.pushing import untold
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.shards import Shard
from castiel.domain.tasks import EntityCheckpoint, Progress, RecordError, SyncTask
from castiel.errors import CastielError, ConnectionPaused, DocumentTooLarge, LeaseLost, NotFound
from castiel.ports.clock import Clock
from castiel.ports.coordination import Lease, Leases
from castiel.ports.messaging import ReceivedMessage
from castiel.ports.stores import ConnectionStore, ResultStore, ShardStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.outbox import Outbox, told_as
from castiel.services.retries import message_json
from castiel.services.sync_tasks import SyncTaskService, connection_lease
from castiel.services.time_budget import TimeBudgetSpent

logger = logging.getLogger(__name__)

PAGE = 100
LAG = timedelta(minutes=2)
"""How far behind its checkpoint a sweep begins: changes are dated by the clocks of the workers that made them."""


@dataclass(frozen=True, slots=True)
class _Sweep:
    """One invocation's look at what changed."""

    connection: Connection
    correlation_id: str
    lease: Lease
    deadline: float


class PushTaskService:
    """Finds what a connection has not been told yet. Each find becomes a message of its own, like any change."""

    def __init__(
        self,
        tasks: SyncTaskService,
        connections: ConnectionStore,
        shards: ShardStore,
        outbox: Outbox,
        results: ResultStore,
        schemas: ConversionSchemaService,
        leases: Leases,
        clock: Clock,
        *,
        lease_seconds: float,
        time_budget_seconds: float,
    ) -> None:
        self._tasks = tasks
        self._connections = connections
        self._shards = shards
        self._outbox = outbox
        self._results = results
        self._schemas = schemas
        self._leases = leases
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._budget = time_budget_seconds

    async def run(self, message: SyncMessage) -> None:
        """One execution. Raises what is retryable, so that the message is put back, and :class:`TimeBudgetSpent`,
        so that it goes on."""
        deadline = self._clock.monotonic() + self._budget
        lease_name = connection_lease(message.tenant_id, f"{message.connection_id}:push")
        async with self._leases.hold(lease_name, seconds=self._lease_seconds) as lease:
            task = await self._tasks.begin(message, lease.fence)
            if task is None:
                return
            try:
                connection = await self._connections.get(message.tenant_id, message.connection_id)
            except NotFound:
                raise NotFound(f"connection {message.connection_id}: it is gone") from None
            task = await self.announce_changed(task, connection, message.correlation_id, lease, deadline)
            await self._finish(task)

    async def announce_changed(
        self, task: SyncTask, connection: Connection, correlation_id: str, lease: Lease, deadline: float
    ) -> SyncTask:
        """Announce what changed here since the task last did so; returns the task with its new checkpoints.

        For the second half of a bidirectional task too: after its pull, under the lease that the pull holds.
        Raises :class:`TimeBudgetSpent` at the ``deadline`` (on the clock's monotonic time), with what was done
        saved in the task, and :class:`LeaseLost`.
        """
        if connection.status is not ConnectionStatus.ACTIVE:
            # What is announced now would be refused, message by message; the checkpoint waits with the connection.
            raise ConnectionPaused(f"connection {connection.id}: {connection.status.value}")
        sweep = _Sweep(connection, correlation_id, lease, deadline)
        for entity in connection.entities:
            if entity.pushes and (not task.entities or entity.entity in task.entities):
                task = await self._announce_entity(sweep, task, entity)
        return task

    async def _announce_entity(self, sweep: _Sweep, task: SyncTask, entity: EntitySync) -> SyncTask:
        schema = await self._schemas.schema_for(sweep.connection, entity)
        since = _since(task, task.checkpoints.get(f"push:{entity.entity}"), entity.shard_type)
        page: list[Shard] = []
        async for shard in self._shards.changed_since(task.tenant_id, entity.shard_type, since):
            page.append(shard)
            if len(page) == PAGE:
                task = await self._announce(sweep, task, entity, schema, page)
                if self._clock.monotonic() >= sweep.deadline and (
                    since is None or page[-1].updated_at > since
                ):
                    # Not in the middle of one moment's changes: a continuation begins with all of a moment's.
                    raise TimeBudgetSpent
                page = []
        return await self._announce(sweep, task, entity, schema, page) if page else task

    async def _announce(
        self, sweep: _Sweep, task: SyncTask, entity: EntitySync, schema: ConversionSchema, page: list[Shard]
    ) -> SyncTask:
        if sweep.lease.lost:
            raise LeaseLost
        newest = page[-1].updated_at
        marked = [shard for shard in page if self._mark(sweep, shard, entity, schema)]
        outcomes = await self._shards.save(marked)
        saved = [outcome.shard for outcome in outcomes if outcome.error is None]
        await self._outbox.send(saved)
        too_large = [outcome for outcome in outcomes if isinstance(outcome.error, DocumentTooLarge)]
        failed = next((o.error for o in outcomes if o.error is not None and o not in too_large), None)
        if failed is not None:
            # The message is put back, and the checkpoint stays: these shards are looked at again.
            raise failed
        done = Progress(
            records_announced=len(saved),
            records_processed=len(too_large),
            records_failed=len(too_large),
            errors=[_no_room(entity, outcome.shard) for outcome in too_large],
        )
        checkpoint = EntityCheckpoint(
            cursor={"updatedAt": format_utc(newest), "executionId": task.execution_id},
            full_pass_started_at=newest,
            shard_type=entity.shard_type,
        )
        return await self._tasks.checkpoint(task, f"push:{entity.entity}", checkpoint, done)

    def _mark(self, sweep: _Sweep, shard: Shard, entity: EntitySync, schema: ConversionSchema) -> bool:
        """Whether the shard has something to tell the connection; marks it if so."""
        connection = sweep.connection
        if entity not in told_as(connection, shard):
            return False
        reference = shard.reference(connection.id, entity.entity)
        if shard.deleted:
            operation, changed = Operation.DELETE, list[str]()
            tell = reference is not None and not reference.deleted
        elif reference is None:
            operation, changed, tell = Operation.CREATE, sorted(shard.fields), True
        else:
            operation, changed = Operation.UPDATE, untold(shard, reference, schema)
            tell = bool(changed)
        if tell:
            self._outbox.announce(shard, [connection], operation, changed, sweep.correlation_id)
        return tell and bool(shard.outbox)

    async def give_up(self, message: SyncMessage, received: ReceivedMessage, error: CastielError) -> None:
        """``→ failed``, with the message itself in the result, unless another execution has taken its place."""
        logger.error("push task failed: %s", error, extra={"taskId": message.task_id})
        try:
            task = await self._tasks.current(message)
        except NotFound:
            return
        if task is not None:
            await self._finish(task, received, error)

    async def _finish(
        self, task: SyncTask, received: ReceivedMessage | None = None, error: CastielError | None = None
    ) -> None:
        progress = task.progress or Progress()
        started = task.started_at or self._clock.now()
        result = SyncResult(
            id=f"result-{task.execution_id}",
            integration_id=task.integration_id,
            tenant_id=task.tenant_id,
            connection_id=task.connection_id,
            task_id=task.id,
            correlation_id=task.execution_id,
            status=SyncStatus.of(error, progress.records_failed),
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            retryable=error.retryable if error else None,
            given_up_message=message_json(received) if received else None,
            records_processed=progress.records_announced + progress.records_failed,
            records_updated=progress.records_announced,
            records_failed=progress.records_failed,
            errors=progress.errors,
            duration=max(0, int((self._clock.now() - started).total_seconds() * 1000)),
            executed_at=started,
        )
        await self._results.put(result)
        await self._tasks.finish(task, result.id, error, received.attempt if received else 0)


def _no_room(entity: EntitySync, shard: Shard) -> RecordError:
    """A shard that is as large as may be has no room for the mark. The others are told all the same."""
    error = DocumentTooLarge()
    return RecordError(
        entity=entity.entity, external_id=shard.id, code=error.code, message=f"shard {shard.id}: {error}"
    )


def _since(task: SyncTask, checkpoint: EntityCheckpoint | None, shard_type: str) -> datetime | None:
    """Where a look begins: where this execution stopped, or a little before the end of an earlier one's."""
    if checkpoint is None or checkpoint.full_pass_started_at is None or not checkpoint.covers(shard_type):
        return None
    ours = (checkpoint.cursor or {}).get("executionId") == task.execution_id
    return checkpoint.full_pass_started_at - (timedelta(0) if ours else LAG)
