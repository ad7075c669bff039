"""ConflictResolutionService: what waits for a person is listed and decided; a decision flows on like any change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from castiel.domain.json_values import same
from castiel.domain.messages import Operation
from castiel.domain.parked import Choice, ParkedConflict, ParkedKind
from castiel.domain.shards import LOCAL, ExternalReference, Shard
from castiel.errors import Conflict, InvalidInput
from castiel.ports.clock import Clock
from castiel.ports.stores import ConflictStore, ShardStore
from castiel.services.outbox import Outbox
from castiel.services.shard_union import ShardUnion

MAX_WRITE_ROUNDS = 8


class ConflictResolutionService:
    """Each step converges: doing it again after a crash ends in the same."""

    def __init__(
        self, conflicts: ConflictStore, shards: ShardStore, union: ShardUnion, outbox: Outbox, clock: Clock
    ) -> None:
        self._conflicts = conflicts
        self._shards = shards
        self._union = union
        self._outbox = outbox
        self._clock = clock

    def parked(self, tenant_id: str) -> AsyncIterator[ParkedConflict]:
        """All that waits for a person, streamed."""
        return self._conflicts.of_tenant(tenant_id)

    async def present(self, parked: ParkedConflict) -> ParkedConflict | None:
        """A field's conflict with the three values as they are now; ``None`` when it was settled meanwhile."""
        shard, reference = await self._where(parked)
        if shard is None or reference is None or parked.field is None or parked.field not in reference.parked:
            return None
        values = {
            "shard_id": shard.id,
            "base": reference.base.get(parked.field),
            "local": shard.fields.get(parked.field),
            "external": reference.parked[parked.field],
        }
        return parked.model_copy(update=values)

    async def pair(self, parked: ParkedConflict) -> tuple[Shard, Shard] | None:
        """The two shards of a possible duplicate, the older first; ``None`` when they are no pair any more."""
        found = [
            await self._union.current(parked.tenant_id, each)
            for each in (parked.shard_id, parked.other_shard_id or "")
        ]
        one, other = found
        if one is None or other is None or one.id == other.id or one.deleted or other.deleted:
            return None
        older, younger = sorted((one, other), key=lambda shard: (shard.created_at, shard.id))
        return older, younger

    async def resolve(
        self, tenant_id: str, conflict_id: str, choice: Choice, value: Any = None, *, correlation_id: str
    ) -> Shard | None:
        """Settle a field. Returns the shard, or ``None`` when the conflict was settled otherwise meanwhile.

        Raises :class:`~castiel.errors.NotFound` for an unknown conflict, :class:`InvalidInput` for one about no field.
        """
        parked = await self._conflicts.get(tenant_id, conflict_id)
        if parked.kind is not ParkedKind.CONFLICT or parked.field is None:
            raise InvalidInput("only a field's conflict has a local and an external value")
        for _ in range(MAX_WRITE_ROUNDS):
            shard, reference = await self._where(parked)
            if shard is None or reference is None or parked.field not in reference.parked:
                await self._conflicts.delete(tenant_id, conflict_id)
                return None
            await self._settle(shard, reference, parked.field, choice, value, correlation_id)
            [outcome] = await self._shards.save([shard])
            if outcome.error is None:
                await self._conflicts.delete(tenant_id, conflict_id)
                await self._outbox.send([shard])
                return shard
            if not isinstance(outcome.error, Conflict):
                raise outcome.error
        raise Conflict("the shard keeps changing under us")

    async def dismiss(self, tenant_id: str, conflict_id: str) -> None:
        """Two shards are not the same: remembered on both, so that nobody is asked again."""
        parked = await self._duplicate(tenant_id, conflict_id)
        await self._union.keep_apart(tenant_id, parked.shard_id, parked.other_shard_id or "")
        await self._conflicts.delete(tenant_id, conflict_id)

    async def merge(self, tenant_id: str, conflict_id: str, *, correlation_id: str) -> Shard | None:
        """Two shards are the same: the younger becomes part of the older.

        Returns the older, or ``None`` when there is nothing (left) to merge.
        """
        parked = await self._duplicate(tenant_id, conflict_id)
        merged = await self._union.merge(
            tenant_id, parked.shard_id, parked.other_shard_id or "", correlation_id
        )
        await self._conflicts.delete(tenant_id, conflict_id)
        if merged is not None:
            await self._outbox.send([merged])
        return merged

    async def _where(self, parked: ParkedConflict) -> tuple[Shard | None, ExternalReference | None]:
        shard = await self._union.current(parked.tenant_id, parked.shard_id)
        if shard is None:
            return None, None
        return shard, shard.reference(parked.connection_id, parked.entity, parked.external_id)

    async def _duplicate(self, tenant_id: str, conflict_id: str) -> ParkedConflict:
        parked = await self._conflicts.get(tenant_id, conflict_id)
        if parked.kind is not ParkedKind.DUPLICATE:
            raise InvalidInput("it is no possible duplicate")
        return parked

    async def _settle(
        self,
        shard: Shard,
        reference: ExternalReference,
        name: str,
        choice: Choice,
        value: Any,
        correlation_id: str,
    ) -> None:
        """The field gets the chosen value, the base the external one; those who have another are told."""
        local, external = shard.fields.get(name), reference.parked.pop(name)
        reference.base[name] = external
        chosen = {Choice.LOCAL: local, Choice.EXTERNAL: external, Choice.VALUE: value}[choice]
        changed_here = not same(chosen, local)
        shard.set_fields({name: chosen} if changed_here else {}, LOCAL, self._clock.now(), correlation_id)
        audience = await self._union.audience(shard)
        audience.index(shard, [name])
        targets = [
            target
            for target in audience.targets
            if (not same(chosen, external) if target.id == reference.connection_id else changed_here)
        ]
        self._outbox.announce(shard, targets, Operation.UPDATE, [name], correlation_id)
