"""What things weigh: stored documents, keys in Redis, and the process. ``infra/sizing.py`` counts with these figures.

``…_bytes``: a stored document of that container, on average, as the service keeps it. ``fence_bytes``, ``ledger_bytes``,
``seen_bytes``: what Redis' memory grows by for one of each. ``limits_bytes``: the keys of one connection at work.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from benchmarks.inbound_pull import pull
from benchmarks.stacked import Bench, bench
from castiel.domain.hashing import content_hash
from infra.local.sample import SALESFORCE

RECORDS = 1_000
KEYS = 10_000
CONTAINERS = ("sync-tasks", "sync-results", "shards", "connections", "credentials")


def run() -> dict[str, Any]:
    """A pull of a thousand records, then keys as pushes and deliveries leave them."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    async with bench() as running:
        pulled = await pull(running, RECORDS)
        limits = [key async for key in running.services.clients.redis.scan_iter("castiel:*")]
        weights = [await running.services.clients.redis.memory_usage(key) or 0 for key in limits]
        documents = {f"{name}_bytes": await _document_bytes(running, name) for name in CONTAINERS}
        return {
            **documents,
            **await _key_bytes(running),
            "limits_bytes": sum(weights),
            "peak_rss_mb": pulled["peak_rss_mb"],
        }


async def _document_bytes(running: Bench, name: str) -> int:
    database = running.services.clients.cosmos.get_database_client(running.services.settings.cosmos_database)
    rows = database.get_container_client(name).query_items("SELECT * FROM c", max_item_count=RECORDS)
    sizes = [len(json.dumps(row)) async for row in rows]
    return sum(sizes) // len(sizes)


async def _key_bytes(running: Bench) -> dict[str, int]:
    marks, connection = running.services.marks, SALESFORCE.connection_id
    digest = content_hash({"value": "a value"})
    before = await _used(running)
    for start in range(0, KEYS, 500):
        names = [f"shard:tenant-1:contact-{uuid.uuid4().hex}" for _ in range(start, start + 500)]
        async with running.services.leases.hold_many(names, seconds=30):
            continue
    fences = await _used(running)
    ledger = {f"ledger:{connection}:Contact:{uuid.uuid4().hex[:18]}:Email": digest for _ in range(KEYS)}
    await marks.put_many(ledger, seconds=86_400)
    entered = await _used(running)
    await marks.put_many({f"seen:reg-123:{uuid.uuid4()}": "1" for _ in range(KEYS)}, seconds=86_400)
    seen = await _used(running)
    return {
        "fence_bytes": (fences - before) // KEYS,
        "ledger_bytes": (entered - fences) // KEYS,
        "seen_bytes": (seen - entered) // KEYS,
    }


async def _used(running: Bench) -> int:
    return int((await running.services.clients.redis.info("memory"))["used_memory"])
