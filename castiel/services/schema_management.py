"""What operators do with conversion schemas beside saving them: list, get, delete, and look at what is shipped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from castiel.adapters.base import Provider
from castiel.domain.conversion import ConversionSchema, did_you_mean
from castiel.errors import InUse, NotFound
from castiel.ports.stores import ConnectionStore, SchemaStore

logger = logging.getLogger(__name__)

NOT_WRITTEN = ("tenantId", "integrationId", "version")
"""What a saved schema gets from its connection, and from the one before it."""


@dataclass(frozen=True, slots=True)
class SchemaUse:
    """An entity of a connection that is converted by a schema."""

    connection_id: str
    entity: str

    def __str__(self) -> str:
        return f"{self.connection_id} ({self.entity})"


class SchemaManagement:
    """Every method raises :class:`NotFound` for a schema that the tenant does not have."""

    def __init__(self, schemas: SchemaStore, connections: ConnectionStore) -> None:
        self._schemas = schemas
        self._connections = connections

    async def list(self, tenant_id: str) -> list[ConversionSchema]:
        """The tenant's own, by id."""
        found = [schema async for schema in self._schemas.of_tenant(tenant_id)]
        return sorted(found, key=lambda schema: schema.id)

    async def get(self, tenant_id: str, schema_id: str) -> ConversionSchema:
        """One of them, as it is stored."""
        return await self._schemas.get(tenant_id, schema_id)

    async def uses(self, tenant_id: str) -> Mapping[str, tuple[SchemaUse, ...]]:
        """Who is converted by which of the tenant's schemas; an entity that is switched off counts too."""
        found: dict[str, tuple[SchemaUse, ...]] = {}
        for connection in sorted(await self._connections.of_tenant(tenant_id), key=lambda each: each.id):
            for entity in connection.entities:
                if entity.schema_id is not None:
                    use = SchemaUse(connection.id, entity.entity)
                    found[entity.schema_id] = (*found.get(entity.schema_id, ()), use)
        return found

    async def delete(self, tenant_id: str, schema_id: str) -> None:
        """Forget it. Raises :class:`InUse` while an entity of a connection uses it.

        Raises :class:`~castiel.errors.Conflict` if it was just saved anew.
        """
        schema = await self._schemas.get(tenant_id, schema_id)
        uses = (await self.uses(tenant_id)).get(schema_id)
        if uses:
            raise InUse(f"schema {schema_id} is used by {', '.join(map(str, uses))}")
        await self._schemas.delete(schema)
        logger.info("conversion schema deleted", extra={"tenantId": tenant_id, "schemaId": schema_id})


def default_document(provider: Provider, entity: str) -> dict[str, Any]:
    """A provider's shipped schema for an entity, as a document to begin one's own with. Raises :class:`NotFound`."""
    known = {str(data["entity"]): data for data in provider.default_schemas}
    if entity not in known:
        hint = did_you_mean(entity, known) or f"there are: {', '.join(sorted(known))}"
        raise NotFound(f"{provider.title} has no default schema for {entity!r}; {hint}")
    return {name: value for name, value in known[entity].items() if name not in NOT_WRITTEN}
