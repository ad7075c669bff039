"""The functions host is killed (SIGKILL) at each step of a pull. After it comes back: every record once, one result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from infra.local import steps
from infra.local.session import Session, until
from tests.support.app import running_app
from tests.support.faults import company, database_faults, expect_everything_once, topic_faults

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

# Where the worker is when it dies: the request to Cosmos DB that it waits for. A task is written by the scheduler's
# claim, by the worker's begin, and then by each page's checkpoint.
STEPS: dict[str, dict[str, Any]] = {
    "after half a batch of the page": {"path": "colls/shards", "batch": True, "skip": 1},
    "before the checkpoint": {"path": "colls/sync-tasks", "method": "PUT", "skip": 2},
    "before the second entity's checkpoint": {"path": "colls/sync-tasks", "method": "PUT", "skip": 4},
    "before the result": {"path": "colls/sync-results"},
}
LOST = {"delayMs": 1500, "status": 503}
"""The request never takes effect."""
LATE = {"delayMs": 1500}
"""The request takes effect after the worker is dead."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[Session]:
    settings = {"SYNC_LEASE_SECONDS": "2", "SYNC_BATCH_SIZE": "20"}
    async with running_app(settings=settings, lock=timedelta(seconds=2)) as running:
        yield running


async def die_and_come_back(app: Session) -> None:
    await asyncio.to_thread(app.host.kill)
    await asyncio.to_thread(app.host.start)


@pytest.mark.parametrize("outcome", [LOST, LATE], ids=["lost", "late"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
async def test_killed_in_a_write(app: Session, step: dict[str, Any], outcome: dict[str, Any]) -> None:
    faults = database_faults(app.services)
    async with company(app) as sample:
        await faults.order(**step, **outcome)
        task = await steps.schedule(app, sample)
        await until(faults.met, "the worker reaches the step")
        await die_and_come_back(app)
        await expect_everything_once(app, sample, task)


async def test_killed_after_the_fetch(app: Session) -> None:
    """The page is there, and the worker has begun to look for its records' shards."""
    faults = database_faults(app.services)
    async with company(app) as sample:
        await faults.order(path="colls/shards", batch=False, delayMs=1500)
        task = await steps.schedule(app, sample)
        await until(faults.met, "the worker looks for the page's shards")
        await die_and_come_back(app)
        await expect_everything_once(app, sample, task)


@pytest.mark.parametrize("outcome", [LOST, LATE], ids=["lost", "late"])
async def test_killed_while_the_task_is_ended(app: Session, outcome: dict[str, Any]) -> None:
    faults = database_faults(app.services)
    async with company(app) as sample:
        await faults.order(path="colls/sync-results", delayMs=1500)
        task = await steps.schedule(app, sample)
        await until(faults.met, "the worker writes its result")
        await faults.order(path="colls/sync-tasks", method="PUT", **outcome)
        await until(faults.met, "the worker ends the task")
        await die_and_come_back(app)
        await expect_everything_once(app, sample, task)


async def test_killed_before_the_message_is_completed(app: Session) -> None:
    """All is stored; what is left is to tell, and to complete the message, which comes again."""
    faults = topic_faults(app.services)
    async with company(app) as sample:
        await faults.order(status=503, delay=1.5, path="/api")
        task = await steps.schedule(app, sample)
        await until(faults.met, "the worker tells that the pull is complete")
        await die_and_come_back(app)
        await expect_everything_once(app, sample, task)
        await queue_is_empty(app)


async def queue_is_empty(app: Session) -> None:
    async def empty() -> bool:
        receiver = app.services.clients.service_bus.get_queue_receiver("sync-inbound")
        async with receiver:
            return not await receiver.peek_messages(max_message_count=1, sequence_number=1)

    await until(empty, "the message that came again is completed")
