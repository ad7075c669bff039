"""BidirectionalSyncEngine: a page of external records into shards, every step convergent."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from castiel.adapters.base import ExternalRecord
from castiel.domain.conflicts import ConflictPolicy, MergeOutcome, merge_three_way
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema, fed_fields, to_shard
from castiel.domain.failures import FailedRecord
from castiel.domain.hashing import content_hash
from castiel.domain.messages import Operation
from castiel.domain.parked import ParkedConflict, conflict_id
from castiel.domain.shards import ExternalReference, Shard, reference_key, shard_id_for
from castiel.domain.tasks import MAX_RESULT_ERRORS, Progress, RecordError
from castiel.errors import AlreadyExists, CastielError, Conflict, ConversionFailed
from castiel.ports.clock import Clock
from castiel.ports.messaging import Event, EventPublisher
from castiel.ports.stores import ConflictStore, FailedRecordStore, ShardStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.outbox import Outbox

logger = logging.getLogger(__name__)

MAX_WRITE_ROUNDS = 8
"""How often a shard is read and merged again because somebody else wrote it first."""


@dataclass(frozen=True)
class PullContext:
    """On whose behalf records come in."""

    connection: Connection
    entity: EntitySync
    schema: ConversionSchema
    policy: ConflictPolicy
    execution_id: str
    targets: Sequence[Connection]


@dataclass
class _Merged:
    """One record against its shard: what to write, and what to count."""

    record: ExternalRecord
    shard: Shard
    changed: bool
    conflicts: list[ParkedConflict] = field(default_factory=list)
    detected: int = 0
    resolved: int = 0


class BidirectionalSyncEngine:
    """Convert, merge three-way, announce, save: the same page twice changes nothing the second time."""

    def __init__(
        self,
        shards: ShardStore,
        schemas: ConversionSchemaService,
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
        self._conflicts = conflicts
        self._failed = failed_records
        self._outbox = outbox
        self._events = events
        self._clock = clock
        self._batch_size = batch_size

    async def context(self, connection: Connection, entity: EntitySync, execution_id: str) -> PullContext:
        """What a pull of one entity needs to know, read once."""
        schema = await self._schemas.schema_for(connection, entity)
        targets = await self._outbox.targets(connection.tenant_id, entity.shard_type)
        policy = ConflictPolicy.model_validate(connection.conflict_policy or {})
        return PullContext(connection, entity, schema, policy, execution_id, targets)

    async def pull(self, context: PullContext, records: Sequence[ExternalRecord]) -> Progress:
        """Bring records in, by batches. Returns what was done; raises only what makes the whole page fail."""
        newest = {record.external_id: record for record in records}
        progress = Progress()
        ordered = list(newest.values())
        for start in range(0, len(ordered), self._batch_size):
            progress.add(await self._pull_batch(context, ordered[start : start + self._batch_size]))
        return progress

    async def _pull_batch(self, context: PullContext, records: list[ExternalRecord]) -> Progress:
        progress = Progress()
        charge = self._shards.request_charge
        converted, failed = self._convert(context, records)
        todo = list(records)
        written: list[Shard] = []
        for _ in range(MAX_WRITE_ROUNDS):
            existing = await self._existing(context, todo)
            merged = [
                self._merge(context, record, converted[record.external_id], existing.get(record.external_id))
                for record in todo
                if record.deleted or record.external_id in converted
            ]
            present = [m for m in merged if m is not None]
            again = await self._save(context, present, progress, written)
            if not again:
                break
            todo = again
        else:
            raise Conflict("shards of this page keep changing under us")
        progress.records_failed = len(failed)
        progress.records_processed += len(failed)
        progress.errors = [_record_error(f) for f in failed[:MAX_RESULT_ERRORS]]
        if failed:
            await self._failed.put_many(failed)
        progress.request_charge = self._shards.request_charge - charge
        await self._outbox.send(written)
        return progress

    def _convert(
        self, context: PullContext, records: Sequence[ExternalRecord]
    ) -> tuple[dict[str, dict[str, object]], list[FailedRecord]]:
        converted: dict[str, dict[str, object]] = {}
        failed: list[FailedRecord] = []
        for record in records:
            if record.deleted:
                converted[record.external_id] = {}
                continue
            try:
                converted[record.external_id] = to_shard(context.schema, record.fields).fields
            except ConversionFailed as error:
                failed.append(self._failure(context, record, error))
        return converted, failed

    async def _existing(self, context: PullContext, records: Sequence[ExternalRecord]) -> dict[str, Shard]:
        keys = {
            reference_key(context.connection.id, context.entity.entity, r.external_id): r for r in records
        }
        found = await self._shards.by_references(
            context.connection.tenant_id, context.entity.shard_type, keys.keys()
        )
        return {
            keys[key].external_id: shard for shard in found for key in shard.reference_keys if key in keys
        }

    def _merge(
        self, context: PullContext, record: ExternalRecord, fields: Mapping[str, object], shard: Shard | None
    ) -> _Merged | None:
        if record.deleted:
            return self._merge_deletion(context, record, shard)
        if shard is None:
            return _Merged(record, self._new_shard(context, record, fields), changed=True)
        reference = shard.reference(context.connection.id, context.entity.entity, record.external_id)
        if reference is None:
            reference = self._new_reference(context, record)
        outcome = merge_three_way(
            reference.base,
            shard.fields,
            fields,
            context.policy,
            local_changed_at={name: origin.at for name, origin in shard.field_origins.items()},
            external_changed_at=record.modified_at,
            parked=reference.parked,
        )
        unchanged = (
            not outcome.changed_locally
            and not outcome.conflicts
            and outcome.base == reference.base
            and not shard.deleted
            and not reference.deleted
        )
        if unchanged:
            return _Merged(record, shard, changed=False)
        return self._apply(context, record, shard, reference, outcome)

    def _apply(
        self,
        context: PullContext,
        record: ExternalRecord,
        shard: Shard,
        reference: ExternalReference,
        outcome: MergeOutcome,
    ) -> _Merged:
        now = self._clock.now()
        revived = shard.deleted
        changes = {name: outcome.fields.get(name) for name in outcome.changed_locally}
        shard.set_fields(changes, context.connection.id, record.modified_at or now, context.execution_id)
        shard.updated_at = now
        shard.deleted, shard.deleted_at = False, None
        reference.base, reference.parked = outcome.base, outcome.parked
        reference.deleted = False
        self._stamp(reference, record)
        shard.put_reference(reference)
        others = [c for c in context.targets if c.id != context.connection.id]
        if changes or revived:
            self._outbox.announce(shard, others, Operation.UPDATE, sorted(changes), context.execution_id)
        to_push = outcome.to_push & fed_fields(context.schema)
        if to_push:
            own = [c for c in context.targets if c.id == context.connection.id]
            self._outbox.announce(shard, own, Operation.UPDATE, sorted(to_push), context.execution_id)
        parked = [
            self._parked(context, record, shard, c.field, c.base, c.local, c.external)
            for c in outcome.conflicts
            if not c.resolved
        ]
        return _Merged(
            record,
            shard,
            changed=True,
            conflicts=parked,
            detected=len(outcome.conflicts),
            resolved=sum(c.resolved for c in outcome.conflicts),
        )

    def _merge_deletion(
        self, context: PullContext, record: ExternalRecord, shard: Shard | None
    ) -> _Merged | None:
        if shard is None:
            return None
        reference = shard.reference(context.connection.id, context.entity.entity, record.external_id)
        if reference is None or reference.deleted:
            return _Merged(record, shard, changed=False)
        now = self._clock.now()
        reference.deleted = True
        self._stamp(reference, record)
        shard.put_reference(reference)
        if not shard.deleted:
            shard.deleted, shard.deleted_at = True, now
            others = [c for c in context.targets if c.id != context.connection.id]
            self._outbox.announce(shard, others, Operation.DELETE, [], context.execution_id)
        shard.updated_at, shard.updated_in = now, context.execution_id
        return _Merged(record, shard, changed=True)

    def _new_shard(self, context: PullContext, record: ExternalRecord, fields: Mapping[str, object]) -> Shard:
        now = self._clock.now()
        shard = Shard(
            id=shard_id_for(
                context.entity.shard_type, context.connection.id, context.entity.entity, record.external_id
            ),
            tenant_id=context.connection.tenant_id,
            shard_type=context.entity.shard_type,
            created_at=now,
            updated_at=now,
            created_in=context.execution_id,
        )
        shard.set_fields(fields, context.connection.id, record.modified_at or now, context.execution_id)
        shard.updated_at = now
        reference = self._new_reference(context, record)
        reference.base = dict(fields)
        self._stamp(reference, record)
        shard.put_reference(reference)
        others = [c for c in context.targets if c.id != context.connection.id]
        self._outbox.announce(shard, others, Operation.CREATE, sorted(fields), context.execution_id)
        return shard

    def _new_reference(self, context: PullContext, record: ExternalRecord) -> ExternalReference:
        return ExternalReference(
            integration_id=context.connection.integration_id,
            connection_id=context.connection.id,
            entity=context.entity.entity,
            external_id=record.external_id,
        )

    def _stamp(self, reference: ExternalReference, record: ExternalRecord) -> None:
        reference.version = record.version
        reference.modified_at = record.modified_at
        reference.content_hash = content_hash(record.fields)
        reference.pulled_at = self._clock.now()

    async def _save(
        self, context: PullContext, merged: Sequence[_Merged], progress: Progress, written: list[Shard]
    ) -> list[ExternalRecord]:
        """Write what changed; returns the records whose shards somebody else wrote first."""
        changed = [m for m in merged if m.changed]
        # Parked before the shard remembers having asked: a crash in between asks again, it never forgets.
        for item in changed:
            for conflict in item.conflicts:
                await self._conflicts.put(conflict)
        outcomes = await self._shards.save([m.shard for m in changed])
        again: list[ExternalRecord] = []
        for item, outcome in zip(changed, outcomes, strict=True):
            if isinstance(outcome.error, Conflict | AlreadyExists):
                again.append(item.record)
            elif isinstance(outcome.error, CastielError):
                raise outcome.error
            else:
                written.append(item.shard)
                progress.shards_written += 1
                _count(progress, item, context.execution_id)
                await self._tell_conflicts(context, item)
        for item in merged:
            if not item.changed:
                _count(progress, item, context.execution_id)
        return again

    async def _tell_conflicts(self, context: PullContext, item: _Merged) -> None:
        if not item.detected:
            return
        logger.info("conflict met", extra={"shardId": item.shard.id, "conflicts": item.detected})
        await self._events.publish(
            Event(
                "castiel.conflict.detected",
                f"shards/{item.shard.id}",
                {
                    "shardId": item.shard.id,
                    "connectionId": context.connection.id,
                    "detected": item.detected,
                    "resolved": item.resolved,
                },
                context.connection.tenant_id,
                context.execution_id,
            )
        )

    def _parked(
        self,
        context: PullContext,
        record: ExternalRecord,
        shard: Shard,
        name: str,
        base: object,
        local: object,
        external: object,
    ) -> ParkedConflict:
        return ParkedConflict(
            id=conflict_id(shard.id, context.connection.id, name),
            tenant_id=shard.tenant_id,
            shard_id=shard.id,
            shard_type=shard.shard_type,
            integration_id=context.connection.integration_id,
            connection_id=context.connection.id,
            entity=context.entity.entity,
            external_id=record.external_id,
            field=name,
            base=base,
            local=local,
            external=external,
            detected_at=self._clock.now(),
            correlation_id=context.execution_id,
        )

    def _failure(self, context: PullContext, record: ExternalRecord, error: ConversionFailed) -> FailedRecord:
        key = reference_key(context.connection.id, context.entity.entity, record.external_id)
        return FailedRecord(
            id=f"failed-{content_hash({'key': key})}",
            tenant_id=context.connection.tenant_id,
            integration_id=context.connection.integration_id,
            connection_id=context.connection.id,
            entity=context.entity.entity,
            external_id=record.external_id,
            fields=dict(record.fields),
            code=error.code,
            message=str(error),
            correlation_id=context.execution_id,
            executed_at=self._clock.now(),
        )


def _count(progress: Progress, item: _Merged, execution_id: str) -> None:
    """Count by what the shard remembers, so that a page done twice (a crash in between) counts once."""
    shard = item.shard
    if item.record.deleted:
        done = shard.updated_in == execution_id
        progress.records_deleted += done
    elif shard.created_in == execution_id:
        done = True
        progress.records_created += 1
    elif shard.updated_in == execution_id:
        done = True
        progress.records_updated += 1
    else:
        done = False
        progress.records_unchanged += 1
    progress.records_processed += done
    progress.conflicts_detected += item.detected
    progress.conflicts_resolved += item.resolved


def _record_error(failed: FailedRecord) -> RecordError:
    return RecordError(
        entity=failed.entity, external_id=failed.external_id, code=failed.code, message=failed.message
    )
