"""The ``sync-tasks`` container."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_batches import Batches
from castiel.azure.cosmos_client import Collection
from castiel.domain.model import format_second
from castiel.domain.tasks import Priority, SyncTask
from castiel.errors import CastielError

_DUE = "(c.status = 'pending' OR (c.nextScheduled <= @now AND c.status NOT IN ('queued', 'processing')))"


class CosmosTasks:
    """:class:`~castiel.ports.stores.TaskStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._tasks = Collection(container, SyncTask, lambda task: task.tenant_id)
        self._batches = Batches(self._tasks)

    async def get(self, tenant_id: str, task_id: str) -> SyncTask:
        return await self._tasks.get(task_id, tenant_id)

    async def create(self, task: SyncTask) -> SyncTask:
        return await self._tasks.create(task)

    async def replace(self, task: SyncTask) -> SyncTask:
        return await self._tasks.replace(task)

    async def replace_each(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[CastielError | None]:
        return await self._batches.write_each(tenant_id, tasks)

    async def delete(self, task: SyncTask) -> None:
        await self._tasks.delete(task)

    async def due(self, now: datetime, priority: Priority) -> AsyncIterator[SyncTask]:
        sql = f"SELECT * FROM c WHERE c.enabled = true AND c.priority = @priority AND {_DUE}"  # noqa: S608
        async for task in self._tasks.query(sql, {"priority": priority.value, "now": format_second(now)}):
            yield task

    async def unfinished(self) -> AsyncIterator[SyncTask]:
        async for task in self._tasks.query("SELECT * FROM c WHERE c.status IN ('queued', 'processing')"):
            yield task

    async def count_disabled_due(self, now: datetime) -> int:
        sql = f"SELECT VALUE COUNT(1) FROM c WHERE c.enabled = false AND {_DUE}"  # noqa: S608
        return int(await self._tasks.value(sql, {"now": format_second(now)}) or 0)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[SyncTask]:
        async for task in self._tasks.query("SELECT * FROM c", partition=tenant_id):
            yield task
