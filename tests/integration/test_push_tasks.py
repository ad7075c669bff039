"""Scheduled push tasks: what changed here since the last push is announced, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from castiel.bootstrap import build
from castiel.domain.connections import ConnectionStatus
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.shards import LOCAL, Shard
from castiel.domain.tasks import SyncMode, SyncTask, TaskStatus
from castiel.ports.messaging import ReceivedMessage
from castiel.services.push_task import PAGE
from infra.local.sample import SampleProvider, make_due, plant
from infra.local.sandbox.client import SandboxControl
from tests.support.app import InProcess, running_services

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

OUTBOUND = "sync-outbound"


def sample_of(name: str, mode: SyncMode) -> SampleProvider:
    return SampleProvider(
        "salesforce", name, {"Contact": "contact"}, {"Contact": 5}, sync_mode=mode, tenant=f"tenant-{name}"
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[InProcess]:
    async with running_services() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def control(stack: InProcess) -> AsyncIterator[SandboxControl]:
    async with stack.control() as control:
        yield control


class Company:
    """One tenant, whose connection can be paused while its contacts change."""

    def __init__(self, stack: InProcess, sample: SampleProvider) -> None:
        self.stack = stack
        self.sample = sample
        self.changes = stack.services.local_changes

    async def set_status(self, status: ConnectionStatus) -> None:
        connections = self.stack.services.stores.connections
        connection = await connections.get(self.sample.tenant, self.sample.connection_id)
        connection.status = status
        await connections.replace(connection)

    async def __aenter__(self) -> Company:
        await self.set_status(ConnectionStatus.PAUSED)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.set_status(ConnectionStatus.ACTIVE)

    async def create(self, name: str) -> Shard:
        fields = {"firstName": "Ada", "lastName": name}
        return await self.changes.create(self.sample.tenant, "contact", fields, correlation_id=f"new-{name}")

    async def update(self, shard: Shard, **fields: Any) -> None:
        await self.changes.update(self.sample.tenant, shard.id, fields, correlation_id="changed")

    async def delete(self, shard: Shard) -> None:
        await self.changes.delete(self.sample.tenant, shard.id, correlation_id="deleted")

    async def run_task(self) -> SyncTask:
        """The scheduler queues the task, the worker runs it."""
        message = await self.queued_task()
        await self.stack.services.outbound_worker.handle([message])
        return await self.task()

    async def queued_task(self) -> ReceivedMessage:
        """The message by which the scheduler queues the task."""
        await make_due(self.stack.services, self.sample)
        await self.stack.services.scheduler.run()
        [message] = await self.stack.take(OUTBOUND)
        assert json.loads(message.body)["taskId"] == self.sample.task_id
        return message

    async def task(self) -> SyncTask:
        return await self.stack.services.stores.tasks.get(self.sample.tenant, self.sample.task_id)

    async def announced(self) -> Counter[str]:
        """Handle what is announced; returns how often which operation."""
        messages = await self.stack.take(OUTBOUND, 100, wait=1.5)
        if messages:
            await self.stack.services.outbound_worker.handle(messages)
        return Counter(json.loads(message.body)["operation"] for message in messages)

    async def result(self, task: SyncTask) -> SyncResult:
        since = datetime.now(UTC) - timedelta(hours=1)
        stored = self.stack.services.stores.results.of_tenant(self.sample.tenant, since)
        [found] = [r async for r in stored if isinstance(r, SyncResult) and r.id == task.last_result_id]
        return found


async def names(control: SandboxControl) -> dict[str, str | None]:
    return {record["LastName"]: record["Title"] for record in await control.records("Contact")}


async def test_a_push_task_announces_what_changed_since_its_last_run(
    stack: InProcess, control: SandboxControl
) -> None:
    sample = sample_of("push", SyncMode.PUSH)
    await plant(stack.services, control, sample)
    company = Company(stack, sample)
    async with company:
        kept, changed, removed = [await company.create(n) for n in ("Kept", "Changed", "Removed")]
    assert await company.announced() == {}

    task = await company.run_task()
    assert task.status is TaskStatus.COMPLETED
    assert (await company.result(task)).records_processed == 3
    assert await company.announced() == {"create": 3}
    assert {"Kept", "Changed", "Removed"} <= (await names(control)).keys()

    async with company:
        await company.update(changed, title="Clerk")
        await company.delete(removed)
        await company.create("Added")
    task = await company.run_task()
    result = await company.result(task)
    assert (result.status, result.records_processed) == (SyncStatus.SUCCESS, 3)
    assert await company.announced() == {"create": 1, "update": 1, "delete": 1}
    there = await names(control)
    assert there["Changed"] == "Clerk"
    assert "Removed" not in there
    assert "Added" in there
    assert kept.id

    task = await company.run_task()
    assert (await company.result(task)).records_processed == 0
    assert await company.announced() == {}


async def test_a_bidirectional_task_announces_what_changed_here_too(
    stack: InProcess, control: SandboxControl
) -> None:
    sample = sample_of("both", SyncMode.BIDIRECTIONAL)
    await plant(stack.services, control, sample)
    company = Company(stack, sample)

    async def run() -> SyncResult:
        await make_due(stack.services, sample)
        await stack.services.scheduler.run()
        [message] = await stack.take("sync-inbound")
        await stack.services.inbound_worker.handle(message)
        return await company.result(await company.task())

    result = await run()
    assert result.records_created >= 5
    assert result.metadata.get("announced") is None
    assert await company.announced() == {}
    async with company:
        shard = await company.create("FromHere")
        # A field that this connection doesn't carry is nothing to tell it.
        pulled = [s async for s in stack.services.stores.shards.changed_since(sample.tenant, "contact", None)]
        await company.update(next(s for s in pulled if s.id != shard.id), shoeSize=44)
    result = await run()
    assert (result.status, result.metadata["announced"]) == (SyncStatus.SUCCESS, 1)
    assert await company.announced() == {"create": 1}
    assert "FromHere" in await names(control)
    assert (await run()).metadata.get("announced") is None
    assert await company.announced() == {}


def local_shard(tenant: str, number: int, moment: datetime) -> Shard:
    shard = Shard(
        id=f"contact-many{number}",
        tenant_id=tenant,
        shard_type="contact",
        created_at=moment,
        updated_at=moment,
    )
    shard.set_fields({"lastName": f"Many{number}"}, LOCAL, moment, "new")
    return shard


async def test_a_sweep_that_takes_too_long_goes_on_by_another_message(
    stack: InProcess, control: SandboxControl
) -> None:
    sample = sample_of("long", SyncMode.PUSH)
    await plant(stack.services, control, sample)
    company, now, count = Company(stack, sample), datetime.now(UTC), 2 * PAGE + 50
    # More than a page of one moment's: a continuation must get past them.
    shards = [
        local_shard(sample.tenant, n, now + timedelta(milliseconds=0 if n < PAGE + 20 else n))
        for n in range(count)
    ]
    assert not [o.error for o in await stack.services.stores.shards.save(shards) if o.error]
    hurried = build(stack.services.settings.model_copy(update={"sync_time_budget_seconds": 0.0}))
    await make_due(stack.services, sample)
    await stack.services.scheduler.run()
    tasks, announced = 0, Counter[str]()
    try:
        while (await company.task()).status is not TaskStatus.COMPLETED:
            for message in await stack.take(OUTBOUND, 2 * PAGE, wait=1.5):
                body = json.loads(message.body)
                if "taskId" in body:
                    tasks += 1
                    assert tasks < 5
                    await hurried.outbound_worker.handle([message])
                else:
                    announced[body["entityId"]] += 1
    finally:
        await hurried.aclose()
    for message in await stack.take(OUTBOUND, 2 * PAGE, wait=1.5):
        announced[json.loads(message.body)["entityId"]] += 1
    assert announced.keys() == {shard.id for shard in shards}
    assert tasks == 3
    result = await company.result(await company.task())
    assert result.records_processed == announced.total() < count + 2 * PAGE


async def test_a_connection_that_waits_for_a_person_is_not_swept(
    stack: InProcess, control: SandboxControl
) -> None:
    sample = sample_of("waiting", SyncMode.PUSH)
    await plant(stack.services, control, sample)
    company = Company(stack, sample)
    async with company:
        await company.create("Waiting")
    message = await company.queued_task()
    await company.set_status(ConnectionStatus.NEEDS_REAUTH)
    await stack.services.outbound_worker.handle([message])
    task = await company.task()
    assert (task.status, (await company.result(task)).error_code) == (TaskStatus.FAILED, "ConnectionPaused")
    await make_due(stack.services, sample)
    run = await stack.services.scheduler.run()
    assert (run.queued, run.paused) == (0, 1)
    assert await company.announced() == {}
    await company.set_status(ConnectionStatus.ACTIVE)
    await company.run_task()
    assert await company.announced() == {"create": 1}
