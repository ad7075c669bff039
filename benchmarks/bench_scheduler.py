"""The scheduler over the local stack: thousands of due tasks fetched, claimed and queued, in one run and in two at once.

``fetch_p50_ms_per_100``: how long the next hundred due tasks take to arrive from the store, nothing done with them.
``tasks_per_s``: from the first query to the last message sent, each task claimed by a conditional write of its own.
``own_ms_per_100`` is this process's processor time for it: Castiel and the SDKs. The brief asks for a task fetch of
150 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from benchmarks.stacked import Bench, Stopwatch, bench
from castiel.domain.tasks import Priority, SyncMode, SyncTask

TASKS = 3000
HUNDRED = 100
TASK_FETCH_MS = 150.0
"""The brief's."""
_TENANTS = 40
_PLANTED_AT_ONCE = 50
_MODES = (SyncMode.PULL, SyncMode.BIDIRECTIONAL, SyncMode.PUSH)
_PRIORITIES = tuple(Priority)


def run() -> dict[str, Any]:
    """One scheduler with all tasks, then two with as many again."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    async with bench() as stack:
        await stack.services.scheduler.run()  # opens the links, and takes the sample's own task
        await _plant(stack, "one", TASKS)
        fetched = await _fetch(stack)
        one = await _timed(stack, 1)
        await _plant(stack, "two", TASKS)
        two = await _timed(stack, 2)
    return {
        "tasks": TASKS,
        "fetch_p50_ms_per_100": statistics.median(fetched),
        "fetch_p95_ms_per_100": statistics.quantiles(fetched, n=20)[-1],
        "brief_fetch_ms": TASK_FETCH_MS,
        "tasks_per_s": one["tasks_per_s"],
        "own_ms_per_100": one["own_ms_per_100"],
        "two_at_once_tasks_per_s": two["tasks_per_s"],
    }


async def _plant(stack: Bench, name: str, count: int) -> None:
    store = stack.services.stores.tasks
    tasks = [
        SyncTask(
            id=f"{name}-{number}",
            tenant_id=f"tenant-{number % _TENANTS}",
            integration_id="salesforce",
            connection_id=f"conn-{number}",
            sync_mode=_MODES[number % len(_MODES)],
            priority=_PRIORITIES[number // len(_MODES) % len(_PRIORITIES)],
        )
        for number in range(count)
    ]
    for start in range(0, count, _PLANTED_AT_ONCE):
        await asyncio.gather(*map(store.create, tasks[start : start + _PLANTED_AT_ONCE]))


async def _fetch(stack: Bench) -> list[float]:
    """Milliseconds for each hundred due tasks, streamed."""
    spans: list[float] = []
    count, started = 0, time.perf_counter()
    async for _ in stack.services.tasks.due():
        count += 1
        if count % HUNDRED == 0:
            spans.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
    if count != TASKS:
        raise AssertionError(f"{count} tasks are due, {TASKS} were planted")
    return spans


async def _timed(stack: Bench, schedulers: int) -> dict[str, float]:
    with Stopwatch() as watch:
        runs = await asyncio.gather(*(stack.services.scheduler.run() for _ in range(schedulers)))
    queued = sum(each.queued for each in runs)
    if queued != TASKS:
        raise AssertionError(f"{queued} tasks were queued, {TASKS} were due")
    return {
        "tasks_per_s": queued / watch.wall_ms * 1000,
        "own_ms_per_100": watch.cpu_ms / queued * HUNDRED,
    }
