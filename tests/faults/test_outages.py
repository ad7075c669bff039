"""Redis, Service Bus, Cosmos DB or the provider is cut off and comes back, in the middle of a pull and of a push."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
import pytest_asyncio

from castiel.domain.tasks import SyncTask, TaskStatus
from infra.local import steps
from infra.local.session import Session, until
from tests.support.app import running_app
from tests.support.faults import (
    company,
    expect_each_pushed_once,
    expect_everything_once,
    new_people,
    push_results,
    waiting_messages,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.leaves_connections,
]

SERVERS = ("redis", "servicebus", "cosmos", "sandbox")
SETTINGS = {
    "SYNC_LEASE_SECONDS": "2",
    "SYNC_BATCH_SIZE": "20",
    "SYNC_RETRY_BASE_SECONDS": "0.5",
    "SYNC_MAX_RETRIES": "8",
    "PROVIDER_TIMEOUT_SECONDS": "5",
}
NEW_PEOPLE = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[Session]:
    async with running_app(settings=SETTINGS, lock=timedelta(seconds=2), durable=True) as running:
        yield running


async def cut_off(app: Session, server: str, noticed: Callable[[], Awaitable[bool]]) -> None:
    """The server is gone until the app has noticed it."""
    await asyncio.to_thread(app.stack.kill, server)
    try:
        await until(noticed, f"the app notices that {server} is gone")
    finally:
        await asyncio.to_thread(app.stack.start, server)


@pytest.mark.parametrize("server", SERVERS)
async def test_gone_in_the_middle_of_a_pull(app: Session, server: str) -> None:
    async with company(app) as sample, app.control("salesforce") as control:
        # Long enough for a lease to be lost, if nobody can be asked to renew it.
        await control.fault("slow", path="query.*FROM.*Contact", delay_ms=3000, times=1)
        task = await steps.schedule(app, sample)
        await until(lambda: first_entity_is_done(app, task), "the first entity is done")

        async def noticed() -> bool:
            if server == "servicebus":
                stored = await app.services.stores.tasks.get(sample.tenant, task.id)
                return stored.status is TaskStatus.COMPLETED
            return any("#" in message for message in await waiting_messages(app.services, "sync-inbound"))

        await cut_off(app, server, noticed)
        await expect_everything_once(app, sample, task)


async def first_entity_is_done(app: Session, task: SyncTask) -> bool:
    current = await app.services.stores.tasks.get(task.tenant_id, task.id)
    return "Account" in (current.progress.entities_done if current.progress else [])


@pytest.mark.parametrize("server", SERVERS)
async def test_gone_in_the_middle_of_a_push(app: Session, server: str) -> None:
    async with company(app) as sample, app.control("salesforce") as control:
        slow = await control.fault("slow", path="composite/sobjects", delay_ms=800, times=1)
        before = (await control.counts())["Contact"]["live"]
        shards = await new_people(app, sample, NEW_PEOPLE)

        async def pushing() -> bool:
            return any(fault["id"] == slow and fault["hits"] for fault in await control.faults())

        async def noticed() -> bool:
            if server == "servicebus":
                return len(await push_results(app.services, sample.tenant)) > 0
            return any("#" in message for message in await waiting_messages(app.services, "sync-outbound"))

        await until(pushing, "the worker pushes")
        await cut_off(app, server, noticed)
        await expect_each_pushed_once(app, control, shards, before)
