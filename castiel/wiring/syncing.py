"""What brings records in and out: the engine and all around it, tasks, pushes, what waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from castiel.azure.redis_memory import RedisClaims, RedisSeenRecords
from castiel.extensions import load_matchers, load_resolvers
from castiel.services.conflicts import ConflictResolutionService
from castiel.services.connections import ConnectionManagement
from castiel.services.conversion import ConversionSchemaService
from castiel.services.deduplication import DeduplicationService
from castiel.services.deletion_guard import DeletionGuard
from castiel.services.derived import DerivedShards
from castiel.services.first_pull import FirstPulls
from castiel.services.local_changes import LocalChanges
from castiel.services.outbox import Outbox
from castiel.services.push import PushService
from castiel.services.push_record import PushRecorder
from castiel.services.push_task import PushTaskService
from castiel.services.record_merge import RecordMerge
from castiel.services.refetch import RefetchService
from castiel.services.replay import ReplayService
from castiel.services.retries import Retries
from castiel.services.shard_union import ShardUnion
from castiel.services.sync_engine import BidirectionalSyncEngine
from castiel.services.sync_tasks import SyncTaskService
from castiel.wiring.access import Access
from castiel.wiring.outside import Outside


@dataclass(frozen=True)
class Syncing:
    """The services of the two workers, and of what operators do with records."""

    connections: ConnectionManagement
    schemas: ConversionSchemaService
    outbox: Outbox
    deduplication: DeduplicationService
    engine: BidirectionalSyncEngine
    deletions: DeletionGuard
    conflicts: ConflictResolutionService
    replay: ReplayService
    local_changes: LocalChanges
    tasks: SyncTaskService
    retries: Retries
    push: PushService
    push_tasks: PushTaskService
    refetch: RefetchService


def build_syncing(outside: Outside, access: Access) -> Syncing:
    """The engine over the stores, and the services over the engine."""
    settings, stores, clock = outside.settings, outside.stores, outside.clock
    matchers, resolvers = load_matchers(), load_resolvers()
    schemas = ConversionSchemaService(stores.schemas, access.integrations, clock, matchers)
    outbox = Outbox(stores.connections, stores.shards, outside.outbound_queue, clock)
    deduplication = DeduplicationService(stores.shards, schemas, RedisClaims(outside.clients.redis), matchers)
    engine = BidirectionalSyncEngine(
        stores.shards,
        schemas,
        deduplication,
        RecordMerge(outbox, resolvers, clock),
        DerivedShards(stores.shards, outbox, clock),
        stores.conflicts,
        stores.failed_records,
        outbox,
        outside.events,
        clock,
        batch_size=settings.sync_batch_size,
    )
    union = ShardUnion(stores.shards, deduplication, outbox, clock)
    tasks = SyncTaskService(
        stores.tasks,
        outside.leases,
        clock,
        message_ttl=timedelta(seconds=settings.sync_message_ttl_seconds),
    )
    return Syncing(
        connections=ConnectionManagement(stores.connections, access.integrations, schemas, resolvers, clock),
        schemas=schemas,
        outbox=outbox,
        deduplication=deduplication,
        engine=engine,
        deletions=DeletionGuard(
            stores.connections,
            stores.shards,
            RedisSeenRecords(outside.clients.redis),
            stores.conflicts,
            engine,
            clock,
            percent=settings.deletion_guard_percent,
        ),
        conflicts=ConflictResolutionService(stores.conflicts, stores.shards, union, outbox, clock),
        replay=ReplayService(
            stores.failed_records, stores.connections, stores.shards, engine, access.integrations, clock
        ),
        local_changes=LocalChanges(stores.shards, deduplication, outbox, clock),
        tasks=tasks,
        retries=Retries(
            clock, max_retries=settings.sync_max_retries, base_seconds=settings.sync_retry_base_seconds
        ),
        push=PushService(
            stores.connections,
            stores.shards,
            access.integrations,
            schemas,
            outside.leases,
            outside.marks,
            PushRecorder(stores.shards, outside.marks, outbox, clock),
            FirstPulls(stores.tasks),
            outbox,
            engine,
            lease_seconds=settings.sync_lease_seconds,
        ),
        push_tasks=PushTaskService(
            tasks,
            stores.connections,
            stores.shards,
            outbox,
            stores.results,
            schemas,
            outside.leases,
            clock,
            lease_seconds=settings.sync_lease_seconds,
            time_budget_seconds=settings.sync_time_budget_seconds,
        ),
        refetch=RefetchService(stores.connections, access.integrations, engine),
    )
