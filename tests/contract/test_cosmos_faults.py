"""The emulator's own promises: faults on demand, and nothing acknowledged is lost when it is killed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from infra.local.cosmos.load import load
from tests.support.cosmos import CosmosAccount, running_cosmos

pytestmark = pytest.mark.stack


@pytest.fixture
async def tasks(cosmos_emulator: CosmosAccount, cosmos_database: DatabaseProxy) -> Any:
    yield await cosmos_database.create_container("tasks", PartitionKey("/tenantId"))
    await cosmos_emulator.clear_faults()


async def test_the_sdk_waits_out_a_429_as_long_as_it_is_told(
    cosmos_emulator: CosmosAccount, tasks: ContainerProxy
) -> None:
    await cosmos_emulator.add_fault(status=429, subStatus=3200, count=3, retryAfterMs=50, path="/docs")
    started = time.monotonic()
    await tasks.create_item({"id": "1", "tenantId": "t"})
    assert time.monotonic() - started >= 0.15


async def test_a_429_reaches_the_caller_when_retries_are_used_up(
    cosmos_emulator: CosmosAccount, cosmos_database: DatabaseProxy, tasks: ContainerProxy
) -> None:
    async with cosmos_emulator.client(retry_throttle_total=1) as client:
        container = client.get_database_client(cosmos_database.id).get_container_client(tasks.id)
        await cosmos_emulator.add_fault(status=429, count=10, retryAfterMs=1, path="/docs")
        with pytest.raises(CosmosHttpResponseError) as caught:
            await container.read_item("1", "t")
    assert caught.value.status_code == 429
    assert caught.value.headers["x-ms-retry-after-ms"] == "1"


async def test_a_slow_answer_comes_late(cosmos_emulator: CosmosAccount, tasks: ContainerProxy) -> None:
    await cosmos_emulator.add_fault(delayMs=200, method="POST", path="/docs")
    started = time.monotonic()
    await tasks.create_item({"id": "1", "tenantId": "t"})
    assert time.monotonic() - started >= 0.2


async def test_an_answer_that_is_lost_leaves_the_write_done(
    cosmos_emulator: CosmosAccount, tasks: ContainerProxy
) -> None:
    await cosmos_emulator.add_fault(dropAnswer=True, method="POST", path="/docs")
    with pytest.raises(AzureError):  # the lost connection, or a 409 should the SDK try again
        await tasks.create_item({"id": "1", "tenantId": "t"})
    assert (await tasks.read_item("1", "t"))["id"] == "1"


async def test_acknowledged_writes_survive_a_kill(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def write(container: ContainerProxy, writer: int) -> None:
        try:
            for number in range(10_000):
                name = f"{writer}-{number}"
                await container.create_item({"id": name, "tenantId": "t", "tags": [name]})
                acknowledged.append(name)
                if len(acknowledged) == 100:
                    enough.set()
        except AzureError:
            return  # the emulator is gone

    with running_cosmos(tmp_path) as account:
        assert account.process is not None
        async with account.client(retry_total=0, retry_connect=0) as client:
            database = await client.create_database("kill")
            container = await database.create_container("tasks", PartitionKey("/tenantId"))
            assert [row async for row in _tagged(container, "x")] == []
            writers = [asyncio.create_task(write(container, writer)) for writer in range(4)]
            await asyncio.wait_for(enough.wait(), 30)
            account.process.kill()
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
        account.process.start()
        async with account.client() as client:
            container = client.get_database_client("kill").get_container_client("tasks")
            found = [
                row async for row in container.query_items("SELECT VALUE c.id FROM c", partition_key="t")
            ]
            assert set(acknowledged) <= set(found)
            assert [row async for row in _tagged(container, acknowledged[-1])] == [acknowledged[-1]]


def _tagged(container: ContainerProxy, tag: str) -> Any:
    parameters: list[dict[str, object]] = [{"name": "@tag", "value": tag}]
    return container.query_items(
        "SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.tags, @tag)", parameters=parameters
    )


async def test_bulk_loaded_documents_are_like_any_other(tmp_path: Path) -> None:
    def documents(first: int) -> Any:
        return (
            {"id": str(n), "t": f"t{n % 7}", "k": "a", "tags": [f"tag{n}"]} for n in range(first, first + 500)
        )

    load(tmp_path, "bench", "things", documents(0), partition_key=["/t", "/k"])
    with running_cosmos(tmp_path) as account:
        async with account.client() as client:
            things = client.get_database_client("bench").get_container_client("things")
            assert (await things.read_item("8", ["t1", "a"]))["tags"] == ["tag8"]
            assert [row async for row in _tagged(things, "tag499")] == ["499"]
            assert load(tmp_path, "bench", "things", documents(500)) == 500
            assert [row async for row in _tagged(things, "tag999")] == ["999"]
            counted = things.query_items("SELECT VALUE COUNT(1) FROM c", partition_key=["t1"])
            assert [row async for row in counted] == [143]


async def test_it_stops_in_order(tmp_path: Path) -> None:
    with running_cosmos(tmp_path) as account:
        assert account.process is not None
        assert account.process.stop() == 0
