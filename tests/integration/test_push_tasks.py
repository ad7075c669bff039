"""Scheduled push tasks: what changed here since the last push is announced, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from castiel.domain.connections import ConnectionStatus
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.shards import Shard
from castiel.domain.tasks import SyncMode, SyncTask, TaskStatus
from castiel.ports.clock import SystemClock
from castiel.services.push_task import PushTaskService
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
        await make_due(self.stack.services, self.sample)
        await self.stack.services.scheduler.run()
        [message] = await self.stack.take(OUTBOUND)
        assert json.loads(message.body)["taskId"] == self.sample.task_id
        await self.stack.services.outbound_worker.handle([message])
        return await self.task()

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
    """Its second half, by itself: what the inbound worker calls after the pull."""
    sample = sample_of("both", SyncMode.BIDIRECTIONAL)
    await plant(stack.services, control, sample)
    company = Company(stack, sample)
    await make_due(stack.services, sample)
    await stack.services.scheduler.run()
    [message] = await stack.take("sync-inbound")
    await stack.services.inbound_worker.handle(message)
    assert await company.announced() == {}
    async with company:
        await company.create("FromHere")

    services = stack.services
    push_tasks = PushTaskService(
        services.tasks,
        services.stores.connections,
        services.stores.shards,
        services.outbox,
        services.stores.results,
        services.leases,
        SystemClock(),
    )
    connection = await services.stores.connections.get(sample.tenant, sample.connection_id)
    task = await push_tasks.announce_changed(await company.task(), connection, "both-1")
    assert await company.announced() == {"create": 1}
    assert "FromHere" in await names(control)
    await push_tasks.announce_changed(task, connection, "both-2")
    assert await company.announced() == {}
