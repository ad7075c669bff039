"""What a queue refuses, and how clearly it says so.

"learn" is https://learn.microsoft.com/azure/service-bus-messaging.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
)

from tests.support.servicebus import Bus, contract_bus, receive, running_servicebus

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bus() -> AsyncIterator[Bus]:
    async with contract_bus() as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def bus(shared_bus: Bus) -> Bus:
    await shared_bus.clean("sync-inbound")
    return shared_bus


async def test_a_message_over_256_kb_is_refused_and_the_sender_still_works(bus: Bus) -> None:
    """learn/service-bus-quotas: 256 KB in the Standard tier, properties included."""
    sender, receiver = await bus.sender(), await bus.receiver()
    with pytest.raises(MessageSizeExceededError):
        await sender.send_messages(ServiceBusMessage(b"x" * 256 * 1024))
    large = b"y" * 250 * 1024
    await sender.send_messages(ServiceBusMessage(large))
    (message,) = await receive(receiver)
    assert b"".join(message.body) == large
    await receiver.complete_message(message)


async def test_a_batch_holds_256_kb(bus: Bus) -> None:
    """learn/service-bus-quotas: a batch may be as large as a message; the SDK learns that from the link."""
    sender = await bus.sender()
    batch = await sender.create_message_batch()
    assert batch.max_size_in_bytes == 256 * 1024
    batch.add_message(ServiceBusMessage(b"x" * 200 * 1024))
    with pytest.raises(MessageSizeExceededError):
        batch.add_message(ServiceBusMessage(b"x" * 60 * 1024))


async def test_a_scheduled_message_over_256_kb_is_refused(bus: Bus) -> None:
    """learn/service-bus-quotas."""
    sender = await bus.sender()
    with pytest.raises(ServiceBusError):
        await sender.schedule_messages(
            ServiceBusMessage(b"x" * 257 * 1024), datetime.now(UTC) + timedelta(minutes=1)
        )


async def test_unknown_queues_are_reported_quickly(bus: Bus) -> None:
    """learn/service-bus-messaging-exceptions-latest: MessagingEntityNotFound."""
    started = time.monotonic()
    with pytest.raises(MessagingEntityNotFoundError):
        async with bus.client.get_queue_sender("no-such-queue") as sender:
            await sender.send_messages(ServiceBusMessage("x"))
    with pytest.raises(MessagingEntityNotFoundError):
        async with bus.client.get_queue_receiver("no-such-queue") as receiver:
            await receiver.receive_messages(max_wait_time=1)
    # Without an answer the SDK would wait for a minute and try three times more.
    assert time.monotonic() - started < 60


async def test_queue_names_are_case_insensitive(bus: Bus) -> None:
    """learn/service-bus-queues-topics-subscriptions and the naming rules of Azure resources."""
    sender, receiver = await bus.sender("SYNC-Inbound"), await bus.receiver()
    await sender.send_messages(ServiceBusMessage("x"))
    (message,) = await receive(receiver)
    await receiver.complete_message(message)


async def test_what_the_emulator_leaves_out_is_refused_by_name(bus: Bus) -> None:
    if bus.local is None:
        pytest.skip("a real Service Bus has sessions and topics")
    with pytest.raises(ServiceBusError, match="amqp:not-implemented"):
        async with bus.client.get_queue_receiver("sync-inbound", session_id="s") as receiver:
            await receiver.receive_messages(max_wait_time=1)
    with pytest.raises(ServiceBusError, match="amqp:not-implemented"):
        async with bus.client.get_subscription_receiver("topic", "subscription") as receiver:
            await receiver.receive_messages(max_wait_time=1)
    with pytest.raises(ServiceBusError, match="amqp:not-allowed"):
        async with bus.client.get_queue_sender("sync-inbound/$DeadLetterQueue") as sender:
            await sender.send_messages(ServiceBusMessage("x"))


async def test_the_status_port_answers() -> None:
    """The health address is that of Microsoft's emulator (learn/test-locally-with-service-bus-emulator)."""
    async with running_servicebus() as running:
        assert await running.counts("sync-outbound") == {
            "active": 0,
            "scheduled": 0,
            "locked": 0,
            "deferred": 0,
            "deadLettered": 0,
        }
        with urllib.request.urlopen(f"{running.status_url}/health", timeout=5) as response:  # noqa: ASYNC210, S310
            assert response.status == 200
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{running.status_url}/other", timeout=5)  # noqa: ASYNC210, S310
