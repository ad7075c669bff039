"""What a push is to do at the provider: a plan for each shard, compared with what is outside now."""

from __future__ import annotations

from collections.abc import Sequence

from castiel.domain.conversion import to_shard
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.pushing import PushPlan, compare, plan_after_deletion, plan_push, untold
from castiel.domain.shards import Shard
from castiel.errors import (
    ConfigurationError,
    ConversionFailed,
    FirstPullPending,
    NotFound,
    RecordNotFound,
)
from castiel.ports.stores import ShardStore
from castiel.services.first_pull import FirstPulls
from castiel.services.push_work import Pushed, PushWork


class PushPlanner:
    """Plans from the shards as they are now. What can't be planned has its outcome in the work already."""

    def __init__(self, shards: ShardStore, first_pulls: FirstPulls) -> None:
        self._shards = shards
        self._first_pulls = first_pulls

    async def plans(self, work: PushWork, messages: Sequence[OutboundMessage]) -> list[PushPlan]:
        """A plan for the next record of each message's shard."""
        found = await self._shards.get_many(work.connection.tenant_id, [m.entity_id for m in messages])
        shards = {shard.id: shard for shard in found}
        plans: list[PushPlan] = []
        for message in messages:
            shard = shards.get(message.entity_id)
            if shard is None:
                gone = NotFound("no such shard")
                work.outcomes[message.entity_id] = Pushed(message.operation, message.external_id, gone)
            elif shard.shard_type != work.entity.shard_type:
                # The entity carries another type since the change was announced.
                other = ConfigurationError(
                    f"connection {work.connection.id}: its {work.entity.entity} is no {shard.shard_type} any more"
                )
                work.outcomes[message.entity_id] = Pushed(message.operation, message.external_id, other)
            else:
                told = work.told[shard.id]
                plan = plan_push(shard, work.connection.id, work.entity.entity, work.schema, told)
                told |= {plan.reference.key} if plan.reference else set()
                plans.append(plan)
        return plans

    async def complete_updates(self, work: PushWork, plans: Sequence[PushPlan]) -> list[PushPlan]:
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
                work.fail(plan, RecordNotFound("the record can't be seen at the provider"))
                continue
            if record.deleted:
                completed.append(plan_after_deletion(plan, plan.reference, record.modified_at, work.schema))
                continue
            plan.reference.version = record.version
            try:
                compare(plan, plan.reference, to_shard(work.schema, record.fields).fields, work.schema)
            except ConversionFailed as error:
                work.fail(plan, error)
                continue
            completed.append(plan)
        return completed

    async def without_early_creates(self, work: PushWork, plans: Sequence[PushPlan]) -> list[PushPlan]:
        """What a connection already has is not made there again: creates wait until its own records are known."""
        creates = [plan for plan in plans if plan.operation is Operation.CREATE]
        if not creates or not await self._first_pulls.is_pending(work.connection, work.entity):
            return list(plans)
        for plan in creates:
            work.fail(plan, FirstPullPending())
        return [plan for plan in plans if plan.operation is not Operation.CREATE]


def _has_news(work: PushWork, plan: PushPlan) -> bool:
    """Whether an update has anything that the other side was not told."""
    if plan.operation is not Operation.UPDATE or plan.reference is None:
        return False
    return bool(untold(plan.shard, plan.reference, work.schema))


def records_left(work: PushWork, shard: Shard) -> bool:
    """Whether the shard is a further record of the connection, which was not planned for yet."""
    live = shard.live_references(work.connection.id, work.entity.entity)
    return any(reference.key not in work.told[shard.id] for reference in live)
