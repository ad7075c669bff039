"""One execution of a pull by SyncInboundWorker, measured: what the two inbound benchmarks have in common."""

from __future__ import annotations

import inspect
import json
import resource
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from benchmarks.stacked import Bench, Stopwatch
from castiel.domain.model import format_utc
from castiel.domain.results import SyncResult
from castiel.domain.tasks import SyncTask, TaskStatus
from castiel.ports.messaging import ReceivedMessage
from infra.local.sample import SALESFORCE, TENANT, new_tokens


class Timed:
    """A store whose calls are timed: what it is asked takes that long, whatever is done meanwhile."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.milliseconds = 0.0
        self.calls = 0
        self.ends: dict[str, list[float]] = {}
        """When the calls of each method ended, in seconds."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return await found(*args, **kwargs)
            finally:
                ended = time.perf_counter()
                self.milliseconds += (ended - started) * 1000
                self.calls += 1
                self.ends.setdefault(name, []).append(ended)

        return timed


async def prepare(running: Bench, records: int, page_size: int | None = None) -> None:
    """So many contacts in the sandbox, and a connection that pulls them; pages as the adapter likes them, or so long."""
    await running.control.reset()
    await running.control.seed(Contact=records)
    services = running.services
    connection = await services.stores.connections.get(TENANT, SALESFORCE.connection_id)
    if page_size is not None:
        connection.settings["pageSize"] = page_size
    connection.entities = [e for e in connection.entities if e.entity == "Contact"]
    await services.stores.connections.replace(connection)
    await new_tokens(services, running.control, SALESFORCE)


async def pull(running: Bench, records: int, page_size: int | None = None) -> dict[str, float]:
    """A first pull of so many new contacts, from message to result.

    ``p50_ms_per_100`` and ``p95_ms_per_100`` are from one hundred stored to the next, with all that is done for them.
    ``own_ms_per_100`` is this process's processor time: Castiel and the SDKs. ``store_ms_per_100`` is how long store
    calls were waited for; other work is done meanwhile, so it is no part of a sum. ``queries_per_100``: what the
    shards' container answered while hundreds were brought in.
    """
    services = running.services
    await prepare(running, records, page_size)
    before = await services.stores.shards.count(TENANT)
    claimed = await _claimed(running)
    shards, tasks = Timed(services.stores.shards), Timed(services.stores.tasks)
    answers = _count_answers(services)
    # The worker's own collaborators, timed: nothing of what they do is changed.
    services.engine._shards = services.engine._saving._shards = shards  # type: ignore[assignment]
    services.tasks._tasks = tasks  # type: ignore[assignment]
    engine_pull = services.engine.pull
    asked = 0

    async def counted_pull(*args: Any) -> Any:
        nonlocal asked
        started = answers["count"]
        done = await engine_pull(*args)
        asked += answers["count"] - started
        return done

    services.engine.pull = counted_pull  # type: ignore[method-assign]
    await running.control.clear_calls()
    started = time.perf_counter()
    try:
        with Stopwatch() as watch:
            await services.inbound_worker.handle(_message(claimed))
    finally:
        del services.engine.pull, services.stores.shards._shards.charge  # type: ignore[attr-defined]
        services.engine._shards = services.engine._saving._shards = services.stores.shards
        services.tasks._tasks = services.stores.tasks
    _, provider = await running.provider_calls()
    await _check(running, claimed, before, records)
    intervals = [(end - start) * 1000 for start, end in pairwise([started, *shards.ends["save"]])]
    hundreds = records / 100
    return {
        "records_per_s": round(records / watch.wall_ms * 1000, 1),
        "p50_ms_per_100": round(statistics.median(intervals), 1),
        "p95_ms_per_100": round(statistics.quantiles(intervals, n=20)[-1], 1),
        "own_ms_per_100": round(watch.cpu_ms / hundreds, 1),
        "store_ms_per_100": round((shards.milliseconds + tasks.milliseconds) / hundreds, 1),
        "provider_ms_per_100": round(provider / hundreds, 1),
        "queries_per_100": round(asked / hundreds, 2),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


async def _claimed(running: Bench) -> SyncTask:
    services = running.services
    task = await services.stores.tasks.get(TENANT, SALESFORCE.task_id)
    task.status, task.checkpoints = TaskStatus.PENDING, {}
    claimed = await services.tasks.claim(await services.stores.tasks.replace(task))
    if claimed is None:
        raise RuntimeError("the task could not be claimed")
    return claimed


def _count_answers(services: Any) -> Mapping[str, int]:
    """How many requests the shards' container answers from now on."""
    collection = services.stores.shards._shards
    charge, answers = collection.charge, {"count": 0}

    def counted(*args: Any) -> None:
        answers["count"] += 1
        charge(*args)

    collection.charge = counted
    return answers


async def _check(running: Bench, claimed: SyncTask, before: int, records: int) -> None:
    stores = running.services.stores
    done = await stores.tasks.get(TENANT, SALESFORCE.task_id)
    if done.status is not TaskStatus.COMPLETED:
        raise RuntimeError(f"the pull did not complete: {done.last_failure}")
    results = [
        result async for result in stores.results.of_tenant(TENANT, claimed.queued_at or datetime.now(UTC))
    ]
    result = next(
        r for r in results if isinstance(r, SyncResult) and r.correlation_id == claimed.execution_id
    )
    stored = await stores.shards.count(TENANT)
    if result.records_processed != records or stored < before + result.records_created:
        raise RuntimeError(f"{result.records_processed} of {records} records came in, {stored} are stored")


def _message(task: SyncTask) -> ReceivedMessage:
    body = {
        "integrationId": task.integration_id,
        "tenantId": task.tenant_id,
        "connectionId": task.connection_id,
        "syncMode": "pull",
        "correlationId": task.execution_id,
        "enqueuedAt": format_utc(datetime.now(UTC)),
        "taskId": task.id,
    }
    return ReceivedMessage(json.dumps(body).encode(), f"task:{task.execution_id}")
