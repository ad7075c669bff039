"""What a push leaves behind: the write ledger, and the reference with its new base."""

from __future__ import annotations

from collections.abc import Sequence

from castiel.adapters.base import PushOutcome
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.hashing import content_hash
from castiel.domain.messages import Operation
from castiel.domain.pushing import PushPlan
from castiel.domain.shards import ExternalReference, Shard
from castiel.errors import CastielError, Conflict, NotFound
from castiel.ports.clock import Clock
from castiel.ports.coordination import Marks
from castiel.ports.stores import ShardStore

LEDGER_SECONDS = 86_400.0
MAX_WRITE_ROUNDS = 8

Done = tuple[PushPlan, PushOutcome]


class PushRecorder:
    """Remembers pushes, so that our own write is recognised when it comes back."""

    def __init__(self, shards: ShardStore, marks: Marks, clock: Clock) -> None:
        self._shards = shards
        self._marks = marks
        self._clock = clock

    async def remember(
        self, connection: Connection, entity: EntitySync, done: Sequence[Done]
    ) -> dict[str, CastielError]:
        """Ledger first, then the shards, all in batches. Returns what could not be stored, by shard id.

        What somebody else wrote meanwhile is read again and only the reference is put into it.
        """
        await self._marks.put_many(self._ledger(connection, entity, done), seconds=LEDGER_SECONDS)
        todo = {plan.shard.id: (plan.shard, plan, outcome) for plan, outcome in done}
        errors: dict[str, CastielError] = {}
        for _ in range(MAX_WRITE_ROUNDS):
            if not todo:
                return errors
            for shard, plan, outcome in todo.values():
                self._refer(shard, connection, entity, plan, outcome)
            outcomes = await self._shards.save([shard for shard, _, _ in todo.values()])
            again = {o.shard.id for o in outcomes if isinstance(o.error, Conflict)}
            for saved in outcomes:
                if isinstance(saved.error, CastielError) and saved.shard.id not in again:
                    errors[saved.shard.id] = saved.error
            fresh = await self._shards.get_many(connection.tenant_id, again) if again else []
            errors |= {
                shard_id: NotFound("no such shard") for shard_id in again - {shard.id for shard in fresh}
            }
            todo = {shard.id: (shard, *todo[shard.id][1:]) for shard in fresh}
        return errors | {shard_id: Conflict("the shard keeps changing under us") for shard_id in todo}

    def _ledger(self, connection: Connection, entity: EntitySync, done: Sequence[Done]) -> dict[str, str]:
        return {
            f"ledger:{connection.id}:{entity.entity}:{outcome.external_id or plan.external_id}:{name}": content_hash(
                {"value": value}
            )
            for plan, outcome in done
            for name, value in plan.values.items()
        }

    def _refer(
        self, shard: Shard, connection: Connection, entity: EntitySync, plan: PushPlan, outcome: PushOutcome
    ) -> None:
        external_id = outcome.external_id or plan.external_id or ""
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
        reference.content_hash = None
        reference.version = outcome.version or reference.version
        reference.modified_at = outcome.modified_at or reference.modified_at
        reference.pushed_at = self._clock.now()
        shard.put_reference(reference)
