"""BidirectionalSyncEngine: a page of external records into shards, every step convergent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from castiel.adapters.base import ExternalRecord
from castiel.domain.conflicts import ConflictPolicy
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema, Converted, to_shard
from castiel.domain.hashing import content_hash
from castiel.domain.shards import Shard
from castiel.domain.tasks import Progress
from castiel.errors import Conflict, ConversionFailed
from castiel.ports.clock import Clock
from castiel.ports.messaging import EventPublisher
from castiel.ports.stores import ConflictStore, FailedRecordStore, ShardStore
from castiel.services.batch_saving import BatchSaving
from castiel.services.conversion import ConversionSchemaService
from castiel.services.deduplication import DeduplicationService, DuplicateSearch
from castiel.services.derived import DerivedShards
from castiel.services.drafts import Audience, PullContext
from castiel.services.newcomers import Newcomers
from castiel.services.outbox import Outbox
from castiel.services.prefetch import prefetch
from castiel.services.pull_batch import PullBatch
from castiel.services.record_merge import RecordMerge
from castiel.services.record_news import is_known

MAX_WRITE_ROUNDS = 8
"""How often a shard is read and merged again because somebody else wrote it first."""
MAX_WAITS = 6
"""How often a batch looks again for what another worker announced; then that worker counts as gone."""
FIRST_WAIT_SECONDS = 0.05


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
        self._failed = failed_records
        self._outbox = outbox
        self._clock = clock
        self._batch_size = batch_size
        self._newcomers = Newcomers(deduplication, merge, clock)
        self._saving = BatchSaving(shards, conflicts, events, clock)

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
    ) -> AsyncIterator[PullBatch]:
        before: PullBatch | None = None
        for start in range(0, len(records), self._batch_size):
            batch = PullBatch(context, list(records[start : start + self._batch_size]))
            await self._look_up(batch, before)
            yield batch
            before = batch

    async def _look_up(self, batch: PullBatch, before: PullBatch | None = None) -> None:
        """Merge what is left into the shards that refer to it; the others are newcomers.

        What takes the processor waits until the batch ``before`` has nothing more to do than to be saved.
        """
        batch.drafts, batch.waiting, batch.possible, batch.newcomers = {}, [], {}, []
        existing = await self._existing(batch.context, batch.todo)
        for external_id in batch.taken - existing.keys():
            # Not by another worker, but by a shard that it made once and that is another record's now: it was deleted,
            # made again as another record, or merged; and has come back.
            batch.again[external_id] = batch.again.get(external_id, 0) + 1
        batch.taken = set()
        if before is not None:
            await before.saving.wait()
        for record in batch.todo:
            if not self._merge_known(batch, record, existing.get(record.external_id)):
                batch.newcomers.append((record, self._newcomers.newcomer(batch, record)))

    async def _complete(self, batch: PullBatch) -> Progress:
        """Store a batch that was looked up, and again what somebody else wrote first, or is about to."""
        while True:
            await self._store(batch)
            await self._before_the_next(batch)
            if not batch.todo:
                break
            await self._look_up(batch)
        failed = batch.count_failed()
        if failed:
            await self._failed.put_many(failed)
        await self._outbox.send(batch.written)
        return batch.progress

    async def _store(self, batch: PullBatch) -> None:
        """Everything that was looked up, once. What has to be done again is ``todo`` afterwards."""
        if batch.newcomers:
            await self._newcomers.place(batch, patient=batch.waits < MAX_WAITS)
        # What is derived may say something new where the shard itself does not.
        telling = [draft for draft in batch.drafts.values() if draft.changed or draft.derived]
        written, refused = await self._derived.save(batch.context, telling)
        batch.written += written
        for shard_id, error in refused.items():
            for record in batch.drafts.pop(shard_id).records:
                batch.fail(record, error, self._clock.now())
        batch.todo = await self._saving.save(batch) + batch.waiting

    async def _before_the_next(self, batch: PullBatch) -> None:
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

    def _merge_known(self, batch: PullBatch, record: ExternalRecord, shard: Shard | None) -> bool:
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

    def _converted(self, batch: PullBatch, record: ExternalRecord) -> Converted | None:
        if record.external_id in batch.failed:
            return None
        try:
            if record.external_id not in batch.converted:
                batch.converted[record.external_id] = to_shard(batch.context.schema, record.fields)
        except ConversionFailed as error:
            batch.fail(record, error, self._clock.now())
            return None
        return batch.converted[record.external_id]
