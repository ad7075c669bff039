"""Thousands of due tasks, two schedulers at once, over the local stack: each is queued exactly once, in order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from castiel.domain.tasks import Priority, Schedule, SyncMode, SyncTask, TaskStatus
from castiel.errors import QueueUnavailable
from castiel.functions.sync_scheduler import SchedulerRun
from tests.support.app import InProcess, running_services

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PRIORITIES = (Priority.LOW, Priority.NORMAL, Priority.HIGH)


@pytest.fixture
async def app() -> AsyncIterator[InProcess]:
    async with running_services() as running:
        yield running


def task(number: int, **more: object) -> SyncTask:
    return SyncTask(
        id=f"task-{number}",
        tenant_id=f"tenant-{number % 7}",
        integration_id="salesforce",
        connection_id=f"conn-{number}",
        sync_mode=SyncMode.PULL,
        priority=PRIORITIES[number % 3],
        **more,  # type: ignore[arg-type]
    )


async def plant(app: InProcess, tasks: list[SyncTask]) -> None:
    for start in range(0, len(tasks), 50):
        await asyncio.gather(*map(app.services.stores.tasks.create, tasks[start : start + 50]))


async def stored(app: InProcess, number: int) -> SyncTask:
    return await app.services.stores.tasks.get(f"tenant-{number % 7}", f"task-{number}")


async def test_two_thousand_tasks_and_two_schedulers(app: InProcess) -> None:
    count = 2000
    past = datetime.now(UTC) - timedelta(minutes=1)
    due = [
        task(n, status=TaskStatus.COMPLETED, next_scheduled=past, schedule=Schedule(interval_seconds=60))
        if n % 2
        else task(n)
        for n in range(count)
    ]
    future = datetime.now(UTC) + timedelta(hours=1)
    not_due = [
        task(count, enabled=False),
        task(count + 1, status=TaskStatus.COMPLETED, next_scheduled=future),
        task(count + 2, status=TaskStatus.FAILED),
    ]
    await plant(app, [*due, *not_due])

    started = time.perf_counter()
    runs = await asyncio.gather(app.services.scheduler.run(), app.services.scheduler.run())
    seconds = time.perf_counter() - started

    assert sum(run.queued for run in runs) == count
    assert {run.disabled for run in runs} == {1}
    messages = await app.take("sync-inbound", count + 1, wait=3)
    bodies = [json.loads(message.body) for message in messages]
    assert sorted(body["taskId"] for body in bodies) == sorted(each.id for each in due)
    assert seconds < 60
    # Each execution announced is the one the task is in.
    by_task = {body["taskId"]: body["correlationId"] for body in bodies}
    for number in (0, 1, count - 1):
        found = await stored(app, number)
        assert (found.status, found.execution_id) == (TaskStatus.QUEUED, by_task[found.id])
    assert (await stored(app, count)).status is TaskStatus.PENDING
    assert await app.services.scheduler.run() == SchedulerRun(disabled=1)


async def test_the_urgent_come_first(app: InProcess) -> None:
    await plant(app, [task(n) for n in range(250)])
    await app.services.scheduler.run()
    messages = await app.take("sync-inbound", 250, wait=3)
    order = [PRIORITIES.index(Priority(json.loads(message.body)["priority"])) for message in messages]
    assert order == sorted(order, reverse=True)


async def test_each_mode_has_its_queue(app: InProcess) -> None:
    modes = (SyncMode.PULL, SyncMode.PUSH, SyncMode.BIDIRECTIONAL)
    await plant(app, [task(n).model_copy(update={"sync_mode": modes[n % 3]}) for n in range(30)])
    assert (await app.services.scheduler.run()).queued == 30
    assert len(await app.take("sync-inbound", 20, wait=3)) == 20
    assert len(await app.take("sync-outbound", 10, wait=3)) == 10


async def test_a_queue_that_is_gone_gives_every_claim_back(app: InProcess) -> None:
    await plant(app, [task(n) for n in range(150)])
    await asyncio.to_thread(app.stack.servers["servicebus"].stop)
    with pytest.raises(QueueUnavailable):
        await app.services.scheduler.run()
    states = [await stored(app, n) for n in range(150)]
    assert {(each.status, each.execution_id) for each in states} == {(TaskStatus.PENDING, None)}
