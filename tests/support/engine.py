"""The sync engine over stores in memory: a tenant, its connections, and records that come in through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from castiel.adapters.base import ExternalRecord
from castiel.domain.conflicts import BUILT_IN, Resolver
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema
from castiel.domain.matching import MatchFunction
from castiel.domain.messages import OutboundMessage
from castiel.domain.shards import Shard
from castiel.domain.tasks import Progress
from castiel.ports.clock import Clock
from castiel.services.conflicts import ConflictResolutionService
from castiel.services.conversion import ConversionSchemaService
from castiel.services.deduplication import DeduplicationService
from castiel.services.deletion_guard import DeletionGuard
from castiel.services.derived import DerivedShards
from castiel.services.drafts import PullContext
from castiel.services.integrations import Integrations
from castiel.services.local_changes import LocalChanges
from castiel.services.outbox import Outbox
from castiel.services.record_merge import RecordMerge
from castiel.services.replay import ReplayService
from castiel.services.shard_union import ShardUnion
from castiel.services.sync_engine import BidirectionalSyncEngine
from tests.support.fakes.coordination import MemoryEvents, MemoryQueue, YieldingClock
from tests.support.fakes.documents import MemoryConnections
from tests.support.fakes.records import (
    MemoryConflicts,
    MemoryFailedRecords,
    MemorySchemas,
    MemoryShards,
    MemoryTasks,
)
from tests.support.fakes.short_memory import MemoryClaims, MemorySeenRecords

TENANT = "acme"
PERSON_FIELDS = ("firstName", "lastName", "email", "phone", "birthDate", "company", "title", "tags")


def person_schema(name: str, **more: Any) -> ConversionSchema:
    """A schema that takes the fields of people as they are. ``lastName`` is required."""
    mappings = [
        {"kind": "direct", "field": field, "source": field, "required": field == "lastName"}
        for field in PERSON_FIELDS
    ]
    return ConversionSchema.model_validate(
        {
            "id": name,
            "tenantId": TENANT,
            "integrationId": name,
            "entity": "Person",
            "shardType": "contact",
            "mappings": mappings,
            **more,
        }
    )


COMPANY = {
    "shardType": "account",
    "key": "company",
    "keyTransforms": ["trim", "lower"],
    "mappings": [{"kind": "direct", "field": "name", "source": "company"}],
}
"""A company derived from a person's."""


@dataclass
class World:
    """One tenant's data and the services over it. ``second_worker`` is another process over the same data."""

    clock: Clock = field(default_factory=YieldingClock)
    shards: MemoryShards = field(default_factory=MemoryShards)
    schemas: MemorySchemas = field(default_factory=MemorySchemas)
    conflicts: MemoryConflicts = field(default_factory=MemoryConflicts)
    failed: MemoryFailedRecords = field(default_factory=MemoryFailedRecords)
    connections: MemoryConnections = field(default_factory=MemoryConnections)
    tasks: MemoryTasks = field(default_factory=MemoryTasks)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    resolvers: Mapping[str, Resolver] = field(default_factory=lambda: BUILT_IN)
    matchers: Mapping[str, MatchFunction] = field(default_factory=dict)
    percent: float = 20.0
    batch_size: int = 100

    def __post_init__(self) -> None:
        self.claims = MemoryClaims(self.clock)
        self.seen = MemorySeenRecords(self.clock)
        self.outbox = Outbox(self.connections, self.shards, self.queue, self.clock)
        service = ConversionSchemaService(self.schemas, cast("Integrations", None), self.clock, self.matchers)
        self.deduplication = DeduplicationService(self.shards, service, self.claims, self.matchers)
        self.derived = DerivedShards(self.shards, self.outbox, self.clock)
        self.engine = BidirectionalSyncEngine(
            self.shards,
            service,
            self.deduplication,
            RecordMerge(self.outbox, self.resolvers, self.clock),
            self.derived,
            self.conflicts,
            self.failed,
            self.outbox,
            self.events,
            self.clock,
            batch_size=self.batch_size,
        )
        self.guard = DeletionGuard(
            self.connections,
            self.shards,
            self.seen,
            self.conflicts,
            self.engine,
            self.clock,
            percent=self.percent,
        )
        self.union = ShardUnion(self.shards, self.deduplication, self.outbox, self.clock)
        self.resolution = ConflictResolutionService(
            self.conflicts, self.shards, self.union, self.outbox, self.clock
        )
        self.replay = ReplayService(
            self.failed, self.connections, self.shards, self.engine, cast("Integrations", None), self.clock
        )
        self.local = LocalChanges(self.shards, self.deduplication, self.outbox, self.clock)

    async def connect(self, name: str, schema: ConversionSchema | None = None, **more: Any) -> Connection:
        """A connection with one entity, ``Person`` → ``contact``."""
        await self.schemas.put(schema or person_schema(name))
        return await self.connections.create(
            Connection(
                id=name,
                tenant_id=TENANT,
                integration_id=name,
                credential_id=f"cred-{name}",
                entities=[EntitySync(entity="Person", shard_type="contact", schema_id=name)],
                **more,
            )
        )

    async def context(self, connection: str, execution: str = "exec-1") -> PullContext:
        found = await self.connections.get(TENANT, connection)
        return await self.engine.context(found, found.entities[0], execution)

    async def pull(
        self, connection: str, *records: ExternalRecord, execution: str = "exec-1", page: int = 0
    ) -> Progress:
        """Records come in through a connection."""
        context = await self.context(connection, execution)
        return await self.engine.pull(replace(context, page=page), records)

    def told(self) -> list[OutboundMessage]:
        """The messages that were sent and not taken yet."""
        return [OutboundMessage.model_validate_json(message.body) for message in self.queue.sent]

    async def shard(self, connection: str, external_id: str) -> Shard:
        """The shard that refers to a record."""
        [found] = await self.shards.by_references(TENANT, "contact", [f"{connection}|Person|{external_id}"])
        return found

    def live(self, shard_type: str = "contact") -> list[Shard]:
        """All shards that are not deleted."""
        return [s for s in self.shards.all() if s.shard_type == shard_type and not s.deleted]


def person(external_id: str, at: datetime | None = None, **fields: Any) -> ExternalRecord:
    """A record of the entity ``Person``."""
    return ExternalRecord("Person", external_id, fields, at)


def gone(external_id: str) -> ExternalRecord:
    """A record's tombstone."""
    return ExternalRecord("Person", external_id, {}, deleted=True)


ADA = {
    "firstName": "Ada",
    "lastName": "Lovelace",
    "email": "ada.lovelace@example.com",
    "phone": "+442071234567",
    "birthDate": "1985-12-10",
}
GRACE = {
    "firstName": "Grace",
    "lastName": "Hopper",
    "email": "grace.hopper@example.org",
    "phone": "+12125550100",
    "birthDate": "1976-12-09",
}
