"""BidirectionalSyncEngine: a page of external records into shards, every step convergent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from castiel import telemetry
from castiel.adapters.base import ExternalRecord
from castiel.domain.conflicts import ConflictPolicy
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema, Converted, to_shard
from castiel.domain.failures import FailedRecord
from castiel.domain.hashing import content_hash
from castiel.domain.parked import ParkedConflict, ParkedKind, pair_id
from castiel.domain.shards import Shard
from castiel.domain.tasks import MAX_RESULT_ERRORS, Progress, RecordError
from castiel.errors import AlreadyExists, CastielError, Conflict, ConversionFailed, DocumentTooLarge
from castiel.ports.clock import Clock
from castiel.ports.messaging import Event, EventPublisher
from castiel.ports.stores import ConflictStore, FailedRecordStore, ShardStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.deduplication import DeduplicationService, DuplicateSearch, Newcomer, Placement
from castiel.services.derived import DerivedShards
from castiel.services.drafts import Audience, Draft, PullContext, count
from castiel.services.outbox import Outbox
from castiel.services.prefetch import prefetch
from castiel.services.record_merge import RecordMerge, is_known

logger = logging.getLogger(__name__)

MAX_WRITE_ROUNDS = 8
"""How often a shard is read and merged again because somebody else wrote it first."""
MAX_WAITS = 6
"""How often a batch looks again for what another worker announced; then that worker counts as gone."""
FIRST_WAIT_SECONDS = 0.05


@dataclass
class _Batch:
    """The work on one batch, over its rounds: ``todo`` is what is left to do.

    ``drafts``, ``newcomers``, ``waiting`` and ``possible`` are of one round.
    """

    context: PullContext
    todo: list[ExternalRecord]
    progress: Progress = field(default_factory=Progress)
    written: list[Shard] = field(default_factory=list)
    converted: dict[str, Converted] = field(default_factory=dict)
    failed: dict[str, FailedRecord] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    newcomers: list[tuple[ExternalRecord, Newcomer]] = field(default_factory=list)
    waiting: list[ExternalRecord] = field(default_factory=list)
    possible: dict[str, ParkedConflict] = field(default_factory=dict)
    saving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its shards are on their way to the store: then there is time for the next."""
    conflicts: int = 0
    waits: int = 0

    def draft(self, shard: Shard) -> Draft:
        """The one draft of a shard in this round."""
        return self.drafts.setdefault(shard.id, Draft(shard))


class BidirectionalSyncEngine:
    """Convert, find duplicates, merge three-way, announce, save: the same page twice changes nothing the second time."""

    def __init__(
        self,
        shards: ShardStore,
        schemas: ConversionSchemaService,
        deduplication: DeduplicationService,
        merge: RecordMerge,
        derived: DerivedShards,
        conflicts: ConflictStore,
        failed_records: FailedRecordStore,
        outbox: Outbox,
        events: EventPublisher,
        clock: Clock,
        *,
        batch_size: int = 100,
    ) -> None:
        self._shards = shards
        self._schemas = schemas
        self._deduplication = deduplication
        self._records = merge
        self._derived = derived
        self._conflicts = conflicts
        self._failed = failed_records
        self._outbox = outbox
        self._events = events
        self._clock = clock
        self._batch_size = batch_size

    async def context(self, connection: Connection, entity: EntitySync, execution_id: str) -> PullContext:
        """What a pull of one entity needs to know, read once."""
        schema = await self._schemas.schema_for(connection, entity)
        carriers = await self._outbox.carriers(connection.tenant_id, entity.shard_type)
        audience = await self._audience(carriers, entity.shard_type)
        derived = {
            shard_type: await self._audience(
                await self._outbox.carriers(connection.tenant_id, shard_type), shard_type
            )
            for shard_type in {rule.shard_type for rule in schema.derived}
        }
        policy = ConflictPolicy.model_validate(connection.conflict_policy or {})
        search = self._search(connection, entity, schema, carriers)
        rules = [rules.to_json() for rules in audience.key_rules]
        version = content_hash({"schema": schema.to_json(), "rules": rules})
        return PullContext(
            connection, entity, schema, policy, execution_id, audience, derived, search, version
        )

    async def _audience(self, carriers: Sequence[Connection], shard_type: str) -> Audience:
        rules = await self._deduplication.key_rules(carriers, shard_type)
        return Audience(self._outbox.takers(carriers, shard_type), rules)

    def _search(
        self,
        connection: Connection,
        entity: EntitySync,
        schema: ConversionSchema,
        carriers: Sequence[Connection],
    ) -> DuplicateSearch | None:
        if not connection.deduplicate:
            return None
        contested = any(carrier.id != connection.id for carrier in carriers)
        matcher = self._deduplication.matcher(schema)
        return DuplicateSearch(connection.tenant_id, entity.shard_type, matcher, contested)

    async def pull(self, context: PullContext, records: Sequence[ExternalRecord]) -> Progress:
        """Bring records in, by batches. Returns what was done; raises only what makes the whole page fail.

        A batch is looked up while the one before it is stored. It is placed only after that: its duplicates there
        have to be found.
        """
        newest = {record.external_id: record for record in records}
        progress = Progress()
        just_written: set[str] = set()
        with self._shards.metered() as meter:
            async with aclosing(prefetch(self._looked_up(context, list(newest.values())))) as batches:
                async for batch in batches:
                    if not just_written.isdisjoint(batch.drafts):
                        await self._look_up(batch)
                    progress.add(await self._complete(batch))
                    just_written = {shard.id for shard in batch.written}
        progress.request_charge = meter.units
        return progress

    async def _looked_up(
        self, context: PullContext, records: Sequence[ExternalRecord]
    ) -> AsyncIterator[_Batch]:
        before: _Batch | None = None
        for start in range(0, len(records), self._batch_size):
            batch = _Batch(context, list(records[start : start + self._batch_size]))
            await self._look_up(batch, before)
            yield batch
            before = batch

    async def _look_up(self, batch: _Batch, before: _Batch | None = None) -> None:
        """Merge what is left into the shards that refer to it; the others are newcomers.

        What takes the processor waits until the batch ``before`` has nothing more to do than to be saved.
        """
        batch.drafts, batch.waiting, batch.possible, batch.newcomers = {}, [], {}, []
        existing = await self._existing(batch.context, batch.todo)
        if before is not None:
            await before.saving.wait()
        for record in batch.todo:
            if not self._merge_known(batch, record, existing.get(record.external_id)):
                batch.newcomers.append((record, self._newcomer(batch, record)))

    async def _complete(self, batch: _Batch) -> Progress:
        """Store a batch that was looked up, and again what somebody else wrote first, or is about to."""
        while True:
            await self._store(batch)
            await self._before_the_next(batch)
            if not batch.todo:
                break
            await self._look_up(batch)
        progress, failed = batch.progress, list(batch.failed.values())
        progress.records_failed = len(failed)
        progress.records_processed += len(failed)
        progress.errors = [_record_error(f) for f in failed[:MAX_RESULT_ERRORS]]
        if failed:
            await self._failed.put_many(failed)
        await self._outbox.send(batch.written)
        return progress

    async def _store(self, batch: _Batch) -> None:
        """Everything that was looked up, once. What has to be done again is ``todo`` afterwards."""
        if batch.newcomers:
            await self._place(batch)
        # What is derived may say something new where the shard itself does not.
        telling = [draft for draft in batch.drafts.values() if draft.changed or draft.derived]
        batch.written += await self._derived.save(batch.context, telling)
        batch.todo = await self._save(batch) + batch.waiting

    async def _before_the_next(self, batch: _Batch) -> None:
        if len(batch.todo) > len(batch.waiting):
            batch.conflicts += 1
            if batch.conflicts == MAX_WRITE_ROUNDS:
                raise Conflict("shards of this page keep changing under us")
        elif batch.waiting:
            batch.waits += 1
            await self._clock.sleep(FIRST_WAIT_SECONDS * 2 ** (batch.waits - 1))

    async def _existing(self, context: PullContext, records: Sequence[ExternalRecord]) -> dict[str, Shard]:
        keys = {context.key(record.external_id): record.external_id for record in records}
        found = await self._shards.by_references(
            context.connection.tenant_id, context.entity.shard_type, keys.keys()
        )
        existing = {keys[key]: shard for shard in found for key in shard.reference_keys if key in keys}
        return existing | await self._ours(context, [r for r in records if r.external_id not in existing])

    async def _ours(self, context: PullContext, records: Sequence[ExternalRecord]) -> dict[str, Shard]:
        """Records that a push made which has not told yet, and their shards. A copy of one is a record of its own."""
        made = {r.made_from: r.external_id for r in reversed(records) if r.made_from and not r.deleted}
        if not made:
            return {}
        shards = await self._shards.get_many(context.connection.tenant_id, made.keys())
        return {
            made[shard.id]: shard
            for shard in shards
            if shard.shard_type == context.entity.shard_type
            and shard.reference(context.connection.id, context.entity.entity) is None
        }

    def _merge_known(self, batch: _Batch, record: ExternalRecord, shard: Shard | None) -> bool:
        """Merge a record into the shard that refers to it. Returns ``False`` for one that is new."""
        context = batch.context
        if record.deleted:
            if shard is not None:
                self._records.delete(context, batch.draft(shard), record)
            return True
        if shard is not None and is_known(context, shard, record, context.content(record)):
            batch.draft(shard).records.append(record)
            return True
        converted = self._converted(batch, record)
        if converted is None:
            return True
        if shard is None:
            return False
        draft = batch.draft(shard)
        if self._records.change(context, draft, record, converted.fields):
            draft.derived[context.key(record.external_id)] = converted.derived
        return True

    def _converted(self, batch: _Batch, record: ExternalRecord) -> Converted | None:
        if record.external_id in batch.failed:
            return None
        try:
            if record.external_id not in batch.converted:
                batch.converted[record.external_id] = to_shard(batch.context.schema, record.fields)
        except ConversionFailed as error:
            batch.failed[record.external_id] = self._failure(batch.context, record, error)
            return None
        return batch.converted[record.external_id]

    def _newcomer(self, batch: _Batch, record: ExternalRecord) -> Newcomer:
        search, fields = batch.context.search, batch.converted[record.external_id].fields
        shard_id = batch.context.shard_id(record.external_id)
        if search is None:
            return Newcomer(shard_id, fields)
        return self._deduplication.newcomer(search, shard_id, fields)

    async def _place(self, batch: _Batch) -> None:
        """Make new records shards of their own, or further references of those they are duplicates of."""
        context = batch.context
        newcomers = [newcomer for _, newcomer in batch.newcomers]
        placements = [Placement(newcomer.shard_id) for newcomer in newcomers]
        if context.search is not None:
            patient = batch.waits < MAX_WAITS
            placements = await self._deduplication.place(context.search, newcomers, patient=patient)
        # Leaders first: their followers find the draft.
        together = zip(batch.newcomers, placements, strict=True)
        for (record, newcomer), placement in sorted(
            together, key=lambda t: t[0][1].shard_id != t[1].shard_id
        ):
            if placement.waits:
                batch.waiting.append(record)
                continue
            if placement.stored is not None:
                batch.draft(placement.stored)
            draft = batch.drafts.get(placement.shard_id)
            if draft is None:
                keys = {id(context.search.matcher.rules): newcomer.keys} if context.search else {}
                draft = self._records.new(context, record, newcomer.fields, keys)
                batch.drafts[draft.shard.id] = draft
            elif context.reference(draft.shard, record.external_id) is not None:
                # Somebody made it one of this shard's since it was looked up.
                if not self._records.change(context, draft, record, newcomer.fields):
                    continue
            else:
                self._records.adopt(context, draft, record, newcomer.fields)
            draft.derived[context.key(record.external_id)] = batch.converted[record.external_id].derived
        self._note_possible_duplicates(batch, placements)

    def _note_possible_duplicates(self, batch: _Batch, placements: Sequence[Placement]) -> None:
        context = batch.context
        went_to = {n.shard_id: p.shard_id for (_, n), p in zip(batch.newcomers, placements, strict=True)}
        for (record, _), placement in zip(batch.newcomers, placements, strict=True):
            for review in placement.reviews:
                one, other = placement.shard_id, went_to.get(review.other, review.other)
                shard = batch.drafts[one].shard if one in batch.drafts else None
                if placement.waits or shard is None or one == other or other in shard.distinct_from:
                    continue
                found = review.result.to_json()
                batch.possible[pair_id(one, other)] = ParkedConflict(
                    id=pair_id(one, other),
                    tenant_id=context.connection.tenant_id,
                    kind=ParkedKind.DUPLICATE,
                    shard_id=one,
                    shard_type=context.entity.shard_type,
                    integration_id=context.connection.integration_id,
                    connection_id=context.connection.id,
                    entity=context.entity.entity,
                    external_id=record.external_id,
                    other_shard_id=other,
                    score=found["score"],
                    explanation=found["explanations"],
                    detected_at=self._clock.now(),
                    correlation_id=context.execution_id,
                )

    async def _save(self, batch: _Batch) -> list[ExternalRecord]:
        """Write what changed; returns the records whose shards somebody else wrote first."""
        drafts = list(batch.drafts.values())
        changed = [draft for draft in drafts if draft.changed]
        # Parked before the shard remembers having asked: a crash in between asks again, it never forgets.
        parked = [conflict for draft in changed for conflict in draft.parked] + list(batch.possible.values())
        if parked:
            await self._conflicts.put_many(parked)
        again: list[ExternalRecord] = []
        batch.saving.set()
        for draft, outcome in zip(changed, await self._shards.save([d.shard for d in changed]), strict=True):
            if isinstance(outcome.error, Conflict | AlreadyExists):
                again += draft.records
            elif isinstance(outcome.error, DocumentTooLarge):
                for record in draft.records:
                    batch.failed[record.external_id] = self._failure(batch.context, record, outcome.error)
            elif isinstance(outcome.error, CastielError):
                raise outcome.error
            else:
                batch.written.append(draft.shard)
                batch.progress.shards_written += 1
                count(batch.progress, batch.context, draft)
                await self._tell_conflicts(batch.context, draft)
        for draft in drafts:
            if not draft.changed:
                count(batch.progress, batch.context, draft)
        return again

    async def _tell_conflicts(self, context: PullContext, draft: Draft) -> None:
        if not draft.detected:
            return
        telemetry.count("conflicts_detected", draft.detected, integration=context.connection.integration_id)
        logger.debug("conflict met", extra={"shardId": draft.shard.id, "conflicts": draft.detected})
        data: Mapping[str, object] = {
            "shardId": draft.shard.id,
            "connectionId": context.connection.id,
            "detected": draft.detected,
            "resolved": draft.resolved,
        }
        subject = f"shards/{draft.shard.id}"
        tenant, execution = context.connection.tenant_id, context.execution_id
        await self._events.publish(Event("castiel.conflict.detected", subject, data, tenant, execution))

    def _failure(self, context: PullContext, record: ExternalRecord, error: CastielError) -> FailedRecord:
        return FailedRecord(
            id=f"failed-{content_hash({'key': context.key(record.external_id)})}",
            tenant_id=context.connection.tenant_id,
            integration_id=context.connection.integration_id,
            connection_id=context.connection.id,
            entity=context.entity.entity,
            external_id=record.external_id,
            fields=dict(record.fields),
            modified_at=record.modified_at,
            version=record.version,
            code=error.code,
            message=str(error),
            correlation_id=context.execution_id,
            executed_at=self._clock.now(),
        )


def _record_error(failed: FailedRecord) -> RecordError:
    return RecordError(
        entity=failed.entity, external_id=failed.external_id, code=failed.code, message=failed.message
    )
