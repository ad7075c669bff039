"""SyncInboundWorker where the tenant has 10³, 10⁵ and 10⁶ shards of the type already: what a page costs must not grow."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.inbound_pull import prepare, pull
from benchmarks.stacked import Bench, bench
from castiel.domain.matching import blocking_keys, default_rules
from castiel.domain.model import format_utc
from castiel.domain.shards import Shard
from infra.local.cosmos.load import load
from infra.local.sample import SALESFORCE, TENANT

STORED = tuple(int(n) for n in os.environ.get("BENCH_STORED", "1000,100000,1000000").split(","))
RECORDS = 2000
PAGE = 200
"""The shortest that Salesforce has."""
OTHER = "conn-other"
TOWNS = 400_000
"""Two or three shards in a million share a name's sound and a town."""


def run() -> dict[str, dict[str, float]]:
    """Figures by how many shards are stored: those of :func:`~benchmarks.inbound_pull.pull`, and how long planting took."""
    return {str(count): _at(count) for count in STORED}


def _at(count: int) -> dict[str, float]:
    """Planting and measuring each in a process of its own: what one leaves in memory is not the other's."""
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as folder:
        alone = ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1)
        with alone as pool:
            started = time.perf_counter()
            pool.submit(_plant, folder, count).result()
            planted = time.perf_counter() - started
            figures = pool.submit(_measured, folder).result()
    return {**figures, "planting_s": round(planted, 1)}


def _plant(folder: str, count: int) -> None:
    key = ["/tenantId", "/shardType"]
    load(Path(folder, "cosmos"), "castiel", "shards", _stored(count), partition_key=key)


def _measured(folder: str) -> dict[str, float]:
    return asyncio.run(_measure(folder))


async def _measure(folder: str) -> dict[str, float]:
    async with bench(Path(folder)) as running:
        await _index(running)
        await _plant_colleagues(running)
        return await pull(running, RECORDS, PAGE)


async def _index(running: Bench) -> None:
    """The emulator makes an index at the first query of a form; the service has all of them from the start."""
    shards = running.services.stores.shards
    await shards.get_many(TENANT, ["contact-nobody"])
    await shards.by_references(TENANT, "contact", ["nobody"])
    await shards.by_blocking_keys(TENANT, "contact", ["nothing"], 1)
    await shards.count(TENANT, "contact")
    async for _ in shards.references_to(TENANT, "contact", SALESFORCE.connection_id, "Contact"):
        break


async def _plant_colleagues(running: Bench) -> None:
    """Shards with the telephone of every twentieth contact that will come in: pages find candidates to compare with."""
    await prepare(running, RECORDS)
    rules, now = default_rules("contact"), datetime.now(UTC)
    shards = []
    for offset in range(0, RECORDS, 20):
        (contact,) = await running.control.records("Contact", limit=1, offset=offset)
        fields = {"firstName": "Somebody", "lastName": "Else", "phone": contact["Phone"]}
        shards.append(
            Shard(
                id=f"contact-colleague{offset}",
                tenant_id=TENANT,
                shard_type="contact",
                fields=fields,
                blocking_keys=blocking_keys(fields, rules),
                created_at=now,
                updated_at=now,
            )
        )
    await running.services.stores.shards.save(shards)


def _stored(count: int) -> Iterator[dict[str, Any]]:
    """Shards of another connection, with keys of the shipped rules' names and form; nobody the sandbox has."""
    now = format_utc(datetime.now(UTC))
    dice = random.Random(count)  # noqa: S311
    for number in range(count):
        digest = hashlib.blake2b(str(number).encode(), digest_size=14).hexdigest()
        town = f"{dice.randrange(TOWNS):014x}"
        fields = {"firstName": "Old", "lastName": f"Record{number}", "email": f"old{number}@example.com"}
        external_id = f"{number:015d}"
        yield {
            "id": f"contact-{digest}",
            "tenantId": TENANT,
            "shardType": "contact",
            "kind": "primary",
            "fields": fields,
            "references": [
                {
                    "integrationId": "google",
                    "connectionId": OTHER,
                    "entity": "Contact",
                    "externalId": external_id,
                    "base": fields,
                    "deleted": False,
                    "pulledAt": now,
                }
            ],
            "referenceKeys": [f"{OTHER}|Contact|{external_id}"],
            "blockingKeys": [f"mail:{digest[:14]}", f"tel:{digest[14:]}", f"namecity:{town}"],
            "deleted": False,
            "createdAt": now,
            "updatedAt": now,
        }


if __name__ == "__main__":
    print(json.dumps(run()))
