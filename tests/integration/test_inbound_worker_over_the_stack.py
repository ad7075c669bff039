"""The inbound worker where things meet: two workers, a lost lease, a message twice, and what a full pass didn't see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from castiel.domain.parked import ParkedKind
from castiel.domain.results import SyncResult
from castiel.domain.tasks import TaskStatus
from castiel.ports.clock import SystemClock
from castiel.ports.messaging import ReceivedMessage
from infra.local.sample import OTHERS, SALESFORCE, SECOND_TENANT, TENANT, SampleProvider, make_due, plant
from infra.local.session import until
from tests.support.app import InProcess, running_services

pytestmark = [pytest.mark.stack, pytest.mark.slow]

GOOGLE = next(sample for sample in OTHERS if sample.integration_id == "google")


class ShiftedClock(SystemClock):
    """The machine's clock, moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture
async def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def app(clock: ShiftedClock) -> AsyncIterator[InProcess]:
    settings = {"SYNC_LEASE_SECONDS": "1"}
    async with running_services(settings=settings, clock=clock) as running:
        yield running


async def planted(app: InProcess, sample: SampleProvider = SALESFORCE) -> ReceivedMessage:
    async with app.control(sample.integration_id) as control:
        await plant(app.services, control, sample)
    return await scheduled(app)


async def scheduled(app: InProcess) -> ReceivedMessage:
    await app.services.scheduler.run()
    [message] = await app.take("sync-inbound")
    return message


async def results(app: InProcess, tenant: str = TENANT) -> list[SyncResult]:
    since = datetime.now(UTC) - timedelta(hours=1)
    stored = app.services.stores.results.of_tenant(tenant, since)
    return [result async for result in stored if isinstance(result, SyncResult)]


async def drain(app: InProcess) -> int:
    """Handle what was put back, until nothing is."""
    handled = 0
    while messages := await app.take("sync-inbound", wait=4):
        await app.services.inbound_worker.handle(messages[0])
        handled += 1
    return handled


async def is_complete(app: InProcess) -> None:
    [result] = await results(app)
    assert (result.status, result.records_processed, result.records_created) == ("success", 250, 250)
    assert await app.services.stores.shards.count(TENANT) == 250
    task = await app.services.stores.tasks.get(TENANT, SALESFORCE.task_id)
    assert task.status is TaskStatus.COMPLETED


async def test_of_two_workers_on_one_connection_one_works_and_the_other_comes_back(app: InProcess) -> None:
    message = await planted(app)
    worker = app.services.inbound_worker
    await asyncio.gather(worker.handle(message), worker.handle(message))
    assert await drain(app) == 1
    await is_complete(app)


async def test_a_message_that_comes_late_again_changes_nothing(app: InProcess) -> None:
    message = await planted(app)
    await app.services.inbound_worker.handle(message)
    await is_complete(app)
    [before] = await results(app)
    await app.services.inbound_worker.handle(message)
    assert await drain(app) == 0
    assert await results(app) == [before]


async def test_a_worker_that_lost_its_lease_stops_and_another_goes_on(app: InProcess) -> None:
    message = await planted(app)
    async with app.control() as control:
        await control.fault("slow", path="query.*Contact", delay_ms=2500, times=1)
    working = asyncio.create_task(app.services.inbound_worker.handle(message))

    async def first_entity_stored() -> bool:
        task = await app.services.stores.tasks.get(TENANT, SALESFORCE.task_id)
        return task.checkpoints["Account"].cursor is not None

    await until(first_entity_stored, "the first entity is stored")
    redis = app.services.clients.redis
    lease = f"castiel:lease:{{connection:{TENANT}:{SALESFORCE.connection_id}}}"
    await redis.set(lease, "another worker", px=3000)
    await working
    assert await app.services.stores.shards.count(TENANT) == 100
    assert not await results(app)
    assert await drain(app) >= 1
    await is_complete(app)


async def test_two_contacts_gone_from_a_full_pass_are_gone_here(app: InProcess, clock: ShiftedClock) -> None:
    await app.services.inbound_worker.handle(await planted(app, GOOGLE))
    count = app.services.stores.shards.count
    assert await count(SECOND_TENANT, "contact") == 60
    await delete_and_forget(app, clock, 2)
    await app.services.inbound_worker.handle(await scheduled(app))

    newest = (await results(app, SECOND_TENANT))[0]
    told = {"outcome": "deleted", "known": 60, "unseen": 2, "deleted": 2}
    assert newest.metadata["deletions"]["Contact"] == told
    assert newest.records_deleted == 2
    assert await count(SECOND_TENANT, "contact") == 58


async def test_half_of_the_contacts_gone_is_a_persons_to_confirm(app: InProcess, clock: ShiftedClock) -> None:
    await app.services.inbound_worker.handle(await planted(app, GOOGLE))
    await delete_and_forget(app, clock, 30)
    await app.services.inbound_worker.handle(await scheduled(app))

    count = app.services.stores.shards.count
    assert await count(SECOND_TENANT, "contact") == 60
    newest = (await results(app, SECOND_TENANT))[0]
    assert newest.status == "success"
    assert newest.metadata["deletions"]["Contact"]["outcome"] == "needsConfirmation"
    [note] = [parked async for parked in app.services.conflicts.parked(SECOND_TENANT)]
    assert (note.kind, note.known, note.unseen) == (ParkedKind.DELETIONS, 60, 30)

    await app.services.deletions.confirm(SECOND_TENANT, note.id, correlation_id="by-hand")
    assert await count(SECOND_TENANT, "contact") == 30
    assert [parked async for parked in app.services.conflicts.parked(SECOND_TENANT)] == []


async def delete_and_forget(app: InProcess, clock: ShiftedClock, how_many: int) -> None:
    """Records are deleted, and the cursor is lost: only a full pass can tell."""
    async with app.control("google") as control:
        for record in (await control.records("Contact"))[:how_many]:
            await control.delete("Contact", record["id"])
    clock.ahead += timedelta(minutes=5)
    await make_due(app.services, GOOGLE)
    task = await app.services.stores.tasks.get(SECOND_TENANT, GOOGLE.task_id)
    task.checkpoints = {}
    await app.services.stores.tasks.replace(task)


async def test_a_pull_told_to_come_back_in_hours_is_not_begun_again(
    app: InProcess, clock: ShiftedClock
) -> None:
    message = await planted(app)
    async with app.control("salesforce") as control:
        await control.fault("status", status=429, path="query", retry_after=3 * 3600, times=1)
    begun = datetime.now(UTC)
    await app.services.inbound_worker.handle(message)
    task = await app.services.stores.tasks.get(TENANT, SALESFORCE.task_id)
    assert task.status is TaskStatus.PROCESSING
    assert task.resumes_at is not None
    assert task.resumes_at >= begun + timedelta(hours=3) - timedelta(seconds=1)
    for hours in (1, 2, 3):
        clock.ahead = timedelta(hours=hours)
        run = await app.services.scheduler.run()
        assert (run.repaired, run.queued) == (0, 0)
    clock.ahead = timedelta(hours=3, minutes=25)
    run = await app.services.scheduler.run()
    assert (run.repaired, run.queued) == (1, 1), "its continuation should have come 25 minutes ago"
