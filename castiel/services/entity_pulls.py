"""Pulls of "something in this entity has changed": by a task of the webhooks' own, from where others have come."""

from __future__ import annotations

import hashlib
import logging

from castiel.domain.connections import Connection, EntitySync
from castiel.domain.messages import SyncMessage
from castiel.domain.tasks import EntityCheckpoint, Priority, SyncMode, SyncTask, TaskStatus, TaskType
from castiel.errors import AlreadyExists, Conflict, LeaseHeld, NotFound
from castiel.ports.clock import Clock
from castiel.ports.stores import ConnectionStore, TaskStore

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 30.0


class EntityPulls:
    """One ``webhook`` task per connection and entity; it has no schedule and keeps its own cursor."""

    def __init__(self, tasks: TaskStore, connections: ConnectionStore, clock: Clock) -> None:
        self._tasks = tasks
        self._connections = connections
        self._clock = clock

    async def execution(self, message: SyncMessage) -> SyncMessage | None:
        """The message as the execution of a task, or ``None`` when there is nothing to pull.

        Asking again for the same message gives the same execution. Call it under the connection's lease.
        Raises :class:`LeaseHeld` while another execution of the task has not ended.
        """
        connection = await self._connection(message)
        entity = connection.entity(message.entity or "") if connection else None
        if connection is None or entity is None or not entity.pulls:
            logger.info("message dropped: the connection doesn't pull this entity")
            return None
        execution = f"exec-{message.correlation_id}"
        while True:
            task = await self._find_or_create(connection, entity)
            if task.execution_id != execution:
                if task.status in (TaskStatus.QUEUED, TaskStatus.PROCESSING):
                    # It may be past what has changed since: it ends first.
                    raise LeaseHeld(
                        "an earlier pull of the entity has not ended", retry_after=LOOK_AGAIN_SECONDS
                    )
                task.queue(execution, self._clock.now())
                try:
                    await self._tasks.replace(task)
                except Conflict:
                    continue
            return message.model_copy(update={"task_id": task.id, "correlation_id": execution})

    async def _connection(self, message: SyncMessage) -> Connection | None:
        try:
            return await self._connections.get(message.tenant_id, message.connection_id)
        except NotFound:
            return None

    async def _find_or_create(self, connection: Connection, entity: EntitySync) -> SyncTask:
        task_id = _task_id(connection, entity.entity)
        try:
            return await self._tasks.get(connection.tenant_id, task_id)
        except NotFound:
            pass
        task = SyncTask(
            id=task_id,
            integration_id=connection.integration_id,
            tenant_id=connection.tenant_id,
            connection_id=connection.id,
            sync_mode=SyncMode.PULL,
            priority=Priority.HIGH,
            # Only a message of its own begins an execution, not the scheduler.
            status=TaskStatus.COMPLETED,
            type=TaskType.WEBHOOK,
            entities=[entity.entity],
        )
        begun = await self._begun(connection, entity)
        if begun is not None:
            task.checkpoints[entity.entity] = begun
        try:
            return await self._tasks.create(task)
        except AlreadyExists:
            return await self._tasks.get(connection.tenant_id, task_id)

    async def _begun(self, connection: Connection, entity: EntitySync) -> EntityCheckpoint | None:
        """How far a task of the connection has come with the entity, so that this one need not begin at the beginning."""
        async for task in self._tasks.of_tenant(connection.tenant_id):
            checkpoint = task.checkpoints.get(entity.entity)
            if task.connection_id != connection.id or checkpoint is None:
                continue
            if checkpoint.ended and checkpoint.covers(entity.shard_type):
                return EntityCheckpoint(
                    cursor=checkpoint.cursor, ended=True, shard_type=checkpoint.shard_type
                )
        return None


def _task_id(connection: Connection, entity: str) -> str:
    about = hashlib.sha256(f"{connection.id}\x00{entity}".encode()).hexdigest()[:24]
    return f"webhook-{about}"
