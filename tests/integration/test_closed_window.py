"""A provider that closes its window for one instance is left alone by all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

from castiel.bootstrap import Services, build
from castiel.ports.messaging import ReceivedMessage
from infra.local.sample import SampleProvider, plant
from infra.local.sandbox.notion.ids import CONTACTS_ID
from tests.support.app import InProcess, running_services

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

QUEUE = "sync-outbound"
RETRY_AFTER = 5
NOTION = SampleProvider(
    "notion", "no", {"Page": "page"}, {"Page": 3}, {"dataSourceId": CONTACTS_ID}, tenant="tenant-window"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[InProcess]:
    async with running_services(settings={"SYNC_RETRY_BASE_SECONDS": "0.1"}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(stack: InProcess) -> AsyncIterator[Services]:
    services = build(stack.services.settings)
    yield services
    await services.aclose()


async def announced(stack: InProcess, title: str) -> ReceivedMessage:
    changes = stack.services.local_changes
    await changes.create(NOTION.tenant, "page", {"title": title}, correlation_id=f"test-{title}")
    [message] = await stack.take(QUEUE)
    return message


async def test_a_window_closed_to_one_instance_is_closed_to_the_other(
    stack: InProcess, other: Services
) -> None:
    async with stack.control("notion") as control:
        await plant(stack.services, control, NOTION)
        mine, theirs = await announced(stack, "Mine"), await announced(stack, "Theirs")
        await control.fault("status", status=429, path="/v1/pages", retry_after=RETRY_AFTER, times=1)
        await control.clear_calls()

        await stack.services.outbound_worker.handle([mine])
        [refused] = await control.calls(status=429)
        opens_ms = refused["atMs"] + RETRY_AFTER * 1000

        # The other instance has never been refused. It waits, or puts its message back; it does not call.
        await other.outbound_worker.handle([theirs])
        left = 2 - len([r for r in await control.records("Page") if r["Name"] == "Theirs"])
        for _ in range(left):
            [copy] = await stack.take(QUEUE, 1, wait=RETRY_AFTER + 10)
            await other.outbound_worker.handle([copy])

        later = [call for call in await control.calls() if call["seq"] > refused["seq"]]
        assert later
        assert min(call["atMs"] for call in later) >= opens_ms
        pages = [record["Name"] for record in await control.records("Page")]
        assert sorted(name for name in pages if name in ("Mine", "Theirs")) == ["Mine", "Theirs"]


async def put_back(stack: InProcess) -> list[tuple[str, int]]:
    """Why each message that waits in the queue was put back, and as which try; scheduled ones too."""
    connection = stack.services.settings.service_bus_connection_string
    assert connection is not None
    async with (
        ServiceBusClient.from_connection_string(connection.get_secret_value()) as client,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        found = await receiver.peek_messages(max_message_count=100)
    told = [{str(as_text(k)): as_text(v) for k, v in (m.application_properties or {}).items()} for m in found]
    return [(each["reason"], each["attempt"]) for each in told]


def as_text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


async def test_our_own_limit_queues_creates_and_puts_updates_back(stack: InProcess) -> None:
    """Neither is a failed try, and neither reaches the provider. A create keeps a place in the line; an update, which
    is not safe to do late, has none."""
    async with stack.control("notion") as control:
        await plant(stack.services, control, NOTION)
        connections, changes = stack.services.stores.connections, stack.services.local_changes
        known = await changes.create(NOTION.tenant, "page", {"title": "Known"}, correlation_id="test-known")
        await stack.services.outbound_worker.handle(await stack.take(QUEUE))
        connection = await connections.get(NOTION.tenant, NOTION.connection_id)
        connection.rate_limits = {"create": 1, "update": 1}
        await connections.replace(connection)
        creates = [await announced(stack, title) for title in ("Third", "Fourth")]
        await control.clear_calls()
        for create in creates:
            await stack.services.outbound_worker.handle([create])
        assert await control.calls(method="POST", path="/v1/pages") == []
        status = await stack.services.limiter.status(NOTION.tenant, "notion", connection)
        assert sum(status.waiting.values()) == 2
        for title in ("Once", "Twice"):
            await changes.update(NOTION.tenant, known.id, {"title": title}, correlation_id="test-change")
            await stack.services.outbound_worker.handle(await stack.take(QUEUE))
        assert len(await control.calls(method="PATCH")) == 1
        status = await stack.services.limiter.status(NOTION.tenant, "notion", connection)
        assert sum(status.waiting.values()) == 2
        assert await put_back(stack) == [("RateLimited", 0)] * 3
