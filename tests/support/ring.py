"""Several providers in memory around one tenant: what one of them says reaches the others, message by message."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from castiel.adapters.base import ExternalRecord, PushOutcome, PushRecord
from castiel.domain.connections import Connection
from castiel.domain.messages import Operation, OutboundMessage, OutboundSource, SyncMessage
from castiel.domain.results import PushResult, SyncResult
from castiel.domain.tasks import SyncMode, SyncTask
from castiel.errors import OutcomeUnknown
from castiel.functions.sync_outbound_worker import SyncOutboundWorker
from castiel.ports.clock import Clock
from castiel.ports.messaging import QueueMessage, ReceivedMessage
from castiel.ports.stores import ResultStore
from castiel.services.conversion import ConversionSchemaService
from castiel.services.first_pull import FirstPulls
from castiel.services.integrations import Integrations
from castiel.services.push import PushService
from castiel.services.push_record import PushRecorder
from castiel.services.push_task import PushTaskService
from castiel.services.refetch import RefetchService
from castiel.services.retries import Retries
from castiel.services.sync_tasks import SyncTaskService
from tests.support.engine import TENANT, World
from tests.support.fakes.coordination import MemoryLeases, MemoryMarks


@dataclass
class MemoryProvider:
    """A system's people. It tells of every write, our own too: ``told`` are the ids it has yet to announce.

    ``calls`` are what it was asked, each with the ids (or, for creates, keys) it was about; ``refuse`` is raised for
    a key that it holds.
    """

    name: str
    clock: Clock

    def __post_init__(self) -> None:
        self.people: dict[str, tuple[dict[str, Any], datetime, bool]] = {}
        self.told: deque[tuple[str, Operation]] = deque()
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.refuse: dict[str, Exception] = {}
        self.unanswered: set[str] = set()
        """Keys whose next create takes effect without an answer."""
        self.made: dict[str, str] = {}

    def write(self, external_id: str, fields: dict[str, Any]) -> datetime:
        """Somebody creates or changes a person."""
        known, _, deleted = self.people.get(external_id, ({}, None, False))
        assert not deleted
        at = self.clock.now()
        self.people[external_id] = ({**known, **fields}, at, False)
        self.told.append((external_id, Operation.UPDATE if known else Operation.CREATE))
        return at

    def remove(self, external_id: str) -> None:
        """Somebody deletes a person."""
        fields, _, _ = self.people[external_id]
        self.people[external_id] = (fields, self.clock.now(), True)
        self.told.append((external_id, Operation.DELETE))

    def live(self) -> dict[str, dict[str, Any]]:
        """The people there are."""
        return {key: fields for key, (fields, _, deleted) in self.people.items() if not deleted}

    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        self.calls.append(("get", tuple(external_ids)))
        found = {key: self.people[key] for key in external_ids if key in self.people}
        return {
            key: ExternalRecord(entity, key, copy.deepcopy(fields), at, deleted=deleted)
            for key, (fields, at, deleted) in found.items()
        }

    async def find_made(self, entity: str, records: Sequence[PushRecord]) -> dict[str, ExternalRecord]:
        made = {record.key: self.made[record.key] for record in records if record.key in self.made}
        found = await self.get(entity, list(made.values())) if made else {}
        return {key: replace(found[one], made_from=key) for key, one in made.items() if one in found}

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        self.calls.append((records[0].operation.value, tuple(r.external_id or r.key for r in records)))
        for record in records:
            if record.key in self.refuse:
                raise self.refuse[record.key]
        outcomes = []
        for record in records:
            external_id = record.external_id or f"{self.name}-{len(self.people) + 1}"
            at = self.write(external_id, dict(record.fields))
            if record.operation is Operation.CREATE:
                self.made[record.key] = external_id
            if record.key in self.unanswered:
                self.unanswered.discard(record.key)
                outcomes.append(PushOutcome(record.key, error=OutcomeUnknown("no answer came")))
                continue
            outcomes.append(PushOutcome(record.key, external_id, modified_at=at))
        return outcomes

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        self.calls.append(("delete", tuple(record.external_id or "" for record in records)))
        for record in records:
            assert record.external_id is not None
            if not self.people[record.external_id][2]:
                self.remove(record.external_id)
        return [PushOutcome(record.key, record.external_id) for record in records]


class _Reach:
    """:class:`~castiel.services.integrations.Integrations`, as far as the outbound worker needs it.

    ``works``: the places in the limiter's line that were asked for.
    """

    def __init__(self, providers: dict[str, MemoryProvider]) -> None:
        self._providers = providers
        self.works: list[str | None] = []

    def adapter(self, connection: Connection, *, work: str | None = None) -> MemoryProvider:
        self.works.append(work)
        return self._providers[connection.id]


class _Results:
    """``refuse``: raised, one by one, for what is to be stored."""

    def __init__(self) -> None:
        self.stored: list[SyncResult | PushResult] = []
        self.refuse: list[Exception] = []

    async def put(self, result: SyncResult | PushResult) -> None:
        await self.put_many([result])

    async def put_many(self, results: Sequence[SyncResult | PushResult]) -> None:
        if results and self.refuse:
            raise self.refuse.pop(0)
        self.stored.extend(results)


class Ring:
    """A world whose queue is worked off. ``handled`` counts the messages, ``results`` holds what pushes came to."""

    def __init__(self, world: World, names: Sequence[str]) -> None:
        self.world = world
        self.providers = {name: MemoryProvider(name, world.clock) for name in names}
        schemas = ConversionSchemaService(
            world.schemas, cast("Integrations", None), world.clock, world.matchers
        )
        self.reach = _Reach(self.providers)
        reach = cast("Integrations", self.reach)
        marks, leases = MemoryMarks(world.clock), MemoryLeases(world.clock)
        push = PushService(
            world.connections,
            world.shards,
            reach,
            schemas,
            leases,
            marks,
            PushRecorder(world.shards, marks, world.outbox, world.clock),
            FirstPulls(world.tasks),
            world.outbox,
            world.engine,
            lease_seconds=60,
        )
        self.store = _Results()
        results = cast("ResultStore", self.store)
        self.push_tasks = PushTaskService(
            SyncTaskService(world.tasks, leases, world.clock, message_ttl=timedelta(hours=1)),
            world.connections,
            world.shards,
            world.outbox,
            results,
            schemas,
            leases,
            world.clock,
            lease_seconds=60,
            time_budget_seconds=240,
        )
        self.worker = SyncOutboundWorker(
            push,
            self.push_tasks,
            RefetchService(world.connections, reach, world.engine),
            results,
            world.queue,
            Retries(world.clock, max_retries=3, base_seconds=1),
            world.clock,
        )
        self._taken: set[str] = set()
        self.handled = 0

    @property
    def results(self) -> list[PushResult]:
        return [result for result in self.store.stored if isinstance(result, PushResult)]

    async def step(self) -> bool:
        """Hand one message to the worker. Returns ``False`` when there is none."""
        self._announce()
        while self.world.queue.sent:
            message = self.world.queue.sent.pop(0)
            if message.message_id not in self._taken:
                self._taken.add(message.message_id)
                await self.world.clock.sleep(0.01)
                await self.worker.handle([received_of(message)])
                self.handled += 1
                return True
        return False

    def take(self) -> list[ReceivedMessage]:
        """All that waits, in one batch."""
        waiting, self.world.queue.sent[:] = list(self.world.queue.sent), []
        return [received_of(message) for message in waiting]

    async def settle(self, most: int = 500) -> int:
        """Work until nothing is left. Returns how many messages that took."""
        before = self.handled
        while await self.step():
            assert self.handled - before <= most, "it does not settle"
        return self.handled - before

    def _announce(self) -> None:
        """The providers' webhooks, as messages."""
        for name, provider in self.providers.items():
            while provider.told:
                external_id, operation = provider.told.popleft()
                self.world.queue.sent.append(self._event(name, external_id, operation))

    def _event(self, name: str, external_id: str, operation: Operation) -> QueueMessage:
        delivery = self.world.clock.new_id()
        message = OutboundMessage(
            tenant_id=TENANT,
            integration_id=name,
            connection_id=name,
            entity_id=external_id,
            operation=operation,
            correlation_id=f"webhook-{delivery}",
            enqueued_at=self.world.clock.now(),
            source=OutboundSource.WEBHOOK,
            entity="Person",
            external_id=external_id,
        )
        return QueueMessage(f"event:{delivery}", message.to_json_text(), message.correlation_id)


def received_of(message: QueueMessage) -> ReceivedMessage:
    return ReceivedMessage(
        body=message.body.encode(),
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        properties=message.properties,
    )


async def ring_of(*names: str) -> Ring:
    """A tenant with one connection for each name, all carrying people both ways."""
    world = World()
    for name in names:
        await world.connect(name)
    return Ring(world, names)


async def push_task(ring: Ring, connection: str) -> SyncMessage:
    """A queued push task ``push-…`` of a connection, and its message."""
    task = SyncTask(
        id=f"push-{connection}",
        integration_id="crm",
        tenant_id=TENANT,
        connection_id=connection,
        sync_mode=SyncMode.PUSH,
    )
    task.queue(f"exec-{connection}", ring.world.clock.now())
    await ring.world.tasks.create(task)
    return SyncMessage(
        integration_id="crm",
        tenant_id=TENANT,
        connection_id=connection,
        sync_mode=SyncMode.PUSH,
        correlation_id=f"exec-{connection}",
        enqueued_at=ring.world.clock.now(),
        task_id=task.id,
    )
