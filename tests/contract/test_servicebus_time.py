"""Scheduled messages, time to live, and duplicate detection.

"learn" is https://learn.microsoft.com/azure/service-bus-messaging.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessageNotFoundError

from tests.support.servicebus import (
    Bus,
    assert_nothing_comes,
    connected_bus,
    contract_bus,
    eventually,
    receive,
    running_servicebus,
    write_config,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bus() -> AsyncIterator[Bus]:
    async with contract_bus() as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def bus(shared_bus: Bus) -> Bus:
    await shared_bus.clean("sync-inbound")
    return shared_bus


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def special(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    """Our emulator with queues whose windows and lives are short."""
    config = write_config(
        tmp_path_factory.mktemp("config"),
        window={"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT1S"},
        brief={
            "DefaultMessageTimeToLive": "PT1S",
            "DeadLetteringOnMessageExpiration": True,
            "LockDuration": "PT2S",
        },
        lossy={"DeadLetteringOnMessageExpiration": False},
    )
    async with (
        running_servicebus(config) as running,
        connected_bus(running.connection_string, running) as connected,
    ):
        yield connected


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_scheduled_message_comes_when_it_is_due(bus: Bus) -> None:
    """learn/message-sequencing (scheduled messages): by the schedule operation, with a new number when enqueued."""
    sender, receiver = await bus.sender(), await bus.receiver()
    due = soon(0.8)
    (number,) = await sender.schedule_messages(ServiceBusMessage("due"), due)
    (message,) = await receiver.receive_messages(max_message_count=1, max_wait_time=10)
    assert str(message) == "due"
    late = (datetime.now(UTC) - due).total_seconds()
    assert -0.01 < late < (0.25 if bus.local else 15)
    assert (message.sequence_number or 0) > number
    assert message.enqueued_time_utc is not None
    assert message.enqueued_time_utc >= due - timedelta(seconds=1)
    await receiver.complete_message(message)


async def test_a_plain_send_can_be_scheduled(bus: Bus) -> None:
    """learn/message-sequencing: ScheduledEnqueueTimeUtc on a regular send."""
    sender, receiver = await bus.sender(), await bus.receiver()
    due = soon(0.8)
    await sender.send_messages(
        [ServiceBusMessage("later", scheduled_enqueue_time_utc=due), ServiceBusMessage("now")]
    )
    (first,) = await receive(receiver)
    assert str(first) == "now"
    await receiver.complete_message(first)
    (second,) = await receiver.receive_messages(max_message_count=1, max_wait_time=10)
    assert str(second) == "later"
    assert datetime.now(UTC) >= due - timedelta(seconds=0.01)
    await receiver.complete_message(second)


async def test_a_cancelled_message_never_comes(bus: Bus) -> None:
    """learn/message-sequencing: scheduled messages can be cancelled by their numbers."""
    sender, receiver = await bus.sender(), await bus.receiver()
    numbers = await sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], soon(1.0))
    assert len(numbers) == 2
    await sender.cancel_scheduled_messages(numbers[0])
    with pytest.raises(MessageNotFoundError):
        await sender.cancel_scheduled_messages(numbers[0])
    (message,) = await receive(receiver)
    assert str(message) == "b"
    await receiver.complete_message(message)
    with pytest.raises(MessageNotFoundError):
        await sender.cancel_scheduled_messages(numbers[1])
    await assert_nothing_comes(receiver)


async def test_an_expired_message_goes_to_the_dead_letter_queue(bus: Bus) -> None:
    """learn/message-expiration and learn/service-bus-dead-letter-queues: TTLExpiredException."""
    sender, receiver, dead = await bus.sender(), await bus.receiver(), await bus.dead_letters()
    await sender.send_messages(
        [ServiceBusMessage("short", time_to_live=timedelta(seconds=0.5)), ServiceBusMessage("long")]
    )
    (message,) = await receive(dead, within=10)
    assert (str(message), message.dead_letter_reason) == ("short", "TTLExpiredException")
    await dead.complete_message(message)
    (message,) = await receive(receiver)
    assert str(message) == "long"
    await receiver.complete_message(message)


async def test_an_expired_message_is_dropped_where_the_queue_says_so(special: Bus) -> None:
    """learn/message-expiration: without dead-lettering on expiration it is deleted."""
    sender, receiver, dead = (
        await special.sender("lossy"),
        await special.receiver("lossy"),
        await special.dead_letters("lossy"),
    )
    await sender.send_messages(ServiceBusMessage("short", time_to_live=timedelta(seconds=0.3)))

    async def gone() -> bool:
        return await receiver.peek_messages(sequence_number=1) == []

    await eventually(gone, within=3)
    await assert_nothing_comes(dead)


async def test_the_queues_time_to_live_is_the_most(special: Bus) -> None:
    """learn/message-expiration: a message's time to live cannot be longer than the queue's."""
    sender, dead = await special.sender("brief"), await special.dead_letters("brief")
    started = time.monotonic()
    await sender.send_messages(ServiceBusMessage("long", time_to_live=timedelta(hours=1)))
    (message,) = await receive(dead, within=5)
    assert time.monotonic() - started > 0.9
    assert message.dead_letter_reason == "TTLExpiredException"
    await dead.complete_message(message)


async def test_a_message_does_not_expire_while_it_is_locked(special: Bus) -> None:
    """learn/message-expiration: an expired message under lock can still be completed."""
    sender, receiver, dead = (
        await special.sender("brief"),
        await special.receiver("brief"),
        await special.dead_letters("brief"),
    )
    await sender.send_messages([ServiceBusMessage("kept"), ServiceBusMessage("given back")])
    kept, given_back = await receive(receiver, 2)
    await assert_nothing_comes(dead, during=1.3)
    await receiver.complete_message(kept)
    await receiver.abandon_message(given_back)
    (message,) = await receive(dead, within=3)
    assert (str(message), message.dead_letter_reason) == ("given back", "TTLExpiredException")
    await dead.complete_message(message)


async def test_a_scheduled_message_lives_from_when_it_is_enqueued(bus: Bus) -> None:
    """learn/message-expiration: expires-at is the enqueue time plus the time to live."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.schedule_messages(ServiceBusMessage("x", time_to_live=timedelta(seconds=2)), soon(2.5))
    (message,) = await receive(receiver, within=8)
    assert str(message) == "x"
    await receiver.complete_message(message)


async def test_a_message_id_seen_in_the_window_is_accepted_and_dropped(bus: Bus) -> None:
    """learn/duplicate-detection: also after the first was completed; batches are judged message by message."""
    sender, receiver = await bus.sender(), await bus.receiver()
    same, new = str(uuid.uuid4()), str(uuid.uuid4())
    for text in ("first", "second"):
        await sender.send_messages(ServiceBusMessage(text, message_id=same))
    await sender.send_messages(
        [ServiceBusMessage("third", message_id=same), ServiceBusMessage("other", message_id=new)]
    )
    messages = await receive(receiver, 2)
    assert [str(message) for message in messages] == ["first", "other"]
    for message in messages:
        await receiver.complete_message(message)
    await sender.send_messages(ServiceBusMessage("fourth", message_id=same))
    await assert_nothing_comes(receiver)


async def test_scheduled_messages_take_part_in_duplicate_detection(bus: Bus) -> None:
    """learn/duplicate-detection: scheduled messages are included, however they were scheduled."""
    sender, receiver = await bus.sender(), await bus.receiver()
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    await sender.schedule_messages(ServiceBusMessage("scheduled", message_id=one), soon(0.5))
    await sender.send_messages(ServiceBusMessage("again", message_id=one))
    await sender.send_messages(ServiceBusMessage("plain", message_id=two))
    await sender.send_messages(
        ServiceBusMessage("again", message_id=two, scheduled_enqueue_time_utc=soon(0.3))
    )
    await sender.schedule_messages(ServiceBusMessage("again", message_id=two), soon(0.3))
    messages = await receive(receiver, 2)
    assert [str(message) for message in messages] == ["plain", "scheduled"]
    for message in messages:
        await receiver.complete_message(message)
    await assert_nothing_comes(receiver)


async def test_a_retry_copy_with_a_new_id_is_no_duplicate(bus: Bus) -> None:
    """learn/duplicate-detection: only the message id counts, not the content."""
    sender, receiver = await bus.sender(), await bus.receiver()
    task = uuid.uuid4()
    for attempt in range(3):
        await sender.send_messages(ServiceBusMessage("same body", message_id=f"{task}:retry-{attempt}"))
    messages = await receive(receiver, 3)
    for message in messages:
        await receiver.complete_message(message)


async def test_the_window_ends(special: Bus) -> None:
    """learn/duplicate-detection: an id is forgotten when the history window is over."""
    sender, receiver = await special.sender("window"), await special.receiver("window")
    await sender.send_messages(ServiceBusMessage("first", message_id="same"))
    await sender.send_messages(ServiceBusMessage("dropped", message_id="same"))
    (message,) = await receive(receiver)
    await receiver.complete_message(message)
    await assert_nothing_comes(receiver, during=1.2)
    await sender.send_messages(ServiceBusMessage("second", message_id="same"))
    (message,) = await receive(receiver)
    assert str(message) == "second"
    await receiver.complete_message(message)
