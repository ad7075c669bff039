"""SyncOutboundWorker: milliseconds per record by batch size, provider calls, and several workers at once."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.stacked import Bench, Stopwatch, bench
from castiel.bootstrap import build
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.shards import LOCAL, Shard
from castiel.ports.messaging import ReceivedMessage
from castiel.settings import load_settings
from infra.local.sample import SALESFORCE, TENANT

BATCHES = {1: 30, 10: 10, 100: 5, 1000: 2}
"""Batch size → rounds."""
WORKERS = (1, 2, 4)
WARMING = 100
RECORDS_PER_WORKER = 1000
BATCH = 100


def _shard(number: str) -> Shard:
    now = datetime.now(UTC)
    shard = Shard(
        id=f"contact-bench{number}", tenant_id=TENANT, shard_type="contact", created_at=now, updated_at=now
    )
    fields = {
        "firstName": "Bench",
        "lastName": f"Record{number}",
        "email": f"r{number}@example.com",
        "title": "Clerk",
    }
    shard.set_fields(fields, LOCAL, now, "bench")
    return shard


def _message(shard: Shard) -> ReceivedMessage:
    body = OutboundMessage(
        tenant_id=TENANT,
        integration_id="salesforce",
        connection_id=SALESFORCE.connection_id,
        entity_id=shard.id,
        operation=Operation.CREATE,
        correlation_id="bench",
        enqueued_at=datetime.now(UTC),
        entity="Contact",
    )
    return ReceivedMessage(body.to_json_text().encode(), f"out:{shard.id}")


async def _messages(running: Bench, prefix: str, count: int) -> list[ReceivedMessage]:
    shards = [_shard(f"{prefix}x{n}") for n in range(count)]
    for outcome in await running.services.stores.shards.save(shards):
        if outcome.error is not None:
            raise outcome.error
    return [_message(shard) for shard in shards]


async def _batches(running: Bench) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    for size, rounds in BATCHES.items():
        walls: list[float] = []
        cpu = 0.0
        batches = [await _messages(running, f"b{size}r{n}", size) for n in range(rounds + 1)]
        await running.services.outbound_worker.handle(batches.pop())  # warm
        await running.control.clear_calls()
        for batch in batches:
            with Stopwatch() as watch:
                await running.services.outbound_worker.handle(batch)
            walls.append(watch.wall_ms / size)
            cpu += watch.cpu_ms
        calls, _ = await running.provider_calls()
        figures[f"batch_{size}"] = {
            "p50_ms_per_record": round(statistics.median(walls), 3),
            "own_ms_per_record": round(cpu / (size * rounds), 3),
            "provider_calls_per_1000": round(calls * 1000 / (size * rounds), 1),
        }
    return figures


async def _workers(running: Bench) -> dict[str, dict[str, float]]:
    """Each worker a process of its own, all against one stack on this machine."""
    figures: dict[str, dict[str, float]] = {}
    for count in WORKERS:
        prefixes = [f"w{count}n{n}" for n in range(count)]
        for prefix in prefixes:
            await _messages(running, prefix, WARMING + RECORDS_PER_WORKER)
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "benchmarks.bench_outbound",
                "--worker",
                prefix,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for prefix in prefixes
        ]
        for process in processes:
            await _said(process, b"ready")
        started = time.perf_counter()
        for process in processes:
            assert process.stdin is not None  # noqa: S101
            process.stdin.write(b"go\n")
            await process.stdin.drain()
        for process in processes:
            await _said(process, b"done")
        # Closing down is no part of the work.
        seconds = time.perf_counter() - started
        for process in processes:
            if await process.wait() != 0:
                raise RuntimeError("a worker failed")
        figures[str(count)] = {"records_per_s": round(count * RECORDS_PER_WORKER / seconds, 1)}
    return figures


async def _said(process: asyncio.subprocess.Process, word: bytes) -> None:
    assert process.stdout is not None  # noqa: S101
    if (await process.stdout.readline()).strip() != word:
        raise RuntimeError(f"a worker failed before it was {word.decode()}")


async def _worker(prefix: str) -> None:
    services = build(load_settings())
    try:
        messages = [_message(_shard(f"{prefix}x{n}")) for n in range(WARMING + RECORDS_PER_WORKER)]
        await services.outbound_worker.handle(messages[:WARMING])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for start in range(WARMING, len(messages), BATCH):
            await services.outbound_worker.handle(messages[start : start + BATCH])
        print("done", flush=True)
    finally:
        await services.aclose()


async def _measure() -> dict[str, Any]:
    async with bench() as running:
        return {"outbound": await _batches(running), "outbound_workers": await _workers(running)}


def run() -> dict[str, Any]:
    """``outbound`` per batch size and ``outbound_workers`` per number of workers. The brief: 450 ms p50 per record."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    if "--worker" in sys.argv:
        asyncio.run(_worker(sys.argv[-1]))
    else:
        os.environ.pop("CASTIEL_ENVIRONMENT", None)
        print(json.dumps(run()))
