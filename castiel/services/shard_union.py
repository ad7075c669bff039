"""Two shards that are one and the same made one, or kept apart for good."""

from __future__ import annotations

from castiel.domain.json_values import same
from castiel.domain.matching import MergePolicy, merge
from castiel.domain.messages import Operation
from castiel.domain.shards import DERIVED, LOCAL, PRIMARY, FieldOrigin, Shard, ShardKind
from castiel.errors import Conflict, NotFound
from castiel.ports.clock import Clock
from castiel.ports.stores import ShardStore
from castiel.services.deduplication import DeduplicationService
from castiel.services.drafts import Audience
from castiel.services.outbox import Outbox

MAX_WRITE_ROUNDS = 8
MAX_MERGES = 20
"""A shard that became part of another, which became part of another …"""


class ShardUnion:
    """Both shards are written in one transaction: no moment shows a reference twice, or nowhere."""

    def __init__(
        self, shards: ShardStore, deduplication: DeduplicationService, outbox: Outbox, clock: Clock
    ) -> None:
        self._shards = shards
        self._deduplication = deduplication
        self._outbox = outbox
        self._clock = clock

    async def current(self, tenant_id: str, shard_id: str) -> Shard | None:
        """The shard, or the one that it became part of; ``None`` when it is nowhere."""
        for _ in range(MAX_MERGES):
            try:
                shard = await self._shards.get(tenant_id, shard_id)
            except NotFound:
                return None
            if shard.merged_into is None:
                return shard
            shard_id = shard.merged_into
        return None

    async def audience(self, shard: Shard) -> Audience:
        """Who carries the shard's type."""
        carriers = await self._outbox.carriers(shard.tenant_id, shard.shard_type)
        rules = await self._deduplication.key_rules(carriers, shard.shard_type)
        return Audience(self._outbox.takers(carriers, shard.shard_type), rules)

    async def keep_apart(self, tenant_id: str, one_id: str, other_id: str) -> None:
        """Remember on both that they are not the same."""
        for shard_id, other in ((one_id, other_id), (other_id, one_id)):
            await self._remember(tenant_id, shard_id, other)

    async def _remember(self, tenant_id: str, shard_id: str, other: str) -> None:
        for _ in range(MAX_WRITE_ROUNDS):
            shard = await self.current(tenant_id, shard_id)
            if shard is None or other in shard.distinct_from:
                return
            shard.distinct_from = [*shard.distinct_from, other]
            [outcome] = await self._shards.save([shard])
            if outcome.error is None:
                return
            if not isinstance(outcome.error, Conflict):
                raise outcome.error
        raise Conflict("the shard keeps changing under us")

    async def merge(self, tenant_id: str, one_id: str, other_id: str, correlation_id: str) -> Shard | None:
        """The younger shard becomes part of the older, which is returned; its outbox says who is to be told.

        ``None`` when one of them is gone, or they are one already.
        """
        for _ in range(MAX_WRITE_ROUNDS):
            one, other = await self.current(tenant_id, one_id), await self.current(tenant_id, other_id)
            if one is None or other is None or one.id == other.id or one.deleted or other.deleted:
                return None
            kept, gone = sorted((one, other), key=lambda shard: (shard.created_at, shard.id))
            derived = [link.shard_id for link in gone.linked(DERIVED)]
            audience = await self.audience(kept)
            self._unite(kept, gone, audience, correlation_id)
            try:
                await self._shards.save_together([kept, gone])
            except Conflict:
                continue
            await self._move_back_links(kept, gone, derived)
            return kept
        raise Conflict("the shards keep changing under us")

    def _unite(self, kept: Shard, gone: Shard, audience: Audience, correlation_id: str) -> None:
        now = self._clock.now()
        policy = audience.key_rules[0].merge_policy if audience.key_rules else MergePolicy.MERGE_FIELDS
        united = merge([kept.fields, gone.fields], policy)
        named = {*kept.fields, *united.fields}
        news = {name for name in named if not same(kept.fields.get(name), united.fields.get(name))}
        elsewhere = {name for name in named if not same(gone.fields.get(name), united.fields.get(name))}
        for name in news:
            kept.fields[name] = united.fields.get(name)
            origin = gone.field_origins.get(name) if united.sources.get(name) == (1,) else None
            kept.field_origins[name] = origin or FieldOrigin(
                source=LOCAL, at=now, execution_id=correlation_id
            )
        for reference in gone.references:
            kept.put_reference(reference)
        kept.links += [link for link in gone.links if not kept.is_linked_to(link.relation, link.shard_id)]
        if ShardKind.PRIMARY in (kept.kind, gone.kind):
            kept.kind = ShardKind.PRIMARY
        kept.distinct_from = list(dict.fromkeys([*kept.distinct_from, *gone.distinct_from]))
        kept.updated_at, kept.updated_in = now, correlation_id
        audience.index(kept)
        self._outbox.announce(
            kept, audience.targets, Operation.UPDATE, sorted(news | elsewhere), correlation_id
        )
        gone.deleted, gone.deleted_at, gone.merged_into = True, now, kept.id
        gone.updated_at, gone.updated_in = now, correlation_id
        gone.links, gone.blocking_keys = [], []
        for reference in list(gone.references):
            gone.drop_reference(reference.key)
        gone.settle({entry.id for entry in gone.outbox})

    async def _move_back_links(self, kept: Shard, gone: Shard, derived: list[str]) -> None:
        """What was derived from the one names the other. Left undone by a crash, it only stays a little longer."""
        shards = await self._shards.get_many(kept.tenant_id, derived) if derived else []
        for shard in shards:
            for link in shard.links:
                if (link.relation, link.shard_id) == (PRIMARY, gone.id):
                    link.shard_id = kept.id
        if shards:
            await self._shards.save(shards)
