"""The main job, end to end: the functions host as a process over the local stack, the genuine SDKs in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from castiel.domain.results import SyncResult
from castiel.domain.tasks import SyncTask, TaskStatus
from infra.local import steps
from infra.local.sample import SALESFORCE, TENANT, make_due, plant
from infra.local.session import Session, until
from tests.support.app import running_app

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
async def app() -> AsyncIterator[Session]:
    async with running_app(settings={"SYNC_LEASE_SECONDS": "3"}) as running:
        async with running.control("salesforce") as control:
            await plant(running.services, control)
        yield running


async def run_once(app: Session) -> tuple[SyncTask, SyncResult]:
    task = await steps.schedule(app)
    result = await steps.pull_result(app, task.execution_id or "")
    return await steps.finished_task(app), result


async def results(app: Session) -> list[SyncResult]:
    since = datetime.now(UTC) - timedelta(hours=1)
    stored = app.services.stores.results.of_tenant(TENANT, since)
    return [result async for result in stored if isinstance(result, SyncResult)]


async def newest_stamp(app: Session, entity: str) -> str:
    async with app.control("salesforce") as control:
        return max(record["SystemModstamp"] for record in await control.records(entity))


async def test_a_due_task_pulls_every_record_and_the_next_run_only_what_changed(app: Session) -> None:
    task, result = await run_once(app)

    assert task.status is TaskStatus.COMPLETED
    assert (result.status, result.records_processed, result.records_created) == ("success", 250, 250)
    assert await app.services.stores.shards.count(TENANT) == 250
    for entity in SALESFORCE.entities:
        cursor = task.checkpoints[entity].cursor or {}
        assert cursor["modstamp"] == await newest_stamp(app, entity)

    async with app.control("salesforce") as control:
        record = (await control.records("Contact", limit=1))[0]
        await control.edit("Contact", record["Id"], Title="Treasurer")
    await make_due(app.services)
    task, result = await run_once(app)

    assert (result.records_processed, result.records_updated, result.records_created) == (1, 1, 0)
    assert result.metadata["shardsWritten"] == 1
    key = f"{SALESFORCE.connection_id}|Contact|{record['Id']}"
    [shard] = await app.services.stores.shards.by_references(TENANT, "contact", [key])
    assert shard.fields["title"] == "Treasurer"
    assert await app.services.stores.shards.count(TENANT) == 250


async def test_a_host_killed_in_the_middle_of_the_pull_loses_and_repeats_nothing(app: Session) -> None:
    async with app.control("salesforce") as control:
        # The second entity's records are slow to come: the kill falls between two stored pages.
        await control.fault("slow", path="query.*Contact", delay_ms=5000, times=1)
    task = await steps.schedule(app)

    async def accounts_stored() -> bool:
        current = await app.services.stores.tasks.get(TENANT, task.id)
        return current.checkpoints["Account"].cursor is not None

    await until(accounts_stored, "the first entity is stored")
    await asyncio.to_thread(app.host.kill)
    assert (await app.services.stores.tasks.get(TENANT, task.id)).status is TaskStatus.PROCESSING
    await asyncio.to_thread(app.host.start)

    result = await steps.pull_result(app, task.execution_id or "")
    done = await steps.finished_task(app)
    assert done.status is TaskStatus.COMPLETED
    assert (result.records_processed, result.records_created) == (250, 250)
    assert await app.services.stores.shards.count(TENANT) == 250
    assert [r.id for r in await results(app)] == [result.id]


async def test_two_schedulers_at_once_queue_a_task_once(app: Session) -> None:
    await asyncio.gather(app.run_timer("SyncScheduler"), app.services.scheduler.run())
    await steps.finished_task(app)
    assert len(await results(app)) == 1
