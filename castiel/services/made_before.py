"""Creates that may have arrived although no answer came: what they made is brought in, not written over."""

from __future__ import annotations

from collections.abc import Sequence

from castiel.adapters.base import ExternalRecord, PushOutcome, PushRecord
from castiel.domain.messages import Operation
from castiel.domain.pushing import PushPlan
from castiel.errors import CastielError
from castiel.ports.stores import ShardStore
from castiel.services.push_calls import PushCalls
from castiel.services.push_work import PushWork
from castiel.services.sync_engine import BidirectionalSyncEngine


class MadeBefore:
    """A record that an earlier try made may have been changed there since, and so may its shard.

    A create that is tried again would write the shard's values over both. So the record is looked for first, and comes in
    as by a pull: of each field the newer value stands, and what the record lacks is announced as a change.
    """

    def __init__(self, engine: BidirectionalSyncEngine, shards: ShardStore, calls: PushCalls) -> None:
        self._engine = engine
        self._shards = shards
        self._calls = calls

    async def claim(self, work: PushWork, plans: Sequence[PushPlan], correlation_id: str) -> list[PushPlan]:
        """The plans that are left. Where nothing is pulled, or looked for, a create resolves it by itself."""
        creates = [plan for plan in plans if plan.operation is Operation.CREATE]
        begun = await self._calls.begun(work, creates) if work.entity.pulls else []
        if not begun:
            return list(plans)
        try:
            found = await self._found(work, begun)
            if found:
                context = await self._engine.context(work.connection, work.entity, correlation_id)
                await self._engine.pull(context, list(found.values()))
        except CastielError as error:
            for plan in begun:
                work.fail(plan, error)
            return [plan for plan in plans if plan not in begun]
        known = await self._known(work, found)
        claimed = [plan for plan in begun if plan.shard.id in known]
        for plan in claimed:
            work.end(plan, PushOutcome(plan.shard.id, known[plan.shard.id]))
        await self._calls.end_creates(work, claimed)
        return [plan for plan in plans if plan not in claimed]

    async def _found(self, work: PushWork, begun: Sequence[PushPlan]) -> dict[str, ExternalRecord]:
        records = [PushRecord(plan.shard.id, Operation.CREATE, {}, retrying=True) for plan in begun]
        found = await work.adapter.find_made(work.entity.entity, records)
        # Somebody may have taken our key out of it since: then a pull would take it for another's.
        return {
            key: record for key, record in found.items() if record.made_from == key and not record.deleted
        }

    async def _known(self, work: PushWork, found: dict[str, ExternalRecord]) -> dict[str, str]:
        """Which shards refer to what was found, by now."""
        known: dict[str, str] = {}
        for shard in await self._shards.get_many(work.connection.tenant_id, found.keys()) if found else []:
            external_id = found[shard.id].external_id
            if shard.reference(work.connection.id, work.entity.entity, external_id) is not None:
                known[shard.id] = external_id
        return known
