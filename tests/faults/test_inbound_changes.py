"""What changes between a pull's order and its work: the cursor ends, the task is disabled, the connection is another."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.tasks import TaskStatus
from castiel.ports.messaging import ReceivedMessage
from infra.local.sample import SampleProvider, make_due, plant
from tests.support.app import InProcess, running_services
from tests.support.faults import RECORDS, results

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[InProcess]:
    async with running_services() as running:
        yield running


@asynccontextmanager
async def ordered(
    app: InProcess, integration: str = "salesforce"
) -> AsyncIterator[tuple[SampleProvider, ReceivedMessage]]:
    """A company of its own whose pull is queued: the message, not handled yet."""
    number = next(_numbers)
    entities = (
        {"Contact": "contact"} if integration == "google" else {"Account": "account", "Contact": "contact"}
    )
    records = {"Contact": 20, "Event": 1} if integration == "google" else RECORDS
    sample = SampleProvider(integration, f"ch-{number}", entities, records, tenant=f"tenant-ch-{number}")
    async with app.control(integration) as control:
        await plant(app.services, control, sample)
    yield sample, await queued(app)


async def queued(app: InProcess) -> ReceivedMessage:
    await app.services.scheduler.run()
    [message] = await app.take("sync-inbound")
    return message


async def change(app: InProcess, sample: SampleProvider, how: Callable[[Connection], None]) -> None:
    connection = await app.services.stores.connections.get(sample.tenant, sample.connection_id)
    how(connection)
    await app.services.stores.connections.replace(connection)


async def the_result(app: InProcess, sample: SampleProvider) -> SyncResult:
    [result] = await results(app.services, sample.tenant)
    task = await app.services.stores.tasks.get(sample.tenant, sample.task_id)
    assert task.last_result_id == result.id
    return result


async def test_a_cursor_that_ended_is_a_full_pass_that_misses_and_deletes_nothing(app: InProcess) -> None:
    async with ordered(app, "google") as (sample, message), app.control("google") as control:
        await app.services.inbound_worker.handle(message)
        first = await the_result(app, sample)
        assert first.records_created == len(await control.records("Contact"))
        edited = (await control.records("Contact"))[0]
        await control.edit("Contact", edited["id"], organizations=[{"title": "Pilot"}])
        await control.policy(sync_token_epoch=1)

        await make_due(app.services, sample)
        await app.services.inbound_worker.handle(await queued(app))
        newest, _ = await results(app.services, sample.tenant)
        assert (newest.status, newest.records_updated, newest.records_deleted) == ("success", 1, 0)
        assert newest.records_unchanged == first.records_created - 1
        assert newest.metadata["deletions"]["Contact"]["outcome"] == "nothing"
        key = f"{sample.connection_id}|Contact|{edited['id']}"
        [shard] = await app.services.stores.shards.by_references(sample.tenant, "contact", [key])
        assert shard.fields["title"] == "Pilot"


async def test_a_task_that_was_disabled_is_dropped_and_comes_back_when_it_is_enabled(app: InProcess) -> None:
    async with ordered(app) as (sample, message):
        tasks = app.services.stores.tasks
        task = await tasks.get(sample.tenant, sample.task_id)
        task.enabled = False
        await tasks.replace(task)
        await app.services.inbound_worker.handle(message)
        assert await results(app.services, sample.tenant) == []
        task = await tasks.get(sample.tenant, sample.task_id)
        assert task.status is TaskStatus.PENDING
        assert (await app.services.scheduler.run()).queued == 0

        task.enabled = True
        await tasks.replace(task)
        await app.services.inbound_worker.handle(await queued(app))
        assert (await the_result(app, sample)).status is SyncStatus.SUCCESS


async def test_a_connection_that_was_paused_is_left_alone(app: InProcess) -> None:
    async with ordered(app) as (sample, message):

        def pause(connection: Connection) -> None:
            connection.status = ConnectionStatus.PAUSED

        await change(app, sample, pause)
        await app.services.inbound_worker.handle(message)
        result = await the_result(app, sample)
        assert (result.status, result.error_code) == ("failed", "ConnectionPaused")
        assert await app.services.stores.shards.count(sample.tenant) == 0


async def test_an_entity_that_is_no_longer_pulled_is_passed_by(app: InProcess) -> None:
    async with ordered(app) as (sample, message):

        def without_accounts(connection: Connection) -> None:
            connection.entities = [entity for entity in connection.entities if entity.entity != "Account"]

        await change(app, sample, without_accounts)
        await app.services.inbound_worker.handle(message)
        result = await the_result(app, sample)
        assert (result.status, result.records_created) == ("success", RECORDS["Contact"])
        assert await app.services.stores.shards.count(sample.tenant, "account") == 0


async def test_a_connection_that_is_gone_fails_the_task(app: InProcess) -> None:
    async with ordered(app) as (sample, message):
        connections = app.services.stores.connections
        await connections.delete(await connections.get(sample.tenant, sample.connection_id))
        await app.services.inbound_worker.handle(message)
        result = await the_result(app, sample)
        assert (result.status, result.error_code) == ("failed", "ConnectionPaused")
        assert "gone" in (result.error_message or "")
