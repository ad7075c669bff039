"""What senders and receivers of a queue are promised, through the genuine SDK.

"learn" is https://learn.microsoft.com/azure/service-bus-messaging.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusMessageState, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusReceiver

from tests.support.servicebus import Bus, assert_nothing_comes, contract_bus, receive

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bus() -> AsyncIterator[Bus]:
    async with contract_bus() as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def bus(shared_bus: Bus) -> Bus:
    await shared_bus.clean("sync-inbound")
    return shared_bus


async def test_a_message_arrives_as_it_was_sent(bus: Bus) -> None:
    """learn/service-bus-messages-payloads: the broker leaves body and properties alone."""
    sender, receiver = await bus.sender(), await bus.receiver()
    sent = ServiceBusMessage(
        b'{"shard": "\xc3\xa9"}',
        message_id=str(uuid.uuid4()),
        correlation_id="corr-1",
        content_type="application/json",
        subject="inbound",
        to="somewhere",
        reply_to="elsewhere",
        time_to_live=timedelta(minutes=5),
        application_properties={"attempt": 3, "ratio": 0.5, "last": True, "tenant": "t-1"},
    )
    await sender.send_messages(sent)
    (message,) = await receive(receiver)
    assert b"".join(message.body) == b'{"shard": "\xc3\xa9"}'
    assert message.message_id == sent.message_id
    assert message.correlation_id == "corr-1"
    assert message.content_type == "application/json"
    assert (message.subject, message.to, message.reply_to) == ("inbound", "somewhere", "elsewhere")
    assert message.time_to_live == timedelta(minutes=5)
    assert message.application_properties == {
        b"attempt": 3,
        b"ratio": 0.5,
        b"last": True,
        b"tenant": b"t-1",
    }
    assert message.delivery_count == 0
    assert message.enqueued_time_utc is not None
    assert abs(message.enqueued_time_utc - datetime.now(UTC)) < timedelta(seconds=30)
    assert message.locked_until_utc is not None
    assert message.locked_until_utc - message.enqueued_time_utc > timedelta(seconds=50)
    await receiver.complete_message(message)


async def test_custom_annotations_are_kept(bus: Bus) -> None:
    """learn/service-bus-amqp-protocol-guide: message annotations pass through."""
    sender, receiver = await bus.sender(), await bus.receiver()
    sent = ServiceBusMessage("body")
    sent.raw_amqp_message.annotations = {"x-castiel-trace": "trace-1"}
    await sender.send_messages(sent)
    (message,) = await receive(receiver)
    assert message.raw_amqp_message.annotations is not None
    assert message.raw_amqp_message.annotations[b"x-castiel-trace"] == b"trace-1"
    await receiver.complete_message(message)


async def test_messages_come_in_the_order_of_their_numbers(bus: Bus) -> None:
    """learn/message-sequencing: numbers grow, and a queue hands out the lowest first."""
    sender, receiver = await bus.sender(), await bus.receiver()
    for index in range(5):
        await sender.send_messages(ServiceBusMessage(str(index)))
    messages = await receive(receiver, 5)
    assert [str(message) for message in messages] == ["0", "1", "2", "3", "4"]
    numbers = [message.sequence_number or 0 for message in messages]
    assert numbers == sorted(set(numbers))
    for message in messages:
        await receiver.complete_message(message)


async def test_a_batch_arrives_as_separate_messages(bus: Bus) -> None:
    """learn/service-bus-performance-improvements (batching): a batch is only a way to send."""
    sender, receiver = await bus.sender(), await bus.receiver()
    batch = await sender.create_message_batch()
    for index in range(20):
        batch.add_message(ServiceBusMessage(f"m{index}", application_properties={"index": index}))
    await sender.send_messages(batch)
    messages = await receive(receiver, 20)
    assert [(str(m), (m.application_properties or {})[b"index"]) for m in messages] == [
        (f"m{index}", index) for index in range(20)
    ]
    for message in messages:
        await receiver.complete_message(message)


async def test_a_body_that_only_resembles_a_batch_stays_one_message(bus: Bus) -> None:
    sender, receiver = await bus.sender(), await bus.receiver()
    body = b"\x00\x53\x75\xa0\x05abc"
    await sender.send_messages(ServiceBusMessage(body))
    (message,) = await receive(receiver)
    assert b"".join(message.body) == body
    await receiver.complete_message(message)


async def test_receive_and_delete_takes_the_message_at_once(bus: Bus) -> None:
    """learn/message-transfers-locks-settlement: settled as soon as it is transferred."""
    sender = await bus.sender()
    await sender.send_messages(ServiceBusMessage("once"))
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    async with bus.client.get_queue_receiver("sync-inbound", receive_mode=mode) as receiver:
        (message,) = await receive(receiver)
        assert str(message) == "once"
        assert await receiver.peek_messages(sequence_number=1) == []
    await assert_nothing_comes(await bus.receiver())


async def test_a_locked_message_is_hidden_from_other_receivers(bus: Bus) -> None:
    """learn/message-transfers-locks-settlement: peek-lock is exclusive."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages(ServiceBusMessage("mine"))
    (message,) = await receive(receiver)
    async with bus.client.get_queue_receiver("sync-inbound") as other:
        await assert_nothing_comes(other)
    await receiver.complete_message(message)


async def test_a_waiting_receiver_gets_a_message_promptly(bus: Bus) -> None:
    sender, receiver = await bus.sender(), await bus.receiver()
    await receiver.receive_messages(max_message_count=1, max_wait_time=0.1)
    delays = []
    for _ in range(5):
        waiting = asyncio.ensure_future(receiver.receive_messages(max_message_count=1, max_wait_time=5))
        await asyncio.sleep(0.1)  # so that it waits before the message is there
        started = time.monotonic()
        await sender.send_messages(ServiceBusMessage("now"))
        (message,) = await waiting
        delays.append(time.monotonic() - started)
        await receiver.complete_message(message)
    assert min(delays) < 1.0, delays


async def test_an_empty_queue_answers_after_the_wait_time(bus: Bus) -> None:
    receiver = await bus.receiver()
    started = time.monotonic()
    assert await receiver.receive_messages(max_message_count=10, max_wait_time=0.5) == []
    assert time.monotonic() - started > 0.4


async def test_prefetched_messages_come_back_uncounted_when_a_receiver_closes(bus: Bus) -> None:
    """learn/service-bus-prefetch: prefetched messages are locked; released ones are not counted as delivered."""
    sender, second = await bus.sender("sync-outbound"), await bus.receiver("sync-outbound")
    await sender.send_messages([ServiceBusMessage(str(index)) for index in range(10)])
    async with bus.client.get_queue_receiver("sync-outbound", prefetch_count=9) as first:
        (message,) = await receive(first)
        await first.complete_message(message)
    rest = await receive(second, 9, within=5)
    assert [(str(m), m.delivery_count) for m in rest] == [(str(index), 0) for index in range(1, 10)]
    for message in rest:
        await second.complete_message(message)


async def test_peek_shows_every_message_with_its_state(bus: Bus) -> None:
    """learn/message-browsing: active, locked, deferred and scheduled messages, in sequence order, untouched."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages([ServiceBusMessage(text) for text in ("locked", "deferred", "active")])
    locked, deferred = await receive(receiver, 2)
    await receiver.defer_message(deferred)
    (scheduled,) = await sender.schedule_messages(
        ServiceBusMessage("scheduled"), datetime.now(UTC) + timedelta(minutes=5)
    )
    seen = await receiver.peek_messages(max_message_count=10, sequence_number=1)
    assert [(str(message), message.state) for message in seen] == [
        ("locked", ServiceBusMessageState.ACTIVE),
        ("deferred", ServiceBusMessageState.DEFERRED),
        ("active", ServiceBusMessageState.ACTIVE),
        ("scheduled", ServiceBusMessageState.SCHEDULED),
    ]
    later = await receiver.peek_messages(max_message_count=2, sequence_number=deferred.sequence_number or 0)
    assert [str(message) for message in later] == ["deferred", "active"]
    if bus.local is not None:
        assert await bus.local.counts("sync-inbound") == {
            "active": 1,
            "scheduled": 1,
            "locked": 1,
            "deferred": 1,
            "deadLettered": 0,
        }
    await sender.cancel_scheduled_messages(scheduled)
    await receiver.complete_message(locked)
    for message in [
        *await receiver.receive_deferred_messages(deferred.sequence_number or 0),
        *await receive(receiver),
    ]:
        await receiver.complete_message(message)


@pytest.mark.slow
async def test_many_connections_share_the_work_and_nothing_comes_twice(bus: Bus) -> None:
    """learn/service-bus-queues-topics-subscriptions: competing consumers; each message goes to one of them."""
    width = 25 if bus.local is not None else 4  # Microsoft's emulator allows 10 connections
    buses = [Bus(bus.connection) for _ in range(width)]
    senders = await asyncio.gather(*(each.sender() for each in buses))
    receivers = await asyncio.gather(*(each.receiver() for each in buses))
    numbers = [str(index) for index in range(width * 20)]
    sending = [
        sender.send_messages([ServiceBusMessage(text) for text in numbers[index::width]])
        for index, sender in enumerate(senders)
    ]
    _, *drained = await asyncio.gather(
        asyncio.gather(*sending), *(_drain(receiver) for receiver in receivers)
    )
    received = [text for texts in drained for text in texts]
    assert sorted(received) == sorted(numbers)
    assert sum(1 for texts in drained if texts) > width // 2
    await asyncio.gather(*(each.close() for each in buses))


async def _drain(receiver: ServiceBusReceiver) -> list[str]:
    texts: list[str] = []
    while messages := await receiver.receive_messages(max_message_count=10, max_wait_time=1):
        for message in messages:
            texts.append(str(message))
            await receiver.complete_message(message)
    return texts
