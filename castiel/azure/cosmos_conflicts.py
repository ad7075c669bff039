"""The ``conflicts`` container: what waits for a person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_client import Collection, each
from castiel.domain.parked import ParkedConflict
from castiel.errors import NotFound


class CosmosConflicts:
    """:class:`~castiel.ports.stores.ConflictStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._conflicts = Collection(container, ParkedConflict, lambda conflict: conflict.tenant_id)

    async def get(self, tenant_id: str, conflict_id: str) -> ParkedConflict:
        return await self._conflicts.get(conflict_id, tenant_id)

    async def put(self, conflict: ParkedConflict) -> None:
        await self._conflicts.put(conflict)

    async def put_many(self, conflicts: Sequence[ParkedConflict]) -> None:
        await each(self._conflicts.put, conflicts)

    async def delete(self, tenant_id: str, conflict_id: str) -> None:
        try:
            await self._conflicts.delete(await self.get(tenant_id, conflict_id))
        except NotFound:
            return

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[ParkedConflict]:
        async for conflict in self._conflicts.query("SELECT * FROM c", partition=tenant_id):
            yield conflict
