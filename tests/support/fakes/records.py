"""The stores of shards, tasks and what waits for a person, in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from castiel.domain.conversion import ConversionSchema
from castiel.domain.failures import FailedRecord
from castiel.domain.parked import ParkedConflict
from castiel.domain.shards import DERIVED, Shard
from castiel.domain.tasks import Priority, SyncTask, TaskStatus
from castiel.errors import AlreadyExists, CastielError, Conflict, NotFound
from castiel.ports.stores import KeyHit, LiveReference, Meter, SaveOutcome
from tests.support.fakes.documents import MemoryDocuments


class MemoryShards(MemoryDocuments[Shard]):
    """:class:`~castiel.ports.stores.ShardStore`. ``asked`` counts the calls; ``before_save`` runs before a save."""

    def __init__(self) -> None:
        super().__init__(Shard)
        self.asked: Counter[str] = Counter()
        self.before_save: Callable[[Sequence[Shard]], Awaitable[None]] | None = None

    @contextmanager
    def metered(self) -> Iterator[Meter]:
        meter, before = Meter(), self.asked.total()
        yield meter
        meter.units = float(self.asked.total() - before)

    async def get(self, tenant_id: str, shard_id: str) -> Shard:
        self.asked["get"] += 1
        for shard in self.all():
            if (shard.tenant_id, shard.id) == (tenant_id, shard_id):
                return shard
        raise NotFound("no such shard")

    async def get_many(self, tenant_id: str, shard_ids: Collection[str]) -> list[Shard]:
        self.asked["get_many"] += 1
        return [shard for shard in self.all() if shard.tenant_id == tenant_id and shard.id in set(shard_ids)]

    def _partition(self, tenant_id: str, shard_type: str) -> list[Shard]:
        return [s for s in self.all() if (s.tenant_id, s.shard_type) == (tenant_id, shard_type)]

    async def by_references(self, tenant_id: str, shard_type: str, keys: Collection[str]) -> list[Shard]:
        self.asked["by_references"] += 1
        return [s for s in self._partition(tenant_id, shard_type) if set(s.reference_keys) & set(keys)]

    async def by_blocking_keys(
        self, tenant_id: str, shard_type: str, keys: Collection[str], limit: int
    ) -> list[KeyHit]:
        self.asked["by_blocking_keys"] += 1
        hits = [
            KeyHit(shard.id, key)
            for shard in self._partition(tenant_id, shard_type)
            if not shard.deleted
            for key in shard.blocking_keys
            if key in set(keys)
        ]
        return hits[:limit]

    async def save(self, shards: Sequence[Shard]) -> list[SaveOutcome]:
        if not shards:
            return []
        self.asked["save"] += 1
        await asyncio.sleep(0)
        if self.before_save is not None:
            await self.before_save(shards)
        return [self._saved(shard) for shard in shards]

    def _saved(self, shard: Shard) -> SaveOutcome:
        try:
            self.write(_key(shard), shard, new=shard.etag is None)
        except (AlreadyExists, Conflict) as error:
            return SaveOutcome(shard, error)
        return SaveOutcome(shard)

    async def save_together(self, shards: Sequence[Shard]) -> None:
        self.asked["save_together"] += 1
        assert len({(s.tenant_id, s.shard_type) for s in shards}) == 1
        for shard in shards:
            stored = self._rows.get(_key(shard))
            if (str(stored[0]) if stored else None) != shard.etag:
                raise Conflict
        for shard in shards:
            self.write(_key(shard), shard, anyway=True)

    async def linking_to(self, tenant_id: str, shard_id: str, *, limit: int) -> list[str]:
        self.asked["linking_to"] += 1
        return [
            shard.id
            for shard in self.all()
            if shard.tenant_id == tenant_id and not shard.deleted and shard.is_linked_to(DERIVED, shard_id)
        ][:limit]

    async def with_old_outbox(self, before: datetime) -> AsyncIterator[Shard]:
        second = before.replace(microsecond=0)
        waiting = [s for s in self.all() if s.outbox_since is not None and s.outbox_since <= second]
        for shard in sorted(waiting, key=lambda s: (s.outbox_since is None, s.outbox_since)):
            yield shard

    async def changed_since(
        self, tenant_id: str, shard_type: str, since: datetime | None
    ) -> AsyncIterator[Shard]:
        found = [s for s in self._partition(tenant_id, shard_type) if since is None or s.updated_at >= since]
        for shard in sorted(found, key=lambda s: s.updated_at):
            yield shard

    async def references_to(
        self, tenant_id: str, shard_type: str, connection_id: str, entity: str
    ) -> AsyncIterator[LiveReference]:
        for shard in self._partition(tenant_id, shard_type):
            for found in shard.references if not shard.deleted else ():
                if (found.connection_id, found.entity, found.deleted) == (connection_id, entity, False):
                    yield LiveReference(found.external_id, found.pulled_at, found.pushed_at)

    async def count(self, tenant_id: str, shard_type: str | None = None) -> int:
        return len([s for s in self.all() if _counts(s, tenant_id, shard_type)])


def _key(shard: Shard) -> tuple[str, ...]:
    return (shard.tenant_id, shard.shard_type, shard.id)


def _counts(shard: Shard, tenant_id: str, shard_type: str | None) -> bool:
    return shard.tenant_id == tenant_id and not shard.deleted and shard_type in (None, shard.shard_type)


class MemoryConflicts(MemoryDocuments[ParkedConflict]):
    """:class:`~castiel.ports.stores.ConflictStore`."""

    def __init__(self) -> None:
        super().__init__(ParkedConflict)

    async def get(self, tenant_id: str, conflict_id: str) -> ParkedConflict:
        return self.read((tenant_id, conflict_id))

    async def put(self, conflict: ParkedConflict) -> None:
        self.write((conflict.tenant_id, conflict.id), conflict, anyway=True)

    async def put_many(self, conflicts: Sequence[ParkedConflict]) -> None:
        for conflict in conflicts:
            await self.put(conflict)

    async def delete(self, tenant_id: str, conflict_id: str) -> None:
        self.remove((tenant_id, conflict_id))

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[ParkedConflict]:
        for conflict in self.all():
            if conflict.tenant_id == tenant_id:
                yield conflict


class MemoryFailedRecords(MemoryDocuments[FailedRecord]):
    """:class:`~castiel.ports.stores.FailedRecordStore`."""

    def __init__(self) -> None:
        super().__init__(FailedRecord)

    async def put_many(self, records: Sequence[FailedRecord]) -> None:
        for record in records:
            self.write((*record.partition(), record.id), record, anyway=True)

    async def delete(self, record: FailedRecord) -> None:
        self.remove_read((*record.partition(), record.id), record)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[FailedRecord]:
        for record in self.all():
            if record.tenant_id == tenant_id:
                yield record


class MemoryTasks(MemoryDocuments[SyncTask]):
    """:class:`~castiel.ports.stores.TaskStore`."""

    def __init__(self) -> None:
        super().__init__(SyncTask)

    async def get(self, tenant_id: str, task_id: str) -> SyncTask:
        return self.read((tenant_id, task_id))

    async def create(self, task: SyncTask) -> SyncTask:
        return self.write((task.tenant_id, task.id), task, new=True)

    async def replace(self, task: SyncTask) -> SyncTask:
        return self.write((task.tenant_id, task.id), task)

    async def replace_each(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[CastielError | None]:
        errors: list[CastielError | None] = []
        for task in tasks:
            try:
                self.write((tenant_id, task.id), task)
            except Conflict as error:
                errors.append(error)
            else:
                errors.append(None)
        return errors

    async def delete(self, task: SyncTask) -> None:
        self.remove_read((task.tenant_id, task.id), task)

    async def due(self, now: datetime, priority: Priority) -> AsyncIterator[SyncTask]:
        for task in self.all():
            if task.priority is priority and task.is_due(now):
                yield task

    async def unfinished(self) -> AsyncIterator[SyncTask]:
        for task in self.all():
            if task.status in (TaskStatus.QUEUED, TaskStatus.PROCESSING):
                yield task

    async def count_disabled_due(self, now: datetime) -> int:
        return len(
            [t for t in self.all() if not t.enabled and t.model_copy(update={"enabled": True}).is_due(now)]
        )

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[SyncTask]:
        for task in self.all():
            if task.tenant_id == tenant_id:
                yield task


class MemorySchemas(MemoryDocuments[ConversionSchema]):
    """:class:`~castiel.ports.stores.SchemaStore`."""

    def __init__(self) -> None:
        super().__init__(ConversionSchema)

    async def get(self, tenant_id: str, schema_id: str) -> ConversionSchema:
        return self.read((tenant_id, schema_id))

    async def create(self, schema: ConversionSchema) -> ConversionSchema:
        return self.write((schema.tenant_id, schema.id), schema, new=True)

    async def replace(self, schema: ConversionSchema) -> ConversionSchema:
        return self.write((schema.tenant_id, schema.id), schema)

    async def put(self, schema: ConversionSchema) -> ConversionSchema:
        return self.write((schema.tenant_id, schema.id), schema, anyway=True)

    async def delete(self, schema: ConversionSchema) -> None:
        self.remove_read((schema.tenant_id, schema.id), schema)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[ConversionSchema]:
        for schema in self.all():
            if schema.tenant_id == tenant_id:
                yield schema
