"""Records that failed on their own, converted again with today's schema; those that succeed are forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from castiel.adapters.base import ExternalRecord
from castiel.domain.conversion import to_shard
from castiel.domain.failures import FailedRecord
from castiel.domain.shards import ExternalReference
from castiel.errors import Conflict, ConversionFailed, NotFound
from castiel.ports.clock import Clock
from castiel.ports.stores import ConnectionStore, FailedRecordStore, ShardStore
from castiel.services.drafts import PullContext
from castiel.services.integrations import Integrations
from castiel.services.sync_engine import BidirectionalSyncEngine

PAGE = 100


@dataclass
class Replayed:
    """How many records were replayed: stored now, out of date (a newer state is stored) or gone, still failing."""

    stored: int = 0
    outdated: int = 0
    failed: int = 0


class ReplayService:
    """Replays failed records through the engine."""

    def __init__(
        self,
        failed: FailedRecordStore,
        connections: ConnectionStore,
        shards: ShardStore,
        engine: BidirectionalSyncEngine,
        integrations: Integrations,
        clock: Clock,
    ) -> None:
        self._failed = failed
        self._connections = connections
        self._shards = shards
        self._engine = engine
        self._integrations = integrations
        self._clock = clock

    async def replay(
        self, tenant_id: str, *, connection_id: str | None = None, ids: Collection[str] | None = None
    ) -> Replayed:
        """Replay a tenant's failed records: all, one connection's, or those named."""
        done = Replayed()
        groups: defaultdict[tuple[str, str], list[FailedRecord]] = defaultdict(list)
        async for record in self._failed.of_tenant(tenant_id):
            if connection_id in (None, record.connection_id) and (ids is None or record.id in ids):
                group = groups[record.connection_id, record.entity]
                group.append(record)
                if len(group) == PAGE:
                    await self._replay(groups.pop((record.connection_id, record.entity)), done)
        for records in groups.values():
            await self._replay(records, done)
        return done

    async def _replay(self, records: Sequence[FailedRecord], done: Replayed) -> None:
        first = records[0]
        try:
            connection = await self._connections.get(first.tenant_id, first.connection_id)
        except NotFound:
            connection = None
        entity = connection.entity(first.entity) if connection else None
        if connection is None or entity is None or not entity.pulls:
            done.outdated += len(records)
            await self._forget(records)
            return
        context = await self._engine.context(connection, entity, f"replay-{self._clock.new_id()}")
        newest = {record.external_id: record for record in sorted(records, key=lambda r: r.executed_at)}
        outdated = await self._outdated(context, newest)
        current = [record for key, record in newest.items() if key not in outdated]
        todo = await self._whole(context, current)
        failing = {record.external_id for record in todo if _fails(context, record)}
        tried = await self._engine.pull(context, [r for r in todo if r.external_id not in failing])
        done.outdated += len(outdated) + len(current) - len(todo)
        done.failed += len(failing) + tried.records_failed
        done.stored += len(todo) - len(failing) - tried.records_failed
        await self._forget([record for record in records if record.external_id not in failing])

    async def _whole(self, context: PullContext, records: Sequence[FailedRecord]) -> list[ExternalRecord]:
        """The records; those that were too large to be stored as they are now, unless they are gone."""
        missing = [record.external_id for record in records if record.fields_left_out]
        if not missing:
            return [_external(record) for record in records]
        adapter = self._integrations.adapter(context.connection)
        found = await adapter.get(context.entity.entity, missing)
        whole = [found.get(r.external_id) if r.fields_left_out else _external(r) for r in records]
        return [record for record in whole if record is not None]

    async def _outdated(self, context: PullContext, newest: Mapping[str, FailedRecord]) -> set[str]:
        """Those that were brought in, or written to, since they failed: what is stored is newer.

        A push changed the record, so that it comes again by itself.
        """
        keys = {context.key(external_id): record for external_id, record in newest.items()}
        tenant, shard_type = context.connection.tenant_id, context.entity.shard_type
        return {
            reference.external_id
            for shard in await self._shards.by_references(tenant, shard_type, keys)
            for reference in shard.references
            if reference.key in keys and _is_older(keys[reference.key], reference)
        }

    async def _forget(self, records: Sequence[FailedRecord]) -> None:
        for record in records:
            try:
                await self._failed.delete(record)
            except Conflict:
                continue  # it failed again meanwhile, with something newer


def _is_older(record: FailedRecord, reference: ExternalReference) -> bool:
    # Failures are dated in whole seconds: a push within that second may be the very one that the record came after.
    failed, next_second = record.executed_at, record.executed_at + timedelta(seconds=1)
    pulled = reference.pulled_at is not None and reference.pulled_at > failed
    return pulled or (reference.pushed_at is not None and reference.pushed_at >= next_second)


def _fails(context: PullContext, record: ExternalRecord) -> bool:
    try:
        to_shard(context.schema, record.fields)
    except ConversionFailed:
        return True
    return False


def _external(failed: FailedRecord) -> ExternalRecord:
    return ExternalRecord(
        failed.entity, failed.external_id, failed.fields, failed.modified_at, version=failed.version
    )
