"""Transactional batches: https://learn.microsoft.com/azure/cosmos-db/transactional-batch."""

from __future__ import annotations

from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

pytestmark = pytest.mark.stack

KEY = ["acme", "contact"]


@pytest.fixture
async def shards(cosmos_database: DatabaseProxy) -> ContainerProxy:
    return await cosmos_database.create_container(
        "shards", PartitionKey(["/tenantId", "/shardType"], kind="MultiHash")
    )


def _shard(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "tenantId": "acme", "shardType": "contact", **fields}


async def test_all_kinds_of_operations_answer_in_order_and_see_each_other(shards: ContainerProxy) -> None:
    old = await shards.create_item(_shard("old", n=1))
    await shards.create_item(_shard("doomed"))
    results = await shards.execute_item_batch(
        [
            ("create", (_shard("new", n=1),)),
            ("upsert", (_shard("new", n=2),)),
            ("replace", ("old", _shard("old", n=2)), {"if_match_etag": old["_etag"]}),
            (
                "patch",
                ("old", [{"op": "incr", "path": "/n", "value": 5}]),
                {"filter_predicate": "from c where c.n = 2"},
            ),
            ("read", ("old",)),
            ("delete", ("doomed",)),
        ],
        partition_key=KEY,
    )
    assert [result["statusCode"] for result in results] == [201, 200, 200, 200, 200, 204]
    assert results[4]["resourceBody"]["n"] == 7
    assert results[1]["eTag"] == (await shards.read_item("new", KEY))["_etag"]


async def test_without_content_the_documents_written_are_left_out_and_those_read_are_not(
    shards: ContainerProxy,
) -> None:
    results = await shards.execute_item_batch(
        [("create", (_shard("new", n=1),)), ("read", ("new",))], partition_key=KEY, no_response=True
    )
    assert [result["statusCode"] for result in results] == [201, 200]
    assert "resourceBody" not in results[0]
    assert results[1]["resourceBody"]["n"] == 1
    assert results[0]["eTag"] == (await shards.read_item("new", KEY))["_etag"]


@pytest.mark.parametrize(
    ("failing", "status"),
    [
        (("create", (_shard("there"),)), 409),
        (("replace", ("there", _shard("there")), {"if_match_etag": '"stale"'}), 412),
        (("delete", ("there",), {"if_match_etag": '"stale"'}), 412),
        (("read", ("missing",)), 404),
        (
            (
                "patch",
                ("there", [{"op": "set", "path": "/n", "value": 1}]),
                {"filter_predicate": "from c where false"},
            ),
            412,
        ),
        (("create", ({"id": "x", "tenantId": "acme", "shardType": "company"},)), 400),
    ],
)
async def test_one_failure_undoes_all(shards: ContainerProxy, failing: Any, status: int) -> None:
    before = await shards.create_item(_shard("there", n=0))
    batch = [
        ("create", (_shard("first"),)),
        ("upsert", (_shard("there", n=9),)),
        failing,
        ("create", (_shard("last"),)),
    ]
    with pytest.raises(CosmosBatchOperationError) as caught:
        await shards.execute_item_batch(
            batch if status != 412 or len(failing) < 3 else _without_upsert(batch), KEY
        )
    codes = [result["statusCode"] for result in caught.value.operation_responses]
    assert caught.value.status_code == status
    assert codes[caught.value.error_index] == status
    assert sorted(set(codes)) == sorted({424, status})
    assert [item async for item in shards.query_items("SELECT * FROM c", partition_key=KEY)] == [before]


def _without_upsert(batch: list[Any]) -> list[Any]:
    return [step for step in batch if step[0] != "upsert"]


async def test_a_batch_has_at_most_100_operations(shards: ContainerProxy) -> None:
    await shards.execute_item_batch([("create", (_shard(str(n)),)) for n in range(100)], KEY)
    with pytest.raises(CosmosHttpResponseError) as caught:
        await shards.execute_item_batch([("create", (_shard(f"more-{n}"),)) for n in range(101)], KEY)
    assert caught.value.status_code == 400


@pytest.mark.filterwarnings("ignore:Sending a large body")  # aiohttp, of what the SDK hands it
async def test_a_batch_has_at_most_two_megabytes(shards: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await shards.execute_item_batch(
            [("create", (_shard(str(n), text="x" * 700_000),)) for n in range(3)], KEY
        )
    assert caught.value.status_code == 413
