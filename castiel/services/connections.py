"""What operators do with connections: add, change, pause, resume. What is wrong is said before anything is stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from castiel.domain.connections import Connection, ConnectionStatus, EntitySync
from castiel.domain.limits import OPERATION_LIMITS
from castiel.domain.tasks import SyncMode
from castiel.errors import Conflict, ConnectionPaused, InvalidInput
from castiel.ports.clock import Clock
from castiel.ports.stores import ConnectionStore
from castiel.services.connection_changes import ConnectionChange, changed
from castiel.services.connection_rules import (
    NewEntity,
    check_settings,
    default_entities,
    entities_of,
    instead,
    policy_of,
)
from castiel.services.conversion import ConversionSchemaService
from castiel.services.credentials.documents import update
from castiel.services.integrations import Integrations

logger = logging.getLogger(__name__)

CONNECTION_LIMITS = ("integration", "tenant", *OPERATION_LIMITS)
"""The limits a connection may have of its own."""


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A connection to add. Without entities: all that the provider has a default schema for, both ways."""

    id: str
    tenant_id: str
    integration_id: str
    entities: tuple[NewEntity, ...] = ()
    direction: SyncMode = SyncMode.BIDIRECTIONAL
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    credential_id: str | None = None
    """An existing credential; else one of its own, which its authorization makes."""
    conflict_policy: Mapping[str, Any] | None = None
    deduplicate: bool = True


class ConnectionManagement:
    """Every method raises :class:`~castiel.errors.NotFound` for a connection that the tenant does not have."""

    def __init__(
        self,
        connections: ConnectionStore,
        integrations: Integrations,
        schemas: ConversionSchemaService,
        resolvers: Collection[str],
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._integrations = integrations
        self._schemas = schemas
        self._resolvers = frozenset(resolvers)
        self._clock = clock

    async def add(self, new: NewConnection) -> Connection:
        """Store it; a person has to authorise it then.

        Raises :class:`InvalidInput` and :class:`~castiel.errors.ConfigurationError`, naming the field, and
        :class:`~castiel.errors.AlreadyExists`.
        """
        provider = self._integrations.provider(new.integration_id)
        check_settings(provider, new.settings)
        connection = Connection(
            id=new.id,
            tenant_id=new.tenant_id,
            integration_id=new.integration_id,
            credential_id=new.credential_id or f"cred-{new.id}",
            name=new.name,
            settings=dict(new.settings),
            entities=entities_of(provider, new.entities) or default_entities(provider, new.direction),
            conflict_policy=None
            if new.conflict_policy is None
            else policy_of(new.conflict_policy, self._resolvers),
            deduplicate=new.deduplicate,
            created_at=self._clock.now(),
            updated_at=self._clock.now(),
        )
        await self._require_schemas(connection, connection.entities)
        created = await self._connections.create(connection)
        logger.info("connection added", extra=_dimensions(created))
        return created

    async def change(self, tenant_id: str, connection_id: str, change: ConnectionChange) -> Connection:
        """Change what it is, by the rules of :meth:`add`. Workers act on it with the next message they take.

        Raises what :meth:`add` raises for what is wrong, and :class:`~castiel.errors.Conflict` when somebody else
        changed the connection meanwhile: then nothing of this was written.
        """
        before = await self._connections.get(tenant_id, connection_id)
        after = changed(before, change, self._integrations.provider(before.integration_id), self._resolvers)
        if after == before:
            return before
        await self._require_schemas(after, [each for each in after.entities if each not in before.entities])
        after.updated_at = self._clock.now()
        try:
            written = await self._connections.replace(after)
        except Conflict:
            raise Conflict(
                f"connection {connection_id} was changed by somebody else meanwhile, so nothing was written:"
                " look at it and try again"
            ) from None
        logger.info("connection changed", extra=_dimensions(written))
        return written

    async def pause(self, tenant_id: str, connection_id: str, reason: str | None = None) -> Connection:
        """No work is done on it until it is resumed. What waits to be sent to it goes on waiting."""

        def change(connection: Connection) -> None:
            connection.status = ConnectionStatus.PAUSED
            connection.status_reason = reason

        return await self._change(tenant_id, connection_id, change)

    async def resume(self, tenant_id: str, connection_id: str) -> Connection:
        """Work is done on it again. Raises :class:`ConnectionPaused` where only a new authorization helps."""

        def change(connection: Connection) -> bool:
            if connection.needs_authorization:
                raise ConnectionPaused(
                    f"connection {connection_id} waits for a person to authorise it ({connection.status_reason})"
                )
            if connection.usable:
                return False
            connection.status, connection.status_reason = ConnectionStatus.ACTIVE, None
            return True

        return await self._change(tenant_id, connection_id, change)

    async def set_limit(
        self, tenant_id: str, connection_id: str, name: str, per_minute: int | None
    ) -> Connection:
        """A limit of its own, or (``None``) none any more. Raises :class:`InvalidInput`."""
        if name not in CONNECTION_LIMITS:
            raise InvalidInput(f"a connection has no limit {name!r}{instead(name, CONNECTION_LIMITS)}")
        if per_minute is not None and not 1 <= per_minute <= 10_000_000:
            raise InvalidInput("a limit is a number of calls per minute from 1 on")

        def change(connection: Connection) -> None:
            connection.rate_limits.pop(name, None)
            if per_minute is not None:
                connection.rate_limits[name] = per_minute

        return await self._change(tenant_id, connection_id, change)

    async def _require_schemas(self, connection: Connection, entities: Sequence[EntitySync]) -> None:
        for entity in entities:
            schema = await self._schemas.schema_for(connection, entity)
            if (schema.integration_id, schema.entity) != (connection.integration_id, entity.entity):
                # Fields that this entity does not have would come in as empty ones.
                raise InvalidInput(
                    f"entities: schema {schema.id} is of {schema.integration_id}'s {schema.entity},"
                    f" not of {connection.integration_id}'s {entity.entity}"
                )

    async def _change(
        self, tenant_id: str, connection_id: str, change: Callable[[Connection], bool | None]
    ) -> Connection:
        def dated(connection: Connection) -> bool:
            if change(connection) is False:
                return False
            connection.updated_at = self._clock.now()
            return True

        return await update(self._connections, await self._connections.get(tenant_id, connection_id), dated)


def _dimensions(connection: Connection) -> dict[str, str]:
    return {
        "connectionId": connection.id,
        "tenantId": connection.tenant_id,
        "integrationId": connection.integration_id,
    }
