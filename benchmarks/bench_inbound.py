"""SyncInboundWorker end to end: records per second, and where the time of 100 records goes; dlt beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from typing import Any

from benchmarks.inbound_pull import prepare, pull
from benchmarks.stacked import bench

RECORDS = int(os.environ.get("BENCH_RECORDS", "10000"))
PER_100_MS = 2500.0
"""The brief's, for the median."""


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
        figures: dict[str, Any] = await pull(running, RECORDS)
    # Afterwards, because dlt's own memory would count in what follows.
    async with bench() as running:
        await prepare(running, RECORDS)
        granted = await running.control.grant()
        figures["dlt_records_per_s"] = await asyncio.to_thread(
            _dlt, granted["instance_url"], granted["access_token"]
        )
    return {"brief_p50_ms_per_100": PER_100_MS, **figures}


def run() -> dict[str, Any]:
    """The figures of :func:`~benchmarks.inbound_pull.pull` at 10 000 records, all of them new."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    print(json.dumps(run()))
