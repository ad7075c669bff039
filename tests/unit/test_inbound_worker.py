"""The inbound worker over stores in memory: where its time is up, and what it gives up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, cast

from castiel.adapters.base import ExternalRecord, Page
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.messages import SyncMessage
from castiel.domain.results import SyncResult
from castiel.domain.tasks import SyncMode, SyncTask, TaskStatus
from castiel.errors import ConnectionPaused
from castiel.functions.sync_inbound_worker import SyncInboundWorker
from castiel.ports.messaging import ReceivedMessage
from castiel.ports.stores import ResultStore
from castiel.services.entity_pulls import EntityPulls
from castiel.services.integrations import Integrations
from castiel.services.push_task import PushTaskService
from castiel.services.retries import Retries
from castiel.services.sync_tasks import SyncTaskService
from tests.support.engine import TENANT, World, person
from tests.support.fakes.coordination import MemoryLeases, MemoryQueue
from tests.support.ring import received_of


class Feed:
    """A provider that shows all its people in one page. ``before_page`` runs while that is under way.

    ``cursors``: where it was asked to begin.
    """

    def __init__(self) -> None:
        self.cursors: list[dict[str, Any] | None] = []
        self.people: dict[str, ExternalRecord] = {}
        self.before_page: Callable[[], Awaitable[None]] | None = None

    async def fetch(self, entity: str, cursor: dict[str, Any] | None) -> AsyncIterator[Page]:
        self.cursors.append(cursor)
        people = list(self.people.values())
        if self.before_page is not None:
            await self.before_page()
        yield Page(people, cursor={"done": True}, last=True, full_pass=True)

    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        return {key: self.people[key] for key in external_ids if key in self.people}


class _Reach:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def adapter(self, connection: Connection) -> Feed:
        if connection.status is not ConnectionStatus.ACTIVE:
            raise ConnectionPaused(f"connection {connection.id}: {connection.status.value}")
        return self._feed


class _Results:
    def __init__(self) -> None:
        self.stored: dict[str, SyncResult] = {}

    async def put(self, result: SyncResult) -> None:
        self.stored[result.id] = result


class Inbound:
    """A worker, its task and its queue."""

    def __init__(self, world: World) -> None:
        self.world, self.feed, self.queue, self.results = world, Feed(), MemoryQueue(), _Results()
        leases = MemoryLeases(world.clock)
        self.tasks = SyncTaskService(world.tasks, leases, world.clock, message_ttl=timedelta(hours=1))
        self.worker = SyncInboundWorker(
            self.tasks,
            world.connections,
            cast("Integrations", _Reach(self.feed)),
            world.engine,
            world.guard,
            cast("ResultStore", self.results),
            leases,
            self.queue,
            Retries(world.clock, max_retries=3, base_seconds=1),
            world.events,
            world.clock,
            entity_pulls=EntityPulls(world.tasks, world.connections, world.clock),
            push_tasks=cast("PushTaskService", None),
            lease_seconds=30,
            time_budget_seconds=240,
        )

    async def execution(self) -> ReceivedMessage:
        """The message of a queued pull."""
        task = SyncTask(
            id="task-crm",
            integration_id="crm",
            tenant_id=TENANT,
            connection_id="crm",
            sync_mode=SyncMode.PULL,
        )
        task.queue("exec-1", self.world.clock.now())
        await self.world.tasks.create(task)
        return self.message(correlation_id="exec-1", task_id="task-crm")

    def message(self, **more: Any) -> ReceivedMessage:
        message = SyncMessage(
            integration_id="crm",
            tenant_id=TENANT,
            connection_id="crm",
            sync_mode=SyncMode.PULL,
            enqueued_at=self.world.clock.now(),
            **more,
        )
        return ReceivedMessage(message.to_json_text().encode(), "message-1")

    async def finish(self, message: ReceivedMessage) -> int:
        """Handle a message and its continuations. Returns how many there were."""
        await self.worker.handle(message)
        continuations = 0
        while self.queue.sent:
            await self.worker.handle(received_of(self.queue.sent.pop(0)))
            continuations += 1
        return continuations


def someone(number: int) -> ExternalRecord:
    name = f"{number:05d}"
    return person(name, firstName=f"A{name}", lastName=f"B{name}", email=f"{name}@example.com")


async def inbound_with(people: int) -> Inbound:
    """All are known here and there; nobody has changed for a day."""
    world = World()
    await world.connect("crm")
    inbound = Inbound(world)
    inbound.feed.people = {(record := someone(n)).external_id: record for n in range(people)}
    await world.pull("crm", *inbound.feed.people.values())
    await world.clock.sleep(86_400)
    return inbound


async def test_deleting_what_was_not_seen_stops_when_the_time_is_up_and_goes_on() -> None:
    inbound = await inbound_with(600)
    for number in range(0, 600, 10):
        del inbound.feed.people[f"{number:05d}"]
    late = True

    async def slow() -> None:
        nonlocal late
        if late:
            await inbound.world.clock.sleep(300)
        late = False

    inbound.feed.before_page = slow
    assert await inbound.finish(await inbound.execution()) == 1
    assert len(inbound.world.live()) == 540
    [result] = inbound.results.stored.values()
    assert (result.status, result.records_deleted) == ("success", 60)
    assert (await inbound.world.tasks.get(TENANT, "task-crm")).status is TaskStatus.COMPLETED


async def test_who_came_while_the_first_page_was_under_way_stays() -> None:
    """The provider's answer may be as old as its question."""
    inbound = await inbound_with(10)

    async def slow() -> None:
        await inbound.world.pull("crm", someone(11))
        await inbound.world.clock.sleep(200)

    inbound.feed.before_page = slow
    await inbound.finish(await inbound.execution())
    assert not (await inbound.world.shard("crm", "00011")).deleted


async def test_a_targeted_pull_that_cannot_succeed_is_recorded_with_its_message() -> None:
    inbound = await inbound_with(1)
    connection = await inbound.world.connections.get(TENANT, "crm")
    connection.status = ConnectionStatus.NEEDS_REAUTH
    await inbound.world.connections.replace(connection)
    message = inbound.message(correlation_id="webhook-1", entity="Person", external_ids=["00000"])
    assert await inbound.finish(message) == await inbound.finish(message) == 0
    [result] = inbound.results.stored.values()
    assert (result.status, result.error_code, result.task_id) == ("failed", "ConnectionPaused", None)
    assert result.given_up_message is not None
    assert result.given_up_message["body"]["externalIds"] == ["00000"]


async def test_a_targeted_pull_of_a_connection_that_is_gone_is_dropped() -> None:
    inbound = await inbound_with(1)
    await inbound.world.connections.delete(await inbound.world.connections.get(TENANT, "crm"))
    message = inbound.message(correlation_id="webhook-1", entity="Person", external_ids=["00000"])
    assert await inbound.finish(message) == 0
    assert inbound.results.stored == {}


async def test_a_task_of_a_connection_that_is_gone_fails_for_good_and_says_so() -> None:
    inbound = await inbound_with(1)
    message = await inbound.execution()
    await inbound.world.connections.delete(await inbound.world.connections.get(TENANT, "crm"))
    assert await inbound.finish(message) == await inbound.finish(message) == 0
    [result] = inbound.results.stored.values()
    assert (result.status, result.retryable) == ("failed", False)
    assert "connection crm: it is gone" in (result.error_message or "")
    assert (await inbound.world.tasks.get(TENANT, "task-crm")).status is TaskStatus.FAILED


async def test_a_message_of_a_task_that_went_with_its_connection_is_dropped() -> None:
    inbound = await inbound_with(1)
    message = await inbound.execution()
    await inbound.world.tasks.delete(await inbound.world.tasks.get(TENANT, "task-crm"))
    await inbound.world.connections.delete(await inbound.world.connections.get(TENANT, "crm"))
    assert await inbound.finish(message) == 0
    assert inbound.results.stored == {}


async def test_a_pull_of_an_entity_whose_connection_is_gone_is_dropped_and_makes_no_task() -> None:
    inbound = await inbound_with(1)
    await inbound.world.connections.delete(await inbound.world.connections.get(TENANT, "crm"))
    assert await inbound.finish(inbound.message(correlation_id="webhook-1", entity="Person")) == 0
    assert (inbound.results.stored, inbound.world.tasks.all()) == ({}, [])


async def test_an_entity_that_becomes_another_type_begins_anew_and_goes_on_from_there() -> None:
    inbound = await inbound_with(3)
    world = inbound.world
    await inbound.finish(await inbound.execution())

    async def again(execution: str) -> None:
        task = await world.tasks.get(TENANT, "task-crm")
        task.queue(execution, world.clock.now())
        await world.tasks.replace(task)
        await inbound.finish(inbound.message(correlation_id=execution, task_id=task.id))
        assert inbound.results.stored[f"result-{execution}"].status == "success"

    await again("exec-2")
    connection = await world.connections.get(TENANT, "crm")
    connection.entities = [connection.entities[0].model_copy(update={"shard_type": "person"})]
    await world.connections.replace(connection)
    await again("exec-3")
    await again("exec-4")
    assert inbound.feed.cursors == [None, {"done": True}, None, {"done": True}]
    assert (len(world.live("person")), len(world.live("contact"))) == (3, 3)
