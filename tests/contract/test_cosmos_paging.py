"""Pages of results: https://learn.microsoft.com/azure/cosmos-db/nosql/query/pagination."""

from __future__ import annotations

from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

pytestmark = pytest.mark.stack

COUNT = 45
STATUSES = ("pending", "queued", "failed")
SCHEDULER = (
    "SELECT VALUE c.id FROM c WHERE c.enabled = true AND (c.status = 'pending' OR (IS_DEFINED(c.next) AND c.next <= @now"
    " AND c.status NOT IN ('queued', 'processing'))) AND c.priority = @p ORDER BY c.next"
)


def _task(number: int) -> dict[str, Any]:
    task = {
        "id": f"task-{number:02}",
        "tenantId": f"t{number % 4}",
        "status": STATUSES[number % 3],
        "enabled": number % 5 != 0,
        "priority": "high" if number % 2 else "low",
        "n": number // 3,
        "keys": [f"k{number % 3}", "all"],
    }
    return task if number % 7 == 0 else {**task, "next": f"2026-01-{1 + number * 11 % 28:02}"}


TASKS = [_task(number) for number in range(COUNT)]


@pytest.fixture
async def tasks(cosmos_database: DatabaseProxy) -> ContainerProxy:
    policy = {"compositeIndexes": [[{"path": "/status"}, {"path": "/n", "order": "descending"}]]}
    tasks = await cosmos_database.create_container("tasks", PartitionKey("/tenantId"), indexing_policy=policy)
    for task in TASKS:
        await tasks.create_item(task)
    return tasks


async def _pages(tasks: ContainerProxy, text: str, size: int, **options: Any) -> list[list[Any]]:
    """Every page, each asked for by a new query object with nothing but the token."""
    pages: list[list[Any]] = []
    token = None
    while token is not None or not pages:
        pager = tasks.query_items(text, max_item_count=size, **options).by_page(token)
        async for page in pager:  # at most one; none where there are no results
            pages.append([row async for row in page])
            break
        else:
            return pages
        token = pager.continuation_token  # type: ignore[attr-defined]
    return pages


@pytest.mark.parametrize("size", [1, 4, 45, 100])
@pytest.mark.parametrize(
    "text",
    [
        "SELECT VALUE c.id FROM c",
        "SELECT VALUE c.id FROM c ORDER BY c.n DESC",
        "SELECT VALUE c.id FROM c ORDER BY c.status, c.n DESC",
        "SELECT VALUE c.id FROM c ORDER BY c.next",
        "SELECT VALUE c.id FROM c WHERE c.n >= 3 AND c.n < 9",
        "SELECT VALUE c.id FROM c WHERE c.n > 3 AND c.status = 'failed' ORDER BY c.n",
        "SELECT VALUE c.id FROM c WHERE c.status IN ('failed', 'queued') OR c.n > 10 OR c.next > '2026-01-20'",
        "SELECT VALUE k FROM c JOIN k IN c.keys WHERE k != 'k1'",
        "SELECT VALUE c.id FROM c WHERE c.n > 2 ORDER BY c.n OFFSET 3 LIMIT 11",
        "SELECT TOP 7 VALUE c.id FROM c ORDER BY c.next DESC",
        "SELECT DISTINCT VALUE c.n FROM c",
        "SELECT VALUE c.id FROM c WHERE c.id = 'none'",
    ],
)
async def test_pages_add_up_to_the_whole(tasks: ContainerProxy, text: str, size: int) -> None:
    whole = [row async for row in tasks.query_items(text)]
    pages = await _pages(tasks, text, size)
    assert [row for page in pages for row in page] == whole
    assert all(len(page) == size for page in pages[:-1])


async def test_pages_within_a_partition_and_a_prefix(
    cosmos_database: DatabaseProxy, tasks: ContainerProxy
) -> None:
    pages = await _pages(tasks, "SELECT VALUE c.id FROM c ORDER BY c.n DESC", 5, partition_key="t1")
    expected = [task["id"] for task in sorted(TASKS, key=lambda task: -task["n"]) if task["tenantId"] == "t1"]
    assert sorted(name for page in pages for name in page) == sorted(expected)
    nested = await cosmos_database.create_container(
        "nested", PartitionKey(["/tenantId", "/status"], kind="MultiHash")
    )
    for task in TASKS:
        await nested.create_item(task)
    found = [
        row
        async for row in nested.query_items(
            "SELECT VALUE c.id FROM c", partition_key=["t1"], max_item_count=2
        )
    ]
    assert sorted(found) == sorted(expected)


def _due(task: dict[str, Any], now: str) -> bool:
    due = "next" in task and task["next"] <= now and task["status"] not in ("queued", "processing")
    return task["enabled"] and task["priority"] == "high" and (task["status"] == "pending" or due)


async def test_the_schedulers_query_streams_in_order(tasks: ContainerProxy) -> None:
    parameters: list[dict[str, object]] = [
        {"name": "@now", "value": "2026-01-15"},
        {"name": "@p", "value": "high"},
    ]
    found = [row for page in await _pages(tasks, SCHEDULER, 3, parameters=parameters) for row in page]
    due = {task["id"]: task.get("next", "") for task in TASKS if _due(task, "2026-01-15")}
    assert len(due) > 6
    assert sorted(found) == sorted(due)
    assert [due[name] for name in found] == sorted(due.values())


async def test_items_that_leave_the_results_between_pages_hide_no_others(tasks: ContainerProxy) -> None:
    """What a page returned may be changed at once, as the scheduler does with what it claims."""
    claimed = []
    parameters: list[dict[str, object]] = [
        {"name": "@now", "value": "2026-01-15"},
        {"name": "@p", "value": "high"},
    ]
    by_id = {task["id"]: task for task in TASKS}
    pages = tasks.query_items(SCHEDULER, parameters=parameters, max_item_count=2).by_page()
    async for page in pages:
        async for name in page:
            claimed.append(name)
            await tasks.upsert_item({**by_id[name], "status": "queued"})
    assert sorted(claimed) == sorted(task["id"] for task in TASKS if _due(task, "2026-01-15"))


async def test_all_items_can_be_read_without_a_query(tasks: ContainerProxy) -> None:
    found = [item["id"] async for item in tasks.read_all_items(max_item_count=10)]
    assert sorted(found) == [task["id"] for task in TASKS]


async def test_a_token_of_another_query_is_400(tasks: ContainerProxy) -> None:
    pager = tasks.query_items("SELECT VALUE c.id FROM c", max_item_count=2).by_page()
    await anext(pager)
    token = pager.continuation_token  # type: ignore[attr-defined]
    with pytest.raises(CosmosHttpResponseError) as caught:
        await anext(tasks.query_items("SELECT * FROM c", max_item_count=2).by_page(token))
    assert caught.value.status_code == 400
