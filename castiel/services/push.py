"""Pushing shards to one connection's entity: what differs from the base goes out, and the base follows."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from castiel.adapters.base import Adapter, PushOutcome, PushRecord
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema, to_external, to_shard
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.pushing import PushPlan, compare, plan_after_deletion, plan_create, plan_push, untold
from castiel.domain.shards import Shard
from castiel.errors import (
    CastielError,
    ConfigurationError,
    ConnectionPaused,
    ConversionFailed,
    FirstPullPending,
    LeaseHeld,
    LeaseLost,
    NotFound,
    ProviderUnavailable,
    ReauthRequired,
    RecordNotFound,
)
from castiel.ports.coordination import Lease, Leases, Marks
from castiel.ports.stores import ConnectionStore, ShardStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.first_pull import FirstPulls
from castiel.services.integrations import Integrations
from castiel.services.outbox import Outbox
from castiel.services.push_record import PushRecorder

logger = logging.getLogger(__name__)

CREATE_MARK_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one message. ``operation`` is what was really done (a create may have become an update)."""

    operation: Operation
    external_id: str | None = None
    error: CastielError | None = None
    conflicts: Sequence[Mapping[str, Any]] = ()


@dataclass
class _Push:
    """One call's work: all for one connection's entity."""

    connection: Connection
    entity: EntitySync
    schema: ConversionSchema
    adapter: Adapter
    tries: Mapping[str, int]
    outcomes: dict[str, Pushed] = field(default_factory=dict)
    told: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Shard → the keys of its references that were planned for."""


class PushService:
    """Creates, updates and deletes at a provider, each change once, in the provider's own batches."""

    def __init__(
        self,
        connections: ConnectionStore,
        shards: ShardStore,
        integrations: Integrations,
        schemas: ConversionSchemaService,
        leases: Leases,
        marks: Marks,
        recorder: PushRecorder,
        first_pulls: FirstPulls,
        outbox: Outbox,
        *,
        lease_seconds: float,
    ) -> None:
        """``lease_seconds``: how long a shard stays ours after a crash, or when Redis can't be told that we are done."""
        self._connections = connections
        self._shards = shards
        self._integrations = integrations
        self._schemas = schemas
        self._leases = leases
        self._marks = marks
        self._recorder = recorder
        self._first_pulls = first_pulls
        self._outbox = outbox
        self._lease_seconds = lease_seconds

    async def push(self, messages: Sequence[OutboundMessage], tries: Mapping[str, int]) -> dict[str, Pushed]:
        """Push the shards that the messages name, all of one connection's entity; one outcome per shard id.

        ``tries``: how often each message was tried before; a create that may have arrived is looked for first.
        """
        outcomes: dict[str, Pushed] = {}
        try:
            work = await self._prepare(messages, tries)
            outcomes = work.outcomes
            names = {_lease_name(message.tenant_id, message.entity_id): message for message in messages}
            async with self._leases.hold_many(names, seconds=self._lease_seconds) as held:
                for name, message in names.items():
                    if name not in held:
                        busy = LeaseHeld(retry_after=self._lease_seconds / 10)
                        outcomes[message.entity_id] = Pushed(message.operation, message.external_id, busy)
                await self._push_held(work, [names[name] for name in held], held)
        except CastielError as error:
            for message in messages:
                outcomes.setdefault(message.entity_id, Pushed(message.operation, message.external_id, error))
        await self._keep_unauthorised(messages, outcomes)
        return outcomes

    async def _keep_unauthorised(
        self, messages: Sequence[OutboundMessage], outcomes: Mapping[str, Pushed]
    ) -> None:
        """What only a dead grant stopped is told once it lives again, without anybody having to send it again."""
        stopped = [
            m for m in messages if isinstance(outcomes[m.entity_id].error, ReauthRequired | ConnectionPaused)
        ]
        if not stopped:
            return
        try:
            connection = await self._connections.get(stopped[0].tenant_id, stopped[0].connection_id)
            await self._outbox.keep(connection, stopped)
        except CastielError as error:
            logger.warning("changes for later could not be kept: %s", error, extra={"error": error.code})

    async def _prepare(self, messages: Sequence[OutboundMessage], tries: Mapping[str, int]) -> _Push:
        message = min(messages, key=lambda each: (each.enqueued_at, each.entity_id))
        try:
            connection = await self._connections.get(message.tenant_id, message.connection_id)
        except NotFound:
            raise NotFound(f"connection {message.connection_id}: it is gone") from None
        entity = connection.entity(message.entity or "")
        if entity is None:
            raise ConfigurationError(f"connection {connection.id}: it doesn't carry the message's entity")
        schema = await self._schemas.schema_for(connection, entity)
        # The oldest names the place in the limiter's line: put back and tried again, it is still its own.
        adapter = self._integrations.adapter(
            connection, work=f"push:{message.outbox_id or message.entity_id}"
        )
        return _Push(connection, entity, schema, adapter, tries)

    async def _push_held(
        self, work: _Push, messages: Sequence[OutboundMessage], held: Mapping[str, Lease]
    ) -> None:
        """In rounds, a record of each shard in each: where the connection has the same thing twice, both are told."""
        while messages:
            before = dict(work.outcomes)
            more: set[str] = set()
            try:
                await self._push_round(work, messages, held, more)
            except CastielError as error:
                # A round that was not finished: what an earlier one came to must not stand for it.
                for message in messages:
                    known = work.outcomes.get(message.entity_id)
                    if known is before.get(message.entity_id) or message.entity_id in more:
                        _fail(work, message, error)
                return
            # What the first record came to stands for all, unless another one fails.
            for shard_id, outcome in before.items():
                if outcome.error is not None or work.outcomes[shard_id].error is None:
                    work.outcomes[shard_id] = outcome
            messages = [message for message in messages if message.entity_id in more]

    async def _push_round(
        self, work: _Push, messages: Sequence[OutboundMessage], held: Mapping[str, Lease], more: set[str]
    ) -> None:
        """One record of each shard. ``more`` gets the shards that have another."""
        plans = await self._plans(work, messages)
        plans = await self._complete_updates(work, plans)
        plans = await self._complete_deletions(work, plans, messages, held)
        plans = await self._without_early_creates(work, plans)
        more |= {plan.shard.id for plan in plans if _records_left(work, plan.shard)}
        for operation in (Operation.CREATE, Operation.UPDATE, Operation.DELETE):
            await self._carry_out(work, [plan for plan in plans if plan.operation is operation], held)

    async def _plans(self, work: _Push, messages: Sequence[OutboundMessage]) -> list[PushPlan]:
        found = await self._shards.get_many(work.connection.tenant_id, [m.entity_id for m in messages])
        shards = {shard.id: shard for shard in found}
        plans: list[PushPlan] = []
        for message in messages:
            shard = shards.get(message.entity_id)
            if shard is None:
                gone = NotFound("no such shard")
                work.outcomes[message.entity_id] = Pushed(message.operation, message.external_id, gone)
            else:
                told = work.told[shard.id]
                plan = plan_push(shard, work.connection.id, work.entity.entity, work.schema, told)
                told |= {plan.reference.key} if plan.reference else set()
                plans.append(plan)
        return plans

    async def _complete_deletions(
        self,
        work: _Push,
        plans: Sequence[PushPlan],
        messages: Sequence[OutboundMessage],
        held: Mapping[str, Lease],
    ) -> list[PushPlan]:
        """Deletions of what an unfinished create may have made: the create is finished first, so that its record is known.

        Left alone, the record would come back by the next pull as somebody else's new one.
        """
        unknown = {
            _create_key(work, plan): plan
            for plan in plans
            if plan.operation is Operation.DELETE and plan.reference is None
        }
        begun = await self._marks.get_many(list(unknown)) if unknown else {}
        if not begun:
            return list(plans)
        unfinished = {unknown[key].shard.id for key in begun}
        await self._carry_out(work, [plan_create(unknown[key].shard, work.schema) for key in begun], held)
        made = {shard_id for shard_id in unfinished if work.outcomes[shard_id].error is None}
        again = await self._plans(work, [message for message in messages if message.entity_id in made])
        return [plan for plan in plans if plan.shard.id not in unfinished] + again

    async def _complete_updates(self, work: _Push, plans: Sequence[PushPlan]) -> list[PushPlan]:
        """Compare updates with what is outside now, all together: the local side wins, and that it had to is kept.

        Only what has something to tell is looked at: without that there is no conflict.
        """
        ids = [p.external_id for p in plans if p.external_id and _has_news(work, p)]
        current = await work.adapter.get(work.entity.entity, ids) if ids else {}
        completed: list[PushPlan] = []
        for plan in plans:
            if plan.reference is None or not _has_news(work, plan):
                completed.append(plan)
                continue
            record = current.get(plan.reference.external_id)
            if record is None:
                # Not there for this account, which is no proof that it was deleted: never make a second one.
                missing = RecordNotFound("the record can't be seen at the provider")
                work.outcomes[plan.shard.id] = _pushed(plan, PushOutcome(plan.shard.id, error=missing))
                continue
            if record.deleted:
                completed.append(plan_after_deletion(plan, plan.reference, record.modified_at, work.schema))
                continue
            plan.reference.version = record.version
            try:
                compare(plan, plan.reference, to_shard(work.schema, record.fields).fields, work.schema)
            except ConversionFailed as error:
                work.outcomes[plan.shard.id] = _pushed(plan, PushOutcome(plan.shard.id, error=error))
                continue
            completed.append(plan)
        return completed

    async def _without_early_creates(self, work: _Push, plans: Sequence[PushPlan]) -> list[PushPlan]:
        """What a connection already has is not made there again: creates wait until its own records are known."""
        creates = [plan for plan in plans if plan.operation is Operation.CREATE]
        if not creates or not await self._first_pulls.is_pending(work.connection, work.entity):
            return list(plans)
        for plan in creates:
            work.outcomes[plan.shard.id] = _pushed(plan, PushOutcome(plan.shard.id, error=FirstPullPending()))
        return [plan for plan in plans if plan.operation is not Operation.CREATE]

    async def _carry_out(self, work: _Push, plans: Sequence[PushPlan], held: Mapping[str, Lease]) -> None:
        """The provider calls of one operation, and what they came to, remembered in one go."""
        ready: list[tuple[PushPlan, dict[str, Any]]] = []
        for plan in plans:
            if plan.nothing_to_do:
                work.outcomes[plan.shard.id] = _pushed(plan, None)
            elif held[_lease_name(work.connection.tenant_id, plan.shard.id)].lost:
                lost = PushOutcome(plan.shard.id, error=LeaseLost())
                work.outcomes[plan.shard.id] = _pushed(plan, lost)
            else:
                try:
                    ready.append((plan, _fields(work, plan)))
                except ConversionFailed as error:
                    work.outcomes[plan.shard.id] = _pushed(plan, PushOutcome(plan.shard.id, error=error))
        if not ready:
            return
        begun = await self._begin_creates(work, [plan for plan, _ in ready])
        todo = [
            (plan, _record(work, plan, fields, began_before=plan.shard.id not in begun))
            for plan, fields in ready
        ]
        outcomes = await _call(work, [record for _, record in todo])
        done = [(plan, outcome) for (plan, _), outcome in zip(todo, outcomes, strict=True)]
        errors = await self._recorder.remember(
            work.connection, work.entity, [(plan, outcome) for plan, outcome in done if outcome.ok]
        )
        await self._end_creates(
            work, [plan for plan, outcome in done if _settled(plan, outcome, errors, begun)]
        )
        for plan, outcome in done:
            unsaved = errors.get(plan.shard.id)
            if unsaved is not None:
                outcome = PushOutcome(plan.shard.id, outcome.external_id, error=unsaved)
            work.outcomes[plan.shard.id] = _pushed(plan, outcome)

    async def _begin_creates(self, work: _Push, plans: Sequence[PushPlan]) -> set[str]:
        """Mark each create before its call. Returns the shards whose mark is new.

        A mark that was there says that a create may have arrived without us knowing (a crash, or an answer that
        never came), whichever message it came by.
        """
        creates = {
            _create_key(work, plan): plan.shard.id for plan in plans if plan.operation is Operation.CREATE
        }
        return {creates[key] for key in await self._marks.claim_many(creates, seconds=CREATE_MARK_SECONDS)}

    async def _end_creates(self, work: _Push, plans: Sequence[PushPlan]) -> None:
        await self._marks.delete_many([_create_key(work, plan) for plan in plans])


def _fail(work: _Push, message: OutboundMessage, error: CastielError) -> None:
    """Let an error stand for a message, unless it has one already."""
    known = work.outcomes.get(message.entity_id)
    if known is None or known.error is None:
        external_id = known.external_id if known else message.external_id
        work.outcomes[message.entity_id] = Pushed(message.operation, external_id, error)


def _lease_name(tenant_id: str, shard_id: str) -> str:
    return f"shard:{tenant_id}:{shard_id}"


def _has_news(work: _Push, plan: PushPlan) -> bool:
    """Whether an update has anything that the other side was not told."""
    if plan.operation is not Operation.UPDATE or plan.reference is None:
        return False
    return bool(untold(plan.shard, plan.reference, work.schema))


def _records_left(work: _Push, shard: Shard) -> bool:
    """Whether the shard is a further record of the connection, which was not planned for yet."""
    live = shard.live_references(work.connection.id, work.entity.entity)
    return any(reference.key not in work.told[shard.id] for reference in live)


def _create_key(work: _Push, plan: PushPlan) -> str:
    return f"create:{work.connection.tenant_id}:{work.connection.id}:{work.entity.entity}:{plan.shard.id}"


def _settled(
    plan: PushPlan, outcome: PushOutcome, errors: Mapping[str, CastielError], begun: Collection[str]
) -> bool:
    """Whether a create's mark may go: its record is known, or certainly was not made.

    A refusal says so only of a first try. Where the mark was there before, what was refused may have been the look
    for the record of an earlier try.
    """
    if plan.operation is not Operation.CREATE or plan.shard.id in errors:
        return False
    return outcome.ok or (plan.shard.id in begun and not isinstance(outcome.error, ProviderUnavailable))


async def _call(work: _Push, records: Sequence[PushRecord]) -> list[PushOutcome]:
    try:
        if records[0].operation is Operation.DELETE:
            return await work.adapter.delete(work.entity.entity, records)
        return await work.adapter.push(work.entity.entity, records)
    except CastielError as error:
        return [PushOutcome(record.key, error=error) for record in records]


def _fields(work: _Push, plan: PushPlan) -> dict[str, Any]:
    if plan.operation is Operation.DELETE:
        return {}
    if plan.operation is Operation.CREATE:
        return to_external(work.schema, plan.values)
    return to_external(work.schema, plan.shard.fields, only=plan.values.keys())


def _record(work: _Push, plan: PushPlan, fields: dict[str, Any], *, began_before: bool) -> PushRecord:
    creating = plan.operation is Operation.CREATE
    return PushRecord(
        key=plan.shard.id,
        operation=plan.operation,
        fields=fields,
        external_id=plan.external_id,
        version=plan.reference.version if plan.reference else None,
        retrying=creating and (began_before or work.tries.get(plan.shard.id, 0) > 0),
    )


def _pushed(plan: PushPlan, outcome: PushOutcome | None) -> Pushed:
    return Pushed(
        plan.operation,
        (outcome.external_id if outcome else None) or plan.external_id,
        outcome.error if outcome else None,
        [{"field": c.field, "strategy": c.strategy.value, "resolved": c.resolved} for c in plan.conflicts],
    )
