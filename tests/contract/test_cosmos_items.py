"""Single documents: what the service promises of create, read, replace, upsert, patch and delete.

Pages, below https://learn.microsoft.com: [http] rest/api/cosmos-db/http-status-codes-for-cosmosdb; [occ]
azure/cosmos-db/database-transactions-optimistic-concurrency; [patch] azure/cosmos-db/partial-document-update; [limits]
azure/cosmos-db/concepts-limits; [ttl] azure/cosmos-db/time-to-live; [keys] azure/cosmos-db/hierarchical-partition-keys.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from azure.core import MatchConditions
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from tests.support.cosmos import CosmosAccount

pytestmark = pytest.mark.stack


@pytest.fixture
async def tasks(cosmos_database: DatabaseProxy) -> ContainerProxy:
    return await cosmos_database.create_container("tasks", PartitionKey("/tenantId"))


def _task(name: str = "task-1", **fields: Any) -> dict[str, Any]:
    return {"id": name, "tenantId": "acme", **fields}


async def test_a_created_item_reads_back_with_its_system_properties(tasks: ContainerProxy) -> None:
    created = await tasks.create_item(
        _task(name="naïve ✓", nested={"a": [1, 2.5, None, True]}, text="ü\n\"'")
    )
    read = await tasks.read_item("naïve ✓", "acme")
    assert read == created
    assert read["nested"] == {"a": [1, 2.5, None, True]}
    assert read["_etag"].startswith('"')
    assert abs(read["_ts"] - time.time()) < 60
    assert {"_rid", "_self", "_attachments"} <= read.keys()
    assert float(read.get_response_headers()["x-ms-request-charge"]) >= 1


async def test_an_id_is_unique_within_its_partition_only(tasks: ContainerProxy) -> None:
    await tasks.create_item(_task())
    with pytest.raises(CosmosResourceExistsError):  # [http] 409
        await tasks.create_item(_task())
    await tasks.create_item({"id": "task-1", "tenantId": "other"})


async def test_what_is_missing_is_404(tasks: ContainerProxy, cosmos_database: DatabaseProxy) -> None:
    for attempt in (
        tasks.read_item("none", "acme"),
        tasks.delete_item("none", "acme"),
        tasks.replace_item("none", _task("none")),
        tasks.patch_item("none", "acme", [{"op": "set", "path": "/a", "value": 1}]),
        cosmos_database.get_container_client("none").read(),
        cosmos_database.get_container_client("none").read_item("none", "acme"),
    ):
        with pytest.raises(CosmosResourceNotFoundError):  # [http] 404
            await attempt


async def test_an_item_is_found_in_its_own_partition_only(tasks: ContainerProxy) -> None:
    await tasks.create_item(_task())
    with pytest.raises(CosmosResourceNotFoundError):
        await tasks.read_item("task-1", "other")


async def test_upsert_inserts_then_replaces(tasks: ContainerProxy) -> None:
    first = await tasks.upsert_item(_task(n=1, gone=True))
    second = await tasks.upsert_item(_task(n=2))
    assert second["_etag"] != first["_etag"]
    assert second["_rid"] == first["_rid"]
    assert "gone" not in await tasks.read_item("task-1", "acme")


async def test_replace_takes_only_the_version_that_was_read(tasks: ContainerProxy) -> None:
    read = await tasks.create_item(_task(n=1))
    await tasks.replace_item(
        "task-1", _task(n=2), etag=read["_etag"], match_condition=MatchConditions.IfNotModified
    )
    for write in (tasks.replace_item, tasks.upsert_item):
        arguments = ("task-1", _task(n=3)) if write == tasks.replace_item else (_task(n=3),)
        with pytest.raises(CosmosAccessConditionFailedError):  # [occ] 412
            await write(*arguments, etag=read["_etag"], match_condition=MatchConditions.IfNotModified)
    assert (await tasks.read_item("task-1", "acme"))["n"] == 2


async def test_delete_and_patch_honour_the_etag(tasks: ContainerProxy) -> None:
    read = await tasks.create_item(_task(n=1))
    await tasks.upsert_item(_task(n=2))
    stale = {"etag": read["_etag"], "match_condition": MatchConditions.IfNotModified}
    with pytest.raises(CosmosAccessConditionFailedError):
        await tasks.delete_item("task-1", "acme", **stale)
    with pytest.raises(CosmosAccessConditionFailedError):
        await tasks.patch_item("task-1", "acme", [{"op": "incr", "path": "/n", "value": 1}], **stale)
    await tasks.delete_item("task-1", "acme")


async def test_an_upsert_with_an_etag_creates_what_is_not_there(tasks: ContainerProxy) -> None:
    """The precondition applies to an existing item only; see azure-cosmos-dotnet-v3 issue 1698."""
    created = await tasks.upsert_item(_task(), etag='"none"', match_condition=MatchConditions.IfNotModified)
    assert created["id"] == "task-1"


async def test_only_one_of_many_conditional_writers_wins(tasks: ContainerProxy) -> None:
    read = await tasks.create_item(_task(owner=None))

    async def claim(owner: int) -> bool:
        try:
            await tasks.replace_item(
                "task-1",
                _task(owner=owner),
                etag=read["_etag"],
                match_condition=MatchConditions.IfNotModified,
            )
        except CosmosAccessConditionFailedError:
            return False
        return True

    assert sum(await asyncio.gather(*map(claim, range(8)))) == 1


async def test_patch_does_its_operations_in_order(tasks: ContainerProxy) -> None:
    """[patch] add, set, replace, remove, incr, move; arrays by index and ``-``."""
    await tasks.create_item(_task(n=1, tags=["a", "c"], old=1, inner={"x": 1}))
    patched = await tasks.patch_item(
        "task-1",
        "acme",
        [
            {"op": "add", "path": "/tags/1", "value": "b"},
            {"op": "add", "path": "/tags/-", "value": "d"},
            {"op": "set", "path": "/tags/0", "value": "A"},
            {"op": "incr", "path": "/n", "value": 2.5},
            {"op": "incr", "path": "/fresh", "value": 4},
            {"op": "replace", "path": "/inner/x", "value": {"y": None}},
            {"op": "remove", "path": "/old"},
            {"op": "set", "path": "/slash~1tilde~0", "value": True},
            {"op": "move", "from": "/inner", "path": "/moved"},
        ],
    )
    assert patched["tags"] == ["A", "b", "c", "d"]
    assert (patched["n"], patched["fresh"]) == (3.5, 4)
    assert patched["moved"] == {"x": {"y": None}}
    assert patched["slash/tilde~"] is True
    assert not {"old", "inner"} & patched.keys()


async def test_a_patch_that_cannot_be_done_changes_nothing(tasks: ContainerProxy) -> None:
    before = await tasks.create_item(_task(n=1, text="x"))
    step = {"op": "set", "path": "/n", "value": 9}
    for bad in (
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "incr", "path": "/text", "value": 1},
        {"op": "set", "path": "/missing/deep", "value": 1},
        {"op": "set", "path": "/id", "value": "x"},
        {"op": "set", "path": "/tenantId", "value": "x"},
    ):
        with pytest.raises(CosmosHttpResponseError) as caught:
            await tasks.patch_item("task-1", "acme", [step, bad])
        assert caught.value.status_code == 400
    with pytest.raises(CosmosHttpResponseError):  # [patch] at most ten operations
        await tasks.patch_item("task-1", "acme", [step] * 11)
    assert await tasks.read_item("task-1", "acme") == before


async def test_a_conditional_patch_is_412_when_its_condition_does_not_hold(tasks: ContainerProxy) -> None:
    """[patch] conditional update."""
    await tasks.create_item(_task(status="pending"))
    claim = [{"op": "set", "path": "/status", "value": "queued"}]
    condition = "from c where c.status = 'pending' and not is_defined(c.lock)"
    assert (await tasks.patch_item("task-1", "acme", claim, filter_predicate=condition))["status"] == "queued"
    with pytest.raises(CosmosAccessConditionFailedError):
        await tasks.patch_item("task-1", "acme", claim, filter_predicate=condition)


@pytest.mark.filterwarnings("ignore:Sending a large body")  # aiohttp, of what the SDK hands it
async def test_an_item_may_have_two_megabytes_and_no_more(tasks: ContainerProxy) -> None:
    """[limits] per item."""
    await tasks.create_item(_task("big", text="x" * (2 * 1024 * 1024 - 1000)))
    with pytest.raises(CosmosHttpResponseError) as caught:
        await tasks.create_item(_task("bigger", text="x" * (2 * 1024 * 1024)))
    assert caught.value.status_code == 413


async def test_hierarchical_keys_place_items_by_all_their_components(cosmos_database: DatabaseProxy) -> None:
    """[keys] a point read takes the full key."""
    shards = await cosmos_database.create_container(
        "shards", PartitionKey(["/tenantId", "/shardType"], kind="MultiHash")
    )
    for kind in ("contact", "company"):
        await shards.create_item({"id": "same", "tenantId": "acme", "shardType": kind, "kind": kind})
    assert (await shards.read_item("same", ["acme", "company"]))["kind"] == "company"
    with pytest.raises(CosmosHttpResponseError) as caught:
        await shards.read_item("same", ["acme"])
    assert caught.value.status_code == 400


async def test_partition_key_values_of_every_type_are_partitions_of_their_own(tasks: ContainerProxy) -> None:
    values = ["1", 1, True, False, None, 2.5, ""]
    for value in values:
        await tasks.create_item({"id": "x", "tenantId": value, "is": repr(value)})
    for value in values:
        if value is None:  # as an argument of query_items it means: all partitions
            found = [(await tasks.read_item("x", value))["is"]]
        else:
            query = tasks.query_items("SELECT VALUE c['is'] FROM c WHERE c.id = 'x'", partition_key=value)
            found = [text async for text in query]
        assert found == [repr(value)]


async def test_items_expire_by_the_containers_default_or_their_own_ttl(
    cosmos_database: DatabaseProxy,
) -> None:
    """[ttl] default_ttl in seconds since ``_ts``; an item's own ``ttl`` overrides it, -1 is never."""
    results = await cosmos_database.create_container("results", PartitionKey("/tenantId"), default_ttl=2)
    await results.create_item(_task("default"))
    await results.create_item(_task("longer", ttl=3600))
    await results.create_item(_task("never", ttl=-1))
    ids = ["default", "longer", "never"]
    assert await _ids(results) == ids
    deadline = time.monotonic() + 10
    while "default" in await _ids(results):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    with pytest.raises(CosmosResourceNotFoundError):
        await results.read_item("default", "acme")
    assert await _ids(results) == ids[1:]
    await results.create_item(_task("default"))


async def test_a_new_default_ttl_counts_for_the_items_that_are_there(cosmos_database: DatabaseProxy) -> None:
    results = await cosmos_database.create_container("results", PartitionKey("/tenantId"))
    await results.create_item(_task("old"))
    await results.create_item(_task("never", ttl=-1))
    await cosmos_database.replace_container(results, PartitionKey("/tenantId"), default_ttl=1)
    deadline = time.monotonic() + 10
    while await _ids(results) != ["never"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    await cosmos_database.replace_container(results, PartitionKey("/tenantId"), default_ttl=3600)
    with pytest.raises(CosmosHttpResponseError) as caught:
        await cosmos_database.replace_container(results, PartitionKey("/other"))
    assert caught.value.status_code == 400


async def test_an_items_ttl_means_nothing_where_the_container_has_none(tasks: ContainerProxy) -> None:
    await tasks.create_item(_task(ttl=1))
    await asyncio.sleep(1.1)  # nothing to wait for: the point is that nothing happens
    assert await _ids(tasks) == ["task-1"]
    with pytest.raises(CosmosHttpResponseError) as caught:
        await tasks.create_item(_task("zero", ttl=0))
    assert caught.value.status_code == 400


async def test_a_container_made_anew_is_empty_to_a_client_that_knew_the_old_one(
    cosmos_account: CosmosAccount,
    cosmos_database: DatabaseProxy,
    tasks: ContainerProxy,
) -> None:
    await tasks.create_item(_task())
    async with cosmos_account.client() as other:
        database = other.get_database_client(cosmos_database.id)
        await database.delete_container("tasks")
        await database.create_container("tasks", PartitionKey("/tenantId"))
    with pytest.raises(CosmosResourceNotFoundError):
        await tasks.read_item("task-1", "acme")
    await tasks.create_item(_task())


async def test_databases_and_containers_are_listed_and_conflict(cosmos_database: DatabaseProxy) -> None:
    await cosmos_database.create_container("one", PartitionKey("/id"))
    with pytest.raises(CosmosResourceExistsError):
        await cosmos_database.create_container("one", PartitionKey("/id"))
    again = await cosmos_database.create_container_if_not_exists("one", PartitionKey("/id"))
    assert (await again.read())["partitionKey"]["paths"] == ["/id"]
    assert [found["id"] async for found in cosmos_database.list_containers()] == ["one"]


async def test_a_request_without_authorization_is_401(cosmos_account: CosmosAccount) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(cosmos_account.endpoint, ssl=False) as response,
    ):
        assert response.status == 401


async def _ids(container: ContainerProxy) -> list[str]:
    found = container.query_items("SELECT VALUE c.id FROM c", partition_key="acme")
    return sorted([name async for name in found])
