"""What a push leaves behind: the write ledger, and the reference with its new base."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from castiel.adapters.base import PushOutcome
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.hashing import content_hash
from castiel.domain.json_values import same
from castiel.domain.messages import Operation
from castiel.domain.pushing import PushPlan
from castiel.domain.shards import ExternalReference, Shard
from castiel.errors import CastielError, Conflict, NotFound
from castiel.ports.clock import Clock
from castiel.ports.coordination import Marks
from castiel.ports.stores import ShardStore
from castiel.services.outbox import Outbox

LEDGER_SECONDS = 86_400.0
MAX_WRITE_ROUNDS = 8
MAX_MERGES = 20
"""A shard that became part of another, which became part of another …"""

Done = tuple[PushPlan, PushOutcome]


class PushRecorder:
    """Remembers pushes, so that our own write is recognised when it comes back."""

    def __init__(self, shards: ShardStore, marks: Marks, outbox: Outbox, clock: Clock) -> None:
        self._shards = shards
        self._marks = marks
        self._outbox = outbox
        self._clock = clock

    async def remember(
        self, connection: Connection, entity: EntitySync, done: Sequence[Done]
    ) -> dict[str, CastielError]:
        """Ledger first, then the shards, all in batches. Returns what could not be stored, by shard id.

        What somebody else wrote meanwhile is read again and only the reference is put into it. If that changed what
        was pushed, the connection has now been told what is no longer so, and is told again.
        """
        await self._marks.put_many(self._ledger(connection, entity, done), seconds=LEDGER_SECONDS)
        todo: list[tuple[Shard, PushPlan, PushOutcome]] = [
            (plan.shard, plan, outcome) for plan, outcome in done
        ]
        errors: dict[str, CastielError] = {}
        corrected: list[Shard] = []
        for _ in range(MAX_WRITE_ROUNDS):
            if not todo:
                break
            for shard, plan, outcome in todo:
                if self._refer(shard, connection, entity, plan, outcome):
                    self._correct(shard, connection, plan)
            again: list[tuple[Shard, PushPlan, PushOutcome]] = []
            saved = await self._shards.save([shard for shard, _, _ in todo])
            for one, result in zip(todo, saved, strict=True):
                if isinstance(result.error, Conflict):
                    again.append(one)
                elif isinstance(result.error, CastielError):
                    errors[one[1].shard.id] = result.error
                elif one[0].outbox:
                    corrected.append(one[0])
            current = await self._current(connection.tenant_id, {shard.id for shard, _, _ in again})
            todo = [
                (current[shard.id], plan, outcome) for shard, plan, outcome in again if shard.id in current
            ]
            errors |= {
                plan.shard.id: NotFound("no such shard")
                for shard, plan, _ in again
                if shard.id not in current
            }
        await self._outbox.send(corrected)
        return errors | {plan.shard.id: Conflict("the shard keeps changing under us") for _, plan, _ in todo}

    def _correct(self, shard: Shard, connection: Connection, plan: PushPlan) -> None:
        overtaken = [name for name, value in plan.values.items() if not same(shard.fields.get(name), value)]
        if overtaken and not shard.deleted:
            cause = shard.updated_in or self._clock.new_id()
            self._outbox.announce(shard, [connection], Operation.UPDATE, overtaken, cause)

    async def _current(self, tenant_id: str, shard_ids: Collection[str]) -> dict[str, Shard]:
        """The shards as they are now; for one that became part of another meanwhile, that one."""
        found: dict[str, Shard] = {}
        wanted = {shard_id: shard_id for shard_id in shard_ids}
        for _ in range(MAX_MERGES):
            if not wanted:
                break
            shards = {s.id: s for s in await self._shards.get_many(tenant_id, set(wanted.values()))}
            merged = {asked: shards[at].merged_into for asked, at in wanted.items() if at in shards}
            found |= {asked: shards[wanted[asked]] for asked, into in merged.items() if into is None}
            wanted = {asked: into for asked, into in merged.items() if into is not None}
        return found

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
    ) -> bool:
        """Put what was pushed into the reference. ``False``: a pull has seen the record as it was later, and said more."""
        external_id = outcome.external_id or plan.external_id or ""
        known = {reference.key: reference for reference in shard.references}
        before = plan.replaces or (plan.reference.key if plan.reference else "")
        reference = (
            shard.reference(connection.id, entity.entity, external_id)
            or known.get(before)
            or ExternalReference(
                integration_id=connection.integration_id,
                connection_id=connection.id,
                entity=entity.entity,
                external_id=external_id,
            )
        )
        if _seen_since(reference, plan, outcome):
            reference.pushed_at = self._clock.now()
            shard.put_reference(reference)
            return False
        shard.drop_reference(reference.key)
        reference.external_id = external_id
        reference.base = {**reference.base, **plan.values}
        reference.deleted = plan.operation is Operation.DELETE
        reference.content_hash = None
        reference.version = outcome.version or reference.version
        reference.modified_at = outcome.modified_at or reference.modified_at
        reference.pushed_at = self._clock.now()
        shard.put_reference(reference)
        return True


def _seen_since(reference: ExternalReference, plan: PushPlan, outcome: PushOutcome) -> bool:
    """Whether the record was pulled after the push was planned, in a state that is later than the push."""
    return (
        plan.operation is Operation.UPDATE
        and plan.reference is not None
        and reference.key == plan.reference.key
        and reference.pulled_at != plan.reference.pulled_at
        and reference.modified_at is not None
        and outcome.modified_at is not None
        and reference.modified_at > outcome.modified_at
    )
