"""What :class:`~castiel.ports.messaging.Queue` promises, kept by Service Bus: batches by count and by size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from castiel.azure.service_bus import ServiceBusQueue
from castiel.errors import ConfigurationError, MessageTooLarge
from castiel.ports.messaging import QueueMessage
from tests.support.servicebus import Bus, contract_bus, receive

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]

QUEUE = "sync-inbound"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bus() -> AsyncIterator[Bus]:
    async with contract_bus() as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def bus(shared_bus: Bus) -> Bus:
    await shared_bus.clean(QUEUE)
    return shared_bus


@pytest_asyncio.fixture(loop_scope="module")
async def queue(bus: Bus) -> AsyncIterator[ServiceBusQueue]:
    found = ServiceBusQueue(bus.client, QUEUE)
    yield found
    await found.close()


def message(name: str, body: str = "{}") -> QueueMessage:
    return QueueMessage(name, body, f"exec-{name}", time_to_live=timedelta(hours=1))


async def names(bus: Bus, count: int) -> list[str]:
    receiver = await bus.receiver()
    taken: list[str] = []
    while len(taken) < count:
        found = await receive(receiver, count - len(taken))
        assert found, f"{len(taken)} of {count} messages came"
        for each in found:
            await receiver.complete_message(each)
        taken += [str(each.message_id) for each in found]
    return taken


async def test_more_messages_than_a_batch_takes_arrive_in_order(queue: ServiceBusQueue, bus: Bus) -> None:
    expected = [f"count-{number:03d}" for number in range(230)]
    await queue.send([message(name) for name in expected])
    assert await names(bus, len(expected)) == expected


async def test_more_bytes_than_a_batch_takes_arrive_in_order(queue: ServiceBusQueue, bus: Bus) -> None:
    expected = [f"size-{number}" for number in range(7)]
    await queue.send([message(name, "x" * 90 * 1024) for name in expected])
    assert await names(bus, len(expected)) == expected


async def test_a_message_that_is_too_large_is_named_so_and_those_before_it_are_sent(
    queue: ServiceBusQueue, bus: Bus
) -> None:
    with pytest.raises(MessageTooLarge):
        await queue.send([message("before"), message("huge", "x" * 257 * 1024), message("after")])
    await queue.send([message("later")])
    assert await names(bus, 2) == ["before", "later"]


async def test_nothing_to_send_is_sent_without_a_call() -> None:
    unreachable = ServiceBusQueue(None, QUEUE)  # type: ignore[arg-type]
    await unreachable.send([])


async def test_an_unknown_queue_says_which_setting_to_look_at(bus: Bus) -> None:
    queue = ServiceBusQueue(bus.client, "no-such-queue")
    with pytest.raises(ConfigurationError, match="SERVICE_BUS_QUEUE"):
        await queue.send([message("lost")])
    await queue.close()
