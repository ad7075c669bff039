"""Cosmos DB throttles (429), fails (503), or does what it was asked and loses the answer: in a pull and in a push."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from infra.local import steps
from infra.local.session import Session, until
from tests.support.app import running_app
from tests.support.faults import (
    company,
    database_faults,
    expect_each_pushed_once,
    expect_everything_once,
    new_people,
)

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = {
    "SYNC_LEASE_SECONDS": "2",
    "SYNC_BATCH_SIZE": "20",
    "SYNC_RETRY_BASE_SECONDS": "0.2",
    "SYNC_MAX_RETRIES": "12",
}
BEYOND_THE_SDK = 12
"""More than the SDK itself tries again."""
HOW: dict[str, dict[str, Any]] = {
    "throttled for a moment": {"status": 429, "subStatus": 3200, "retryAfterMs": 20, "count": 5},
    "throttled for longer": {
        "status": 429,
        "subStatus": 3200,
        "retryAfterMs": 20,
        "count": 2 * BEYOND_THE_SDK,
    },
    "failing": {"status": 503, "count": 5},
    "losing its answers": {"dropAnswer": True, "count": 3},
}
WHERE: dict[str, dict[str, Any]] = {
    "shards are looked for": {"path": "colls/shards", "batch": False},
    "shards are saved": {"path": "colls/shards", "batch": True, "skip": 1},
    "checkpoints are saved": {"path": "colls/sync-tasks", "method": "PUT", "skip": 1},
    "results are written": {"path": "colls/sync-results", "method": "POST"},
}


CASES = (
    ("throttled for a moment", "shards are saved"),
    ("throttled for longer", "shards are saved"),
    ("failing", "shards are looked for"),
    ("failing", "shards are saved"),
    ("failing", "checkpoints are saved"),
    ("losing its answers", "shards are saved"),
    ("losing its answers", "checkpoints are saved"),
    ("losing its answers", "results are written"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[Session]:
    async with running_app(settings=SETTINGS) as running:
        yield running


@pytest.mark.parametrize(("how", "when"), CASES)
async def test_a_pull_while_the_database_is(app: Session, how: str, when: str) -> None:
    faults = database_faults(app.services)
    async with company(app) as sample:
        await faults.order(**WHERE[when], **HOW[how])
        task = await steps.schedule(app, sample)
        await until(faults.met, "the fault is met")
        await expect_everything_once(app, sample, task)


@pytest.mark.parametrize("how", ["throttled for longer", "failing", "losing its answers"])
async def test_a_push_while_the_database_is(app: Session, how: str) -> None:
    """What is met first is the write of what was pushed: the record is made, and must not be made again."""
    faults = database_faults(app.services)
    async with company(app) as sample, app.control("salesforce") as control:
        slow = await control.fault("slow", path="composite/sobjects", delay_ms=500, times=1)
        before = (await control.counts())["Contact"]["live"]
        shards = await new_people(app, sample, 6)

        async def pushing() -> bool:
            return any(fault["id"] == slow and fault["hits"] for fault in await control.faults())

        await until(pushing, "the worker pushes")
        await faults.order(path="colls/shards", batch=True, **HOW[how])
        await until(faults.met, "the fault is met")
        await expect_each_pushed_once(app, control, shards, before)
