"""A push task: the shards that changed since the last time, announced to the task's connection."""

from __future__ import annotations

import logging

from castiel.domain.connections import Connection, EntitySync
from castiel.domain.messages import Operation, SyncMessage
from castiel.domain.model import format_utc
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.shards import Shard
from castiel.domain.tasks import EntityCheckpoint, Progress, SyncTask
from castiel.errors import CastielError, NotFound
from castiel.ports.clock import Clock
from castiel.ports.coordination import Leases
from castiel.ports.messaging import ReceivedMessage
from castiel.ports.stores import ConnectionStore, ResultStore, ShardStore
from castiel.services.outbox import Outbox
from castiel.services.retries import message_json
from castiel.services.sync_tasks import SyncTaskService, connection_lease

logger = logging.getLogger(__name__)

PAGE = 100


class PushTaskService:
    """Finds what a connection has not been told yet. Each find becomes a message of its own, like any change."""

    def __init__(
        self,
        tasks: SyncTaskService,
        connections: ConnectionStore,
        shards: ShardStore,
        outbox: Outbox,
        results: ResultStore,
        leases: Leases,
        clock: Clock,
        *,
        lease_seconds: float = 30.0,
    ) -> None:
        self._tasks = tasks
        self._connections = connections
        self._shards = shards
        self._outbox = outbox
        self._results = results
        self._leases = leases
        self._clock = clock
        self._lease_seconds = lease_seconds

    async def run(self, message: SyncMessage) -> None:
        """One execution. Raises what is retryable, so that the message is put back."""
        lease_name = connection_lease(message.tenant_id, f"{message.connection_id}:push")
        async with self._leases.hold(lease_name, seconds=self._lease_seconds) as lease:
            task = await self._tasks.begin(message, lease.fence)
            if task is None:
                return
            connection = await self._connections.get(message.tenant_id, message.connection_id)
            await self._finish(await self.announce_changed(task, connection, message.correlation_id))

    async def announce_changed(self, task: SyncTask, connection: Connection, correlation_id: str) -> SyncTask:
        """Announce what changed here since the task last did so; returns the task with its new checkpoints.

        For the second half of a bidirectional task too: after its pull, under the lease that the pull holds.
        """
        for entity in connection.entities:
            if entity.pushes and (not task.entities or entity.entity in task.entities):
                task = await self._announce_entity(task, connection, entity, correlation_id)
        return task

    async def _announce_entity(
        self, task: SyncTask, connection: Connection, entity: EntitySync, correlation_id: str
    ) -> SyncTask:
        checkpoint = task.checkpoints.get(f"push:{entity.entity}")
        since = checkpoint.full_pass_started_at if checkpoint else None
        page: list[Shard] = []
        async for shard in self._shards.changed_since(task.tenant_id, entity.shard_type, since):
            page.append(shard)
            if len(page) == PAGE:
                task = await self._announce(task, connection, entity, page, correlation_id)
                page = []
        return await self._announce(task, connection, entity, page, correlation_id)

    async def _announce(
        self,
        task: SyncTask,
        connection: Connection,
        entity: EntitySync,
        page: list[Shard],
        correlation_id: str,
    ) -> SyncTask:
        if not page:
            return task
        newest = page[-1].updated_at
        marked = [shard for shard in page if self._mark(shard, connection, entity, correlation_id)]
        outcomes = await self._shards.save(marked)
        saved = [outcome.shard for outcome in outcomes if outcome.error is None]
        await self._outbox.send(saved)
        failed = next((o.error for o in outcomes if o.error is not None), None)
        if failed is not None:
            # The message is put back, and the checkpoint stays: these shards are looked at again.
            raise failed
        done = Progress(records_processed=len(saved), records_updated=len(saved), pages=1)
        checkpoint = EntityCheckpoint(cursor={"updatedAt": format_utc(newest)}, full_pass_started_at=newest)
        return await self._tasks.checkpoint(task, f"push:{entity.entity}", checkpoint, done)

    def _mark(self, shard: Shard, connection: Connection, entity: EntitySync, correlation_id: str) -> bool:
        """Whether the shard has something to tell the connection; marks it if so."""
        reference = shard.reference(connection.id, entity.entity)
        if shard.deleted:
            operation, changed = Operation.DELETE, []
            tell = reference is not None and not reference.deleted
        elif reference is None:
            operation, changed, tell = Operation.CREATE, sorted(shard.fields), True
        else:
            changed = sorted(
                name for name, value in shard.fields.items() if reference.base.get(name) != value
            )
            operation, tell = Operation.UPDATE, bool(changed)
        if tell:
            self._outbox.announce(shard, [connection], operation, changed, correlation_id)
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
            status=SyncStatus.FAILED if error else SyncStatus.SUCCESS,
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            retryable=error.retryable if error else None,
            given_up_message=message_json(received) if received else None,
            records_processed=progress.records_processed,
            records_updated=progress.records_updated,
            duration=max(0, int((self._clock.now() - started).total_seconds() * 1000)),
            executed_at=started,
        )
        await self._results.put(result)
        await self._tasks.finish(task, result.id, error, received.attempt if received else 0)
