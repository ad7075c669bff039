"""ConversionSchemaService: which schema converts a connection's entity."""

from __future__ import annotations

from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema
from castiel.errors import ConfigurationError, NotFound
from castiel.ports.clock import Clock
from castiel.ports.stores import SchemaStore
from castiel.services.integrations import Integrations

CACHE_SECONDS = 60.0


class ConversionSchemaService:
    """A connection's own schema where it names one, else the provider's default for the entity."""

    def __init__(self, schemas: SchemaStore, integrations: Integrations, clock: Clock) -> None:
        self._schemas = schemas
        self._integrations = integrations
        self._clock = clock
        self._cache: dict[tuple[str, str], tuple[float, ConversionSchema]] = {}

    async def schema_for(self, connection: Connection, entity: EntitySync) -> ConversionSchema:
        """The schema. Raises :class:`ConfigurationError` when there is none."""
        if entity.schema_id is None:
            return self._default(connection, entity)
        key = (connection.tenant_id, entity.schema_id)
        cached = self._cache.get(key)
        if cached and self._clock.monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1]
        try:
            schema = await self._schemas.get(connection.tenant_id, entity.schema_id)
        except NotFound:
            raise ConfigurationError(
                f"connection {connection.id}, entity {entity.entity}, schemaId: there is no such schema"
            ) from None
        self._cache[key] = (self._clock.monotonic(), schema)
        return schema

    def _default(self, connection: Connection, entity: EntitySync) -> ConversionSchema:
        key = (connection.integration_id, entity.entity)
        cached = self._cache.get(key)
        if cached:
            return cached[1]
        provider = self._integrations.provider(connection.integration_id)
        for data in provider.default_schemas:
            if data["entity"] == entity.entity:
                schema = ConversionSchema.model_validate(data)
                self._cache[key] = (0.0, schema)
                return schema
        known = ", ".join(sorted(str(data["entity"]) for data in provider.default_schemas))
        raise ConfigurationError(
            f"connection {connection.id}, entity {entity.entity}: no schemaId, and no default schema"
            f" for this entity (there are: {known})"
        )
