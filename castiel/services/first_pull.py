"""Whether a connection's records have been seen once: before that, a create may make what is there already."""

from __future__ import annotations

from castiel.domain.connections import Connection, EntitySync
from castiel.domain.tasks import SyncMode, TaskType
from castiel.ports.stores import TaskStore


class FirstPulls:
    """Answered from the tasks' checkpoints; a yes is remembered, since it stays one for the same connection and type."""

    def __init__(self, tasks: TaskStore) -> None:
        self._tasks = tasks
        self._seen: set[tuple[object, ...]] = set()

    async def is_pending(self, connection: Connection, entity: EntitySync) -> bool:
        """Whether a task is going to pull the entity's records for the first time, or is at it.

        Not where nothing pulls them: what will never be looked at need not be waited for.
        """
        # One that was deleted and is added again has been another: its records may be others, too.
        key = (
            connection.tenant_id,
            connection.id,
            connection.created_at,
            entity.entity,
            entity.shard_type,
        )
        if not entity.pulls or key in self._seen:
            return False
        waits = False
        async for task in self._tasks.of_tenant(connection.tenant_id):
            if task.connection_id != connection.id:
                continue
            checkpoint = task.checkpoints.get(entity.entity)
            if checkpoint is not None and checkpoint.ended and checkpoint.covers(entity.shard_type):
                self._seen.add(key)
                return False
            covers = not task.entities or entity.entity in task.entities
            standing = task.enabled and task.type is not TaskType.WEBHOOK
            waits = waits or (covers and standing and task.sync_mode is not SyncMode.PUSH)
        return waits
