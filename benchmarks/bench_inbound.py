"""SyncInboundWorker end to end: records per second, and where the time of 100 records goes; dlt beside it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.stacked import Bench, Stopwatch, bench
from castiel.domain.model import format_utc
from castiel.domain.tasks import SyncTask, TaskStatus
from castiel.ports.messaging import ReceivedMessage
from infra.local.cosmos.load import load
from infra.local.sample import SALESFORCE, TENANT, new_tokens

RECORDS = int(os.environ.get("BENCH_RECORDS", "10000"))
PAGE = 200
STORED = tuple(int(n) for n in os.environ.get("BENCH_STORED", "1000,100000").split(","))
"""How many shards are there already, for ``inbound_growth``; BENCH_STORED=1000,100000,1000000 takes minutes more."""
GROWTH_RECORDS = 1000


class Timed:
    """A store whose calls are timed: what it is asked takes that long, whatever it does meanwhile."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.milliseconds = 0.0
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return await found(*args, **kwargs)
            finally:
                self.milliseconds += (time.perf_counter() - started) * 1000
                self.calls += 1

        return timed


async def _prepare(running: Bench, records: int) -> None:
    await running.control.reset()
    await running.control.seed(Contact=records)
    services = running.services
    connection = await services.stores.connections.get(TENANT, SALESFORCE.connection_id)
    connection.settings["pageSize"] = PAGE
    connection.entities = [e for e in connection.entities if e.entity == "Contact"]
    await services.stores.connections.replace(connection)
    await new_tokens(services, running.control, SALESFORCE)


async def _pull(running: Bench, records: int) -> dict[str, float]:
    """One execution of the task, the engine's pages timed one by one."""
    services = running.services
    await _prepare(running, records)
    task = await services.stores.tasks.get(TENANT, SALESFORCE.task_id)
    task.status, task.checkpoints = TaskStatus.PENDING, {}
    task = await services.stores.tasks.replace(task)
    claimed = await services.tasks.claim(task)
    if claimed is None:
        raise RuntimeError("the task could not be claimed")
    pages: list[float] = []
    engine_pull = services.engine.pull
    shards, tasks = Timed(services.stores.shards), Timed(services.stores.tasks)

    async def pull(*args: Any) -> Any:
        started = time.perf_counter()
        done = await engine_pull(*args)
        pages.append((time.perf_counter() - started) * 1000 * 100 / PAGE)
        return done

    # The worker's own collaborators, timed: nothing of what they do is changed.
    services.engine.pull = pull  # type: ignore[method-assign]
    services.engine._shards = shards  # type: ignore[assignment]
    services.tasks._tasks = tasks  # type: ignore[assignment]
    await running.control.clear_calls()
    try:
        with Stopwatch() as watch:
            await services.inbound_worker.handle(_message(claimed))
    finally:
        del services.engine.pull
        services.engine._shards, services.tasks._tasks = services.stores.shards, services.stores.tasks
    _, provider = await running.provider_calls()
    done = await services.stores.tasks.get(TENANT, SALESFORCE.task_id)
    if done.status is not TaskStatus.COMPLETED or await services.stores.shards.count(TENANT) < records:
        raise RuntimeError(f"the pull did not complete: {done.last_failure}")
    hundreds = records / 100
    return {
        "records_per_s": round(records / watch.wall_ms * 1000, 1),
        "p50_ms_per_100": round(statistics.median(pages), 1),
        "p95_ms_per_100": round(statistics.quantiles(pages, n=20)[-1], 1)
        if len(pages) > 1
        else round(pages[0], 1),
        "own_ms_per_100": round(watch.cpu_ms / hundreds, 1),
        "store_ms_per_100": round((shards.milliseconds + tasks.milliseconds) / hundreds, 1),
        "store_calls_per_100": round((shards.calls + tasks.calls) / hundreds, 2),
        "provider_ms_per_100": round(provider / hundreds, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


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


def _stored(count: int) -> Any:
    now = format_utc(datetime.now(UTC))
    for number in range(count):
        yield {
            "id": f"contact-old{number}",
            "tenantId": TENANT,
            "shardType": "contact",
            "kind": "primary",
            "fields": {
                "firstName": "Old",
                "lastName": f"Record{number}",
                "email": f"old{number}@example.com",
            },
            "referenceKeys": [f"conn-other|Contact|{number}"],
            "blockingKeys": [f"old-{number % 50021}-{number}"],
            "deleted": False,
            "createdAt": now,
            "updatedAt": now,
        }


async def _growth() -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    for count in STORED:
        with tempfile.TemporaryDirectory(prefix="bench-growth-") as folder:
            load(
                Path(folder, "cosmos"),
                "castiel",
                "shards",
                _stored(count),
                partition_key=["/tenantId", "/shardType"],
            )
            async with bench(Path(folder)) as running:
                await _pull(running, PAGE)  # the emulator builds its indexes at the first query of a form
                figures[str(count)] = await _pull(running, GROWTH_RECORDS)
    return figures


def _dlt(url: str, token: str) -> float:
    """Records per second of a dlt pipeline that pulls the same records and merges them on their id into duckdb."""
    import dlt
    from dlt.sources.helpers import requests

    @dlt.resource(name="contact", primary_key="Id", write_disposition="merge")
    def contacts() -> Any:
        session = requests.Client().session
        session.headers.update({"Authorization": f"Bearer {token}", "Sforce-Query-Options": "batchSize=2000"})
        fields = (
            "Id,FirstName,LastName,Email,Phone,Title,Department,MailingCity,MailingCountry,SystemModstamp"
        )
        path = f"/services/data/v62.0/query?q=SELECT+{fields}+FROM+Contact+ORDER+BY+SystemModstamp"
        while path:
            page = session.get(url + path, timeout=60).json()
            yield page["records"]
            path = page.get("nextRecordsUrl")

    with tempfile.TemporaryDirectory(prefix="bench-dlt-") as folder, contextlib.chdir(folder):
        os.environ["DLT_DATA_DIR"] = folder
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb(f"{folder}/bench.duckdb"))
        started = time.perf_counter()
        pipeline.run(contacts())
        seconds = time.perf_counter() - started
        with pipeline.sql_client() as client:
            rows = client.execute_sql("SELECT COUNT(*) FROM contact")
        if rows[0][0] != RECORDS:
            raise RuntimeError(f"dlt stored {rows[0][0]} records")
    return round(RECORDS / seconds, 1)


async def _measure() -> dict[str, Any]:
    async with bench() as running:
        inbound: dict[str, Any] = await _pull(running, RECORDS)
    growth = await _growth()
    # Last, because dlt's own memory would count in what follows.
    async with bench() as running:
        await _prepare(running, RECORDS)
        granted = await running.control.grant()
        inbound["dlt_records_per_s"] = await asyncio.to_thread(
            _dlt, granted["instance_url"], granted["access_token"]
        )
    return {"inbound": inbound, "inbound_growth": growth}


def run() -> dict[str, Any]:
    """``inbound`` at 10 000 records and ``inbound_growth`` by stored shards. The brief: 2 500 ms p50 per 100 records."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    print(json.dumps(run()))
