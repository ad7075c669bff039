"""What operators do with connections: add, pause, resume. What is wrong with a new one is said before it is stored."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from castiel.adapters.base import Provider
from castiel.domain.conflicts import ConflictPolicy
from castiel.domain.connections import Connection, ConnectionStatus, EntitySync
from castiel.domain.limits import OPERATION_LIMITS
from castiel.domain.tasks import SyncMode
from castiel.errors import ConnectionPaused, InvalidInput
from castiel.ports.clock import Clock
from castiel.ports.stores import ConnectionStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.credentials.documents import update
from castiel.services.integrations import Integrations

logger = logging.getLogger(__name__)

CONNECTION_LIMITS = ("integration", "tenant", *OPERATION_LIMITS)
"""The limits a connection may have of its own."""


@dataclass(frozen=True, slots=True)
class NewEntity:
    """An entity to sync. Without a shard type it is that of the provider's default schema."""

    entity: str
    shard_type: str | None = None
    direction: SyncMode = SyncMode.BIDIRECTIONAL
    schema_id: str | None = None


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
        _check_settings(provider, new.settings)
        connection = Connection(
            id=new.id,
            tenant_id=new.tenant_id,
            integration_id=new.integration_id,
            credential_id=new.credential_id or f"cred-{new.id}",
            name=new.name,
            settings=dict(new.settings),
            entities=_entities(provider, new),
            conflict_policy=self._policy(new.conflict_policy),
            deduplicate=new.deduplicate,
            created_at=self._clock.now(),
            updated_at=self._clock.now(),
        )
        for entity in connection.entities:
            await self._schemas.schema_for(connection, entity)
        created = await self._connections.create(connection)
        logger.info("connection added", extra=_dimensions(created))
        return created

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
            raise InvalidInput(f"a connection has no limit {name!r}{_instead(name, CONNECTION_LIMITS)}")
        if per_minute is not None and not 1 <= per_minute <= 10_000_000:
            raise InvalidInput("a limit is a number of calls per minute from 1 on")

        def change(connection: Connection) -> None:
            connection.rate_limits.pop(name, None)
            if per_minute is not None:
                connection.rate_limits[name] = per_minute

        return await self._change(tenant_id, connection_id, change)

    async def _change(
        self, tenant_id: str, connection_id: str, change: Callable[[Connection], bool | None]
    ) -> Connection:
        def dated(connection: Connection) -> bool:
            if change(connection) is False:
                return False
            connection.updated_at = self._clock.now()
            return True

        return await update(self._connections, await self._connections.get(tenant_id, connection_id), dated)

    def _policy(self, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if given is None:
            return None
        try:
            policy = ConflictPolicy.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"conflictPolicy{'.' if where else ''}{where}: {first['msg']}") from None
        for name in policy.resolver_names() - self._resolvers:
            raise InvalidInput(
                f"conflictPolicy: there is no resolver {name!r}{_instead(name, self._resolvers)}"
            )
        return policy.to_json()


def _entities(provider: Provider, new: NewConnection) -> list[EntitySync]:
    defaults = {str(data["entity"]): str(data["shardType"]) for data in provider.default_schemas}
    if not new.entities:
        return [
            EntitySync(
                entity=entity, shard_type=shard_type, direction=_possible(provider, entity, new.direction)
            )
            for entity, shard_type in defaults.items()
        ]
    found = [_entity(provider, each, defaults) for each in new.entities]
    twice = {each.entity for each in found if [e.entity for e in found].count(each.entity) > 1}
    if twice:
        raise InvalidInput(f"entities: {', '.join(sorted(twice))} twice")
    return found


def _entity(provider: Provider, wanted: NewEntity, defaults: Mapping[str, str]) -> EntitySync:
    known = {*provider.capabilities.entities, *defaults}
    if wanted.entity not in known and wanted.schema_id is None:
        raise InvalidInput(
            f"entities: {provider.title} has no default schema for {wanted.entity!r}, so it needs a schema of its own"
            f"{_instead(wanted.entity, known)}"
        )
    if wanted.entity in provider.capabilities.read_only_entities and wanted.direction is SyncMode.PUSH:
        raise InvalidInput(f"entities: {wanted.entity} can only be read at {provider.title}")
    shard_type = wanted.shard_type or defaults.get(wanted.entity)
    if shard_type is None:
        raise InvalidInput(f"entities: name the shard type of {wanted.entity}, as {wanted.entity}=type")
    return EntitySync(
        entity=wanted.entity,
        shard_type=shard_type,
        direction=_possible(provider, wanted.entity, wanted.direction),
        schema_id=wanted.schema_id,
    )


def _possible(provider: Provider, entity: str, direction: SyncMode) -> SyncMode:
    """What can only be read is only pulled."""
    return SyncMode.PULL if entity in provider.capabilities.read_only_entities else direction


def _check_settings(provider: Provider, settings: Mapping[str, Any]) -> None:
    known = provider.capabilities.arguments
    for name in settings:
        if name not in known:
            raise InvalidInput(f"settings: {provider.title} has no {name!r}{_instead(name, known)}")


def _instead(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(sorted(known))}" if known else ""


def _dimensions(connection: Connection) -> dict[str, str]:
    return {
        "connectionId": connection.id,
        "tenantId": connection.tenant_id,
        "integrationId": connection.integration_id,
    }
