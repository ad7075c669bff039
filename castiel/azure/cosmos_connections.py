"""What a tenant has set up: its connections and limits, which share a container, and its conversion schemas."""

from __future__ import annotations

from collections.abc import AsyncIterator

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_client import Collection
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.conversion import ConversionSchema
from castiel.domain.limits import TenantLimits
from castiel.ports.stores import InactiveConnection

LIMITS_ID = "limits"
"""The one document of the ``connections`` container that is no connection."""
INACTIVE_PER_PAGE = 1000
"""Rows of a hundred bytes."""


class CosmosConnections:
    """:class:`~castiel.ports.stores.ConnectionStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._connections = Collection(container, Connection, lambda connection: connection.tenant_id)

    async def get(self, tenant_id: str, connection_id: str) -> Connection:
        return await self._connections.get(connection_id, tenant_id)

    async def create(self, connection: Connection) -> Connection:
        return await self._connections.create(connection)

    async def replace(self, connection: Connection) -> Connection:
        return await self._connections.replace(connection)

    async def delete(self, connection: Connection) -> None:
        await self._connections.delete(connection)

    async def of_tenant(self, tenant_id: str) -> list[Connection]:
        sql = "SELECT * FROM c WHERE c.id != @limits"
        return [c async for c in self._connections.query(sql, {"limits": LIMITS_ID}, partition=tenant_id)]

    async def by_credential(self, tenant_id: str, credential_id: str) -> list[Connection]:
        sql = "SELECT * FROM c WHERE c.credentialId = @id"
        return [c async for c in self._connections.query(sql, {"id": credential_id}, partition=tenant_id)]

    async def inactive(self) -> AsyncIterator[InactiveConnection]:
        sql = "SELECT c.tenantId, c.id, c.status FROM c WHERE c.status IN ('paused', 'needsReauth')"
        async for row in self._connections.rows(sql, page_size=INACTIVE_PER_PAGE):
            yield InactiveConnection(row["tenantId"], row["id"], ConnectionStatus(row["status"]))


class CosmosLimits:
    """:class:`~castiel.ports.stores.LimitStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._limits = Collection(container, TenantLimits, lambda limits: limits.tenant_id)

    async def get(self, tenant_id: str) -> TenantLimits | None:
        return await self._limits.find(LIMITS_ID, tenant_id)

    async def put(self, limits: TenantLimits) -> TenantLimits:
        if limits.etag is None:
            return await self._limits.create(limits)
        return await self._limits.replace(limits)


class CosmosSchemas:
    """:class:`~castiel.ports.stores.SchemaStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._schemas = Collection(container, ConversionSchema, lambda schema: schema.tenant_id)

    async def get(self, tenant_id: str, schema_id: str) -> ConversionSchema:
        return await self._schemas.get(schema_id, tenant_id)

    async def create(self, schema: ConversionSchema) -> ConversionSchema:
        return await self._schemas.create(schema)

    async def replace(self, schema: ConversionSchema) -> ConversionSchema:
        return await self._schemas.replace(schema)

    async def put(self, schema: ConversionSchema) -> ConversionSchema:
        return await self._schemas.put(schema)

    async def delete(self, schema: ConversionSchema) -> None:
        await self._schemas.delete(schema)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[ConversionSchema]:
        async for schema in self._schemas.query("SELECT * FROM c", partition=tenant_id):
            yield schema
