"""Pushing shards to one connection's entity: what differs from the base goes out, and the base follows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.pushing import PushPlan, plan_create
from castiel.errors import (
    CastielError,
    ConfigurationError,
    ConnectionPaused,
    LeaseHeld,
    NotFound,
    ReauthRequired,
)
from castiel.ports.coordination import Lease, Leases, Marks
from castiel.ports.stores import ConnectionStore, ShardStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.first_pull import FirstPulls
from castiel.services.integrations import Integrations
from castiel.services.made_before import MadeBefore
from castiel.services.outbox import Outbox
from castiel.services.push_calls import PushCalls
from castiel.services.push_plans import PushPlanner, records_left
from castiel.services.push_record import PushRecorder
from castiel.services.push_work import Pushed, PushWork, lease_name
from castiel.services.sync_engine import BidirectionalSyncEngine

logger = logging.getLogger(__name__)


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
        engine: BidirectionalSyncEngine,
        *,
        lease_seconds: float,
    ) -> None:
        """``lease_seconds``: how long a shard stays ours after a crash, or when Redis can't be told that we are done."""
        self._connections = connections
        self._integrations = integrations
        self._schemas = schemas
        self._leases = leases
        self._outbox = outbox
        self._lease_seconds = lease_seconds
        self._planner = PushPlanner(shards, first_pulls)
        self._calls = PushCalls(marks, recorder)
        self._made_before = MadeBefore(engine, shards, self._calls)

    async def push(self, messages: Sequence[OutboundMessage], tries: Mapping[str, int]) -> dict[str, Pushed]:
        """Push the shards that the messages name, all of one connection's entity; one outcome per shard id.

        ``tries``: how often each message was tried before; a create that may have arrived is looked for first.
        """
        outcomes: dict[str, Pushed] = {}
        try:
            work = await self._prepare(messages, tries)
            outcomes = work.outcomes
            names = {lease_name(message.tenant_id, message.entity_id): message for message in messages}
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

    async def _prepare(self, messages: Sequence[OutboundMessage], tries: Mapping[str, int]) -> PushWork:
        message = min(messages, key=lambda each: (each.enqueued_at, each.entity_id))
        try:
            connection = await self._connections.get(message.tenant_id, message.connection_id)
        except NotFound:
            raise NotFound(f"connection {message.connection_id}: it is gone") from None
        entity = connection.entity(message.entity or "")
        if entity is None:
            raise ConfigurationError(f"connection {connection.id}: it doesn't carry the message's entity")
        if not entity.pushes:
            # It was turned or switched off after the change was announced.
            raise ConfigurationError(f"connection {connection.id}: it takes no changes of {entity.entity}")
        schema = await self._schemas.schema_for(connection, entity)
        # The oldest names the place in the limiter's line: put back and tried again, it is still its own.
        adapter = self._integrations.adapter(
            connection, work=f"push:{message.outbox_id or message.entity_id}"
        )
        return PushWork(connection, entity, schema, adapter, tries)

    async def _push_held(
        self, work: PushWork, messages: Sequence[OutboundMessage], held: Mapping[str, Lease]
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
                        work.fail_message(message, error)
                return
            # What the first record came to stands for all, unless another one fails.
            for shard_id, outcome in before.items():
                if outcome.error is not None or work.outcomes[shard_id].error is None:
                    work.outcomes[shard_id] = outcome
            messages = [message for message in messages if message.entity_id in more]

    async def _push_round(
        self, work: PushWork, messages: Sequence[OutboundMessage], held: Mapping[str, Lease], more: set[str]
    ) -> None:
        """One record of each shard. ``more`` gets the shards that have another."""
        plans = await self._planner.plans(work, messages)
        plans = await self._planner.complete_updates(work, plans)
        plans = await self._complete_deletions(work, plans, messages, held)
        plans = await self._made_before.claim(work, plans, messages[0].correlation_id)
        plans = await self._planner.without_early_creates(work, plans)
        more |= {plan.shard.id for plan in plans if records_left(work, plan.shard)}
        for operation in (Operation.CREATE, Operation.UPDATE, Operation.DELETE):
            await self._calls.carry_out(work, [plan for plan in plans if plan.operation is operation], held)

    async def _complete_deletions(
        self,
        work: PushWork,
        plans: Sequence[PushPlan],
        messages: Sequence[OutboundMessage],
        held: Mapping[str, Lease],
    ) -> list[PushPlan]:
        """Deletions of what an unfinished create may have made: the create is finished first, so that its record is known.

        Left alone, the record would come back by the next pull as somebody else's new one.
        """
        unknown = [plan for plan in plans if plan.operation is Operation.DELETE and plan.reference is None]
        begun = await self._calls.begun(work, unknown)
        if not begun:
            return list(plans)
        unfinished = {plan.shard.id for plan in begun}
        await self._calls.carry_out(work, [plan_create(plan.shard, work.schema) for plan in begun], held)
        made = {shard_id for shard_id in unfinished if work.outcomes[shard_id].error is None}
        again = await self._planner.plans(
            work, [message for message in messages if message.entity_id in made]
        )
        return [plan for plan in plans if plan.shard.id not in unfinished] + again
