"""The functions host is killed (SIGKILL) at each step of a pull. After it comes back: every record once, one result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from castiel.domain.results import SyncResult
from castiel.domain.tasks import TaskStatus
from infra.local import steps
from infra.local.sample import SALESFORCE, TENANT, plant
from infra.local.session import Session, until
from tests.support.app import running_app

pytestmark = [pytest.mark.stack, pytest.mark.slow]

# Where the worker is when it dies: the request to Cosmos DB that it waits for.
STEPS: dict[str, dict[str, Any]] = {
    "while a batch is saved": {"path": "colls/shards", "method": "POST"},
    "while the result is written": {"path": "colls/sync-results"},
}
LOST = {"delayMs": 1500, "status": 503}
"""The request never takes effect."""
LATE = {"delayMs": 1500}
"""The request takes effect after the worker is dead."""


@pytest.fixture
async def app() -> AsyncIterator[Session]:
    async with running_app(settings={"SYNC_LEASE_SECONDS": "2"}, lock=timedelta(seconds=2)) as running:
        async with running.control("salesforce") as control:
            await plant(running.services, control)
        yield running


class CosmosFaults:
    """The emulator's orders."""

    def __init__(self, app: Session) -> None:
        self._url = app.services.settings.cosmos_endpoint.rstrip("/") + "/_faults"

    async def order(self, **fault: Any) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.post(self._url, json=fault)).raise_for_status()

    async def met(self) -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = (await client.get(self._url)).json()
        left = answer["faults"] if isinstance(answer, dict) else answer
        return not left


async def die_and_come_back(app: Session) -> None:
    await asyncio.to_thread(app.host.kill)
    await asyncio.to_thread(app.host.start)


async def expect_everything_once(app: Session, execution_id: str) -> None:
    result = await steps.pull_result(app, execution_id)
    task = await steps.finished_task(app)
    assert task.status is TaskStatus.COMPLETED
    assert task.last_result_id == result.id
    assert (result.status, result.records_processed, result.records_created) == ("success", 250, 250)
    assert await app.services.stores.shards.count(TENANT) == 250
    since = datetime.now(UTC) - timedelta(hours=1)
    stored = [
        r async for r in app.services.stores.results.of_tenant(TENANT, since) if isinstance(r, SyncResult)
    ]
    assert [r.id for r in stored] == [result.id]
    async with app.control("salesforce") as control:
        for entity, shard_type in SALESFORCE.entities.items():
            records = {record["Id"] for record in await control.records(entity)}
            shards = app.services.stores.shards.changed_since(TENANT, shard_type, None)
            assert {shard.references[0].external_id async for shard in shards} == records


@pytest.mark.parametrize("outcome", [LOST, LATE], ids=["lost", "late"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
async def test_killed_in_a_write(app: Session, step: dict[str, Any], outcome: dict[str, Any]) -> None:
    faults = CosmosFaults(app)
    await faults.order(**step, **outcome)
    task = await steps.schedule(app)
    await until(faults.met, "the worker reaches the step")
    await die_and_come_back(app)
    await expect_everything_once(app, task.execution_id or "")


@pytest.mark.parametrize("outcome", [LOST, LATE], ids=["lost", "late"])
async def test_killed_while_the_checkpoint_is_saved(app: Session, outcome: dict[str, Any]) -> None:
    faults = CosmosFaults(app)
    async with app.control("salesforce") as control:
        # The second entity's page is slow to come, so the order is in place before its checkpoint is saved.
        await control.fault("slow", path="query.*FROM.*Contact", delay_ms=1500, times=1)
        task = await steps.schedule(app)

        async def first_entity_is_done() -> bool:
            current = await app.services.stores.tasks.get(TENANT, task.id)
            return "Account" in (current.progress.entities_done if current.progress else [])

        await until(first_entity_is_done, "the first entity is done")
        await faults.order(path="colls/sync-tasks", method="PUT", **outcome)
    await until(faults.met, "the worker saves a checkpoint")
    await die_and_come_back(app)
    await expect_everything_once(app, task.execution_id or "")


@pytest.mark.parametrize("outcome", [LOST, LATE], ids=["lost", "late"])
async def test_killed_while_the_task_is_ended(app: Session, outcome: dict[str, Any]) -> None:
    faults = CosmosFaults(app)
    await faults.order(path="colls/sync-results", delayMs=1500)
    task = await steps.schedule(app)
    await until(faults.met, "the worker writes its result")
    await faults.order(path="colls/sync-tasks", method="PUT", **outcome)
    await until(faults.met, "the worker ends the task")
    await die_and_come_back(app)
    await expect_everything_once(app, task.execution_id or "")
