"""Pushing shards to one connection's entity: what differs from the base goes out, and the base follows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from castiel.adapters.base import Adapter, ExternalRecord, PushOutcome, PushRecord
from castiel.domain.conflicts import ConflictPolicy, ConflictStrategy, FieldConflict, merge_three_way
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema, fed_fields, to_external, to_shard
from castiel.domain.hashing import content_hash
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.shards import ExternalReference, Shard
from castiel.errors import CastielError, ConfigurationError, Conflict, ConversionFailed, LeaseHeld, NotFound
from castiel.ports.clock import Clock
from castiel.ports.coordination import Leases, Marks
from castiel.ports.stores import ConnectionStore, ShardStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.integrations import Integrations

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
LEDGER_SECONDS = 86_400.0
MAX_WRITE_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one message. ``operation`` is what was really done (a create may have become an update)."""

    operation: Operation
    external_id: str | None = None
    error: CastielError | None = None
    conflicts: Sequence[Mapping[str, Any]] = ()


@dataclass
class _Plan:
    """One shard's change on its way out."""

    shard: Shard
    operation: Operation
    reference: ExternalReference | None
    values: dict[str, Any] = field(default_factory=dict)
    """The shard fields that go out."""
    conflicts: list[FieldConflict] = field(default_factory=list)

    def pushed(self, outcome: PushOutcome | None) -> Pushed:
        known = self.reference.external_id if self.reference else None
        return Pushed(
            self.operation,
            (outcome.external_id if outcome else None) or known,
            outcome.error if outcome else None,
            [
                {"field": c.field, "strategy": c.strategy.value, "resolved": c.resolved}
                for c in self.conflicts
            ],
        )


class PushService:
    """Creates, updates and deletes at a provider, each change once."""

    def __init__(
        self,
        connections: ConnectionStore,
        shards: ShardStore,
        integrations: Integrations,
        schemas: ConversionSchemaService,
        leases: Leases,
        marks: Marks,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._shards = shards
        self._integrations = integrations
        self._schemas = schemas
        self._leases = leases
        self._marks = marks
        self._clock = clock

    async def push(self, messages: Sequence[OutboundMessage], tries: Mapping[str, int]) -> dict[str, Pushed]:
        """Push the shards that the messages name, all of one connection's entity; one outcome per shard id.

        ``tries``: how often each was tried before; a create that may have arrived is then looked for first.
        """
        first = messages[0]
        outcomes: dict[str, Pushed] = {}
        try:
            connection = await self._connection(first)
            entity = _entity(connection, first)
            schema = await self._schemas.schema_for(connection, entity)
            adapter = self._integrations.adapter(connection)
            async with AsyncExitStack() as stack:
                held = [m for m in messages if await self._hold(stack, m, outcomes)]
                await self._push_held(connection, entity, schema, adapter, held, tries, outcomes)
        except CastielError as error:
            for message in messages:
                outcomes.setdefault(message.entity_id, Pushed(message.operation, message.external_id, error))
        return outcomes

    async def _connection(self, message: OutboundMessage) -> Connection:
        try:
            return await self._connections.get(message.tenant_id, message.connection_id)
        except NotFound:
            raise NotFound(f"connection {message.connection_id}: it is gone") from None

    async def _hold(
        self,
        stack: AsyncExitStack,
        message: OutboundMessage,
        outcomes: dict[str, Pushed],
    ) -> bool:
        name = f"shard:{message.tenant_id}:{message.entity_id}"
        try:
            await stack.enter_async_context(self._leases.hold(name, seconds=LEASE_SECONDS))
        except LeaseHeld as error:
            outcomes[message.entity_id] = Pushed(message.operation, message.external_id, error)
            return False
        return True

    async def _push_held(
        self,
        connection: Connection,
        entity: EntitySync,
        schema: ConversionSchema,
        adapter: Adapter,
        messages: Sequence[OutboundMessage],
        tries: Mapping[str, int],
        outcomes: dict[str, Pushed],
    ) -> None:
        if not messages:
            return
        found = await self._shards.get_many(first_tenant(messages), [m.entity_id for m in messages])
        shards = {shard.id: shard for shard in found}
        plans: list[_Plan] = []
        for message in messages:
            shard = shards.get(message.entity_id)
            if shard is None:
                gone = NotFound("no such shard")
                outcomes[message.entity_id] = Pushed(message.operation, message.external_id, gone)
                continue
            plans.append(_plan(shard, connection, entity))
        await self._resolve(entity, schema, adapter, plans)
        for operation in Operation:
            some = [plan for plan in plans if plan.operation is operation]
            for plan, outcome in await self._carry_out(entity, schema, adapter, operation, some, tries):
                if outcome is not None and outcome.ok:
                    await self._remember(connection, entity, plan, outcome)
                outcomes[plan.shard.id] = plan.pushed(outcome)

    async def _resolve(
        self,
        entity: EntitySync,
        schema: ConversionSchema,
        adapter: Adapter,
        plans: Sequence[_Plan],
    ) -> None:
        """Compare with what is outside now: push mode lets the local side win, and records where it had to."""
        updates = [
            plan for plan in plans if plan.operation is Operation.UPDATE and plan.reference is not None
        ]
        if not updates:
            return
        ids = [plan.reference.external_id for plan in updates if plan.reference]
        current = await adapter.get(entity.entity, ids)
        for plan in updates:
            assert plan.reference is not None  # noqa: S101  (chosen above)
            record = current.get(plan.reference.external_id)
            if record is None or record.deleted:
                # It was deleted outside; the change here is newer than what we knew, so it is made again.
                plan.operation, plan.reference = Operation.CREATE, None
                plan.values = _fed(schema, plan.shard)
                continue
            self._compare(plan, schema, record)

    def _compare(self, plan: _Plan, schema: ConversionSchema, record: ExternalRecord) -> None:
        assert plan.reference is not None  # noqa: S101
        external = to_shard(schema, record.fields).fields
        outcome = merge_three_way(
            plan.reference.base,
            plan.shard.fields,
            external,
            ConflictPolicy(strategy=ConflictStrategy.LOCAL_WINS),
            local_changed_at={name: origin.at for name, origin in plan.shard.field_origins.items()},
            external_changed_at=record.modified_at,
            parked=plan.reference.parked,
        )
        plan.conflicts = [c for c in outcome.conflicts if c.field not in plan.reference.parked]
        plan.values = {
            name: plan.shard.fields.get(name)
            for name in outcome.to_push & fed_fields(schema)
            if name not in plan.reference.parked
        }
        plan.reference.version = record.version

    async def _carry_out(
        self,
        entity: EntitySync,
        schema: ConversionSchema,
        adapter: Adapter,
        operation: Operation,
        plans: Sequence[_Plan],
        tries: Mapping[str, int],
    ) -> list[tuple[_Plan, PushOutcome | None]]:
        """The provider calls. ``None``: there was nothing to do."""
        todo: list[tuple[_Plan, PushRecord]] = []
        done: list[tuple[_Plan, PushOutcome | None]] = []
        for plan in plans:
            if (operation is Operation.DELETE and (plan.reference is None or plan.reference.deleted)) or (
                operation is Operation.UPDATE and not plan.values
            ):
                done.append((plan, None))
            else:
                try:
                    todo.append((plan, _record(schema, plan, tries)))
                except ConversionFailed as error:
                    done.append((plan, PushOutcome(plan.shard.id, error=error)))
        if not todo:
            return done
        records = [record for _, record in todo]
        try:
            if operation is Operation.DELETE:
                outcomes = await adapter.delete(entity.entity, records)
            else:
                outcomes = await adapter.push(entity.entity, records)
        except CastielError as error:
            outcomes = [PushOutcome(record.key, error=error) for record in records]
        return done + [(plan, outcome) for (plan, _), outcome in zip(todo, outcomes, strict=True)]

    async def _remember(
        self, connection: Connection, entity: EntitySync, plan: _Plan, outcome: PushOutcome
    ) -> None:
        """The write ledger, then the reference with its new base: our own write will be recognised when it returns."""
        external_id = outcome.external_id or (plan.reference.external_id if plan.reference else "")
        ledger = {
            f"ledger:{connection.id}:{entity.entity}:{external_id}:{name}": content_hash({"value": value})
            for name, value in plan.values.items()
        }
        await self._marks.put_many(ledger, seconds=LEDGER_SECONDS)
        shard = plan.shard
        for _ in range(MAX_WRITE_ROUNDS):
            reference = (
                shard.reference(connection.id, entity.entity, external_id)
                or shard.reference(connection.id, entity.entity)
                or ExternalReference(
                    integration_id=connection.integration_id,
                    connection_id=connection.id,
                    entity=entity.entity,
                    external_id=external_id,
                )
            )
            shard.drop_reference(reference.key)
            reference.external_id = external_id
            reference.base = {**reference.base, **plan.values}
            reference.deleted = plan.operation is Operation.DELETE
            reference.version = outcome.version or reference.version
            reference.modified_at = outcome.modified_at or reference.modified_at
            reference.pushed_at = self._clock.now()
            shard.put_reference(reference)
            [saved] = await self._shards.save([shard])
            if saved.error is None:
                return
            if not isinstance(saved.error, Conflict):
                raise saved.error
            shard = await self._shards.get(shard.tenant_id, shard.id)
        raise Conflict("the shard keeps changing under us")


def first_tenant(messages: Sequence[OutboundMessage]) -> str:
    """The tenant of a group of messages."""
    return messages[0].tenant_id


def _entity(connection: Connection, message: OutboundMessage) -> EntitySync:
    entity = connection.entity(message.entity or "")
    if entity is None:
        raise ConfigurationError(f"connection {connection.id}: it doesn't carry the message's entity")
    return entity


def _plan(shard: Shard, connection: Connection, entity: EntitySync) -> _Plan:
    """What the shard's state asks for now; the message only said that something changed."""
    reference = shard.reference(connection.id, entity.entity)
    if shard.deleted:
        return _Plan(shard, Operation.DELETE, reference)
    if reference is None or reference.deleted:
        return _Plan(shard, Operation.CREATE, None, values=dict(shard.fields))
    return _Plan(shard, Operation.UPDATE, reference)


def _fed(schema: ConversionSchema, shard: Shard) -> dict[str, Any]:
    names = fed_fields(schema)
    return {name: value for name, value in shard.fields.items() if name in names}


def _record(schema: ConversionSchema, plan: _Plan, tries: Mapping[str, int]) -> PushRecord:
    if plan.operation is Operation.DELETE:
        fields: dict[str, Any] = {}
    elif plan.operation is Operation.CREATE:
        plan.values = _fed(schema, plan.shard)
        fields = to_external(schema, plan.values)
    else:
        fields = to_external(schema, plan.shard.fields, only=plan.values.keys())
    return PushRecord(
        key=plan.shard.id,
        operation=plan.operation,
        fields=fields,
        external_id=plan.reference.external_id if plan.reference else None,
        version=plan.reference.version if plan.reference else None,
        retrying=tries.get(plan.shard.id, 0) > 0,
    )
