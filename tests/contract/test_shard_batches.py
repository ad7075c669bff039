"""Shards in transactional batches: size and conflicts of one don't spoil the others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from azure.cosmos import PartitionKey

from castiel.azure.cosmos_shards import CosmosShards
from castiel.domain.shards import Shard
from castiel.errors import AlreadyExists, Conflict, DocumentTooLarge
from tests.support.cosmos import running_cosmos

pytestmark = [
    pytest.mark.stack,
    # What aiohttp says of every body over 1 MB; the SDK hands it over as it is.
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]

NOW = datetime(2025, 12, 10, 13, tzinfo=UTC)


def shard(number: int, size: int = 10) -> Shard:
    fields = {"note": "x" * size}
    return Shard(
        id=f"note-{number}", tenant_id="t", shard_type="note", fields=fields, created_at=NOW, updated_at=NOW
    )


async def test_batches_over_the_size_limit_are_divided_and_conflicts_set_apart() -> None:
    with running_cosmos() as account:
        async with account.client() as client:
            database = await client.create_database("castiel")
            key = PartitionKey(path=["/tenantId", "/shardType"], kind="MultiHash")
            shards = CosmosShards(await database.create_container("shards", partition_key=key))

            large = [shard(number, 60_000) for number in range(150)]
            assert [outcome.error for outcome in await shards.save(large)] == [None] * 150
            assert await shards.count("t") == 150

            stale = await shards.get("t", "note-1")
            fresh = await shards.get("t", "note-1")
            fresh.fields["note"] = "first"
            await shards.save([fresh])
            stale.fields["note"] = "second"
            outcomes = await shards.save([shard(2), stale, shard(500)])
            assert [type(outcome.error) for outcome in outcomes] == [AlreadyExists, Conflict, type(None)]
            assert (await shards.get("t", "note-1")).fields["note"] == "first"
            assert await shards.count("t") == 151

            outcomes = await shards.save([shard(600), shard(601, 2_200_000), shard(602)])
            assert [type(o.error) for o in outcomes] == [type(None), DocumentTooLarge, type(None)]
            assert await shards.count("t") == 153

            async def spend(first: int, count: int) -> float:
                with shards.metered() as meter:
                    await shards.save([shard(first + number) for number in range(count)])
                return meter.units

            one, many = await asyncio.gather(spend(700, 1), spend(800, 50))
            assert many == pytest.approx(50 * one)
            assert one > 0
