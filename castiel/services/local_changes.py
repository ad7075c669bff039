"""Changes made here, by the company's own software or a person: stored with the marks of who must be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from castiel.domain.messages import Operation
from castiel.domain.shards import LOCAL, Shard
from castiel.errors import AlreadyExists, Conflict, NotFound
from castiel.ports.clock import Clock
from castiel.ports.stores import ShardStore
from castiel.services.deduplication import DeduplicationService
from castiel.services.drafts import Audience
from castiel.services.outbox import Outbox

MAX_WRITE_ROUNDS = 8


class LocalChanges:
    """Create, change and delete shards here. The change and its announcement are one write."""

    def __init__(
        self, shards: ShardStore, deduplication: DeduplicationService, outbox: Outbox, clock: Clock
    ) -> None:
        self._shards = shards
        self._deduplication = deduplication
        self._outbox = outbox
        self._clock = clock

    async def create(
        self,
        tenant_id: str,
        shard_type: str,
        fields: Mapping[str, Any],
        *,
        correlation_id: str,
        key: str | None = None,
    ) -> Shard:
        """A new shard. ``key`` makes the call repeatable: the same key is the same shard.

        Raises :class:`AlreadyExists` for a key that was used before, :class:`DocumentTooLarge`.
        """
        now = self._clock.now()
        shard = Shard(
            id=f"{shard_type}-{key or self._clock.new_id()}",
            tenant_id=tenant_id,
            shard_type=shard_type,
            created_at=now,
            updated_at=now,
            created_in=correlation_id,
        )
        shard.set_fields(fields, LOCAL, now, correlation_id)
        await self._announce(shard, Operation.CREATE, sorted(fields), correlation_id)
        [outcome] = await self._shards.save([shard])
        if isinstance(outcome.error, AlreadyExists):
            raise AlreadyExists(f"shard {shard.id}: it exists") from outcome.error
        if outcome.error is not None:
            raise outcome.error
        await self._outbox.send([shard])
        return shard

    async def update(
        self, tenant_id: str, shard_id: str, fields: Mapping[str, Any], *, correlation_id: str
    ) -> Shard:
        """Set fields; what already has the value stays untouched. Raises :class:`NotFound`."""
        for _ in range(MAX_WRITE_ROUNDS):
            shard = await self._shards.get(tenant_id, shard_id)
            if shard.deleted:
                raise NotFound(f"shard {shard_id}: it was deleted")
            changes = {name: value for name, value in fields.items() if shard.fields.get(name) != value}
            if not changes:
                return shard
            shard.set_fields(changes, LOCAL, self._clock.now(), correlation_id)
            await self._announce(shard, Operation.UPDATE, sorted(changes), correlation_id)
            if await self._saved(shard):
                return shard
        raise Conflict("the shard keeps changing under us")

    async def delete(self, tenant_id: str, shard_id: str, *, correlation_id: str) -> Shard:
        """Soft-delete. Deleting what is deleted changes nothing. Raises :class:`NotFound`."""
        for _ in range(MAX_WRITE_ROUNDS):
            shard = await self._shards.get(tenant_id, shard_id)
            if shard.deleted:
                return shard
            now = self._clock.now()
            shard.deleted, shard.deleted_at = True, now
            shard.updated_at, shard.updated_in = now, correlation_id
            await self._announce(shard, Operation.DELETE, [], correlation_id)
            if await self._saved(shard):
                return shard
        raise Conflict("the shard keeps changing under us")

    async def _announce(
        self, shard: Shard, operation: Operation, changed: list[str], correlation_id: str
    ) -> None:
        carriers = await self._outbox.carriers(shard.tenant_id, shard.shard_type)
        rules = await self._deduplication.key_rules(carriers, shard.shard_type)
        audience = Audience(self._outbox.takers(carriers, shard.shard_type), rules)
        if changed:
            audience.index(shard, changed)
        self._outbox.announce(shard, audience.targets, operation, changed, correlation_id)

    async def _saved(self, shard: Shard) -> bool:
        [outcome] = await self._shards.save([shard])
        if isinstance(outcome.error, Conflict):
            return False
        if outcome.error is not None:
            raise outcome.error
        await self._outbox.send([shard])
        return True
