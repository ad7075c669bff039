"""Settling messages, and what happens to those that nobody settles.

"learn" is https://learn.microsoft.com/azure/service-bus-messaging.
"""

from __future__ import annotations

import asyncio
import copy
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessageLockLostError, MessageNotFoundError

from tests.support.servicebus import (
    Bus,
    assert_nothing_comes,
    connected_bus,
    contract_bus,
    receive,
    running_servicebus,
    write_config,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]

LOCK_SECONDS = 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bus() -> AsyncIterator[Bus]:
    async with contract_bus() as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def bus(shared_bus: Bus) -> Bus:
    await shared_bus.clean("sync-inbound")
    return shared_bus


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def short(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    """Our emulator with a queue ``short``: locks of 1 s, three deliveries."""
    config = write_config(
        tmp_path_factory.mktemp("config"), short={"LockDuration": "PT1S", "MaxDeliveryCount": 3}
    )
    async with (
        running_servicebus(config) as running,
        connected_bus(running.connection_string, running) as connected,
    ):
        yield connected


async def test_a_completed_message_is_gone(bus: Bus) -> None:
    """learn/message-transfers-locks-settlement."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages(ServiceBusMessage("done"))
    (message,) = await receive(receiver)
    await receiver.complete_message(message)
    await assert_nothing_comes(receiver)
    assert await receiver.peek_messages(sequence_number=1) == []


async def test_an_abandoned_message_comes_back_at_once_and_counted(bus: Bus) -> None:
    """learn/message-transfers-locks-settlement: abandon releases the lock; the delivery count grows."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages([ServiceBusMessage("first"), ServiceBusMessage("second")])
    (message,) = await receive(receiver)
    await receiver.abandon_message(message)
    again = await receive(receiver, 2, within=5)
    assert [(str(m), m.delivery_count, m.sequence_number) for m in again] == [
        ("first", 1, message.sequence_number),
        ("second", 0, again[1].sequence_number),
    ]
    for message in again:
        await receiver.complete_message(message)


async def test_too_many_deliveries_end_in_the_dead_letter_queue(short: Bus) -> None:
    """learn/service-bus-dead-letter-queues: MaxDeliveryCountExceeded."""
    sender, receiver = await short.sender("short"), await short.receiver("short")
    await sender.send_messages(
        ServiceBusMessage("poison", correlation_id="c-1", application_properties={"n": 1})
    )
    for count in range(3):
        (message,) = await receive(receiver, within=5)
        assert message.delivery_count == count
        await receiver.abandon_message(message)
    await assert_nothing_comes(receiver)
    dead = await short.dead_letters("short")
    (message,) = await receive(dead)
    assert str(message) == "poison"
    assert message.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert message.dead_letter_error_description == "Message could not be consumed after 3 delivery attempts."
    assert message.correlation_id == "c-1"
    assert (message.application_properties or {})[b"n"] == 1
    for _ in range(4):  # the count does not matter any more
        await dead.abandon_message(message)
        (message,) = await receive(dead)
    await dead.complete_message(message)
    await assert_nothing_comes(dead)


async def test_dead_lettering_keeps_the_message_and_tells_why(bus: Bus) -> None:
    """learn/service-bus-dead-letter-queues: application-level dead-lettering with reason and description."""
    sender, receiver = await bus.sender(), await bus.receiver()
    identity = str(uuid.uuid4())
    await sender.send_messages(
        ServiceBusMessage(
            "bad",
            message_id=identity,
            subject="inbound",
            content_type="application/json",
            correlation_id="c-7",
            application_properties={"tenant": "t-1", "attempt": 4},
        )
    )
    (message,) = await receive(receiver)
    await receiver.dead_letter_message(message, reason="InvalidRecord", error_description="no name")
    dead = await bus.dead_letters()
    (message,) = await receive(dead)
    assert (message.dead_letter_reason, message.dead_letter_error_description) == ("InvalidRecord", "no name")
    assert (str(message), message.message_id, message.subject) == ("bad", identity, "inbound")
    assert (message.content_type, message.correlation_id) == ("application/json", "c-7")
    properties = message.application_properties or {}
    assert (properties[b"tenant"], properties[b"attempt"]) == (b"t-1", 4)
    await dead.complete_message(message)
    await assert_nothing_comes(receiver)


async def test_a_deferred_message_is_received_by_its_number_only(bus: Bus) -> None:
    """learn/message-deferral."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages(ServiceBusMessage("later"))
    (message,) = await receive(receiver)
    number = message.sequence_number or 0
    await receiver.defer_message(message)
    await assert_nothing_comes(receiver)
    (deferred,) = await receiver.receive_deferred_messages(number)
    assert (str(deferred), deferred.sequence_number) == ("later", number)
    await receiver.abandon_message(deferred)
    (deferred,) = await receiver.receive_deferred_messages([number])
    assert (deferred.delivery_count or 0) > (message.delivery_count or 0)
    await receiver.complete_message(deferred)
    with pytest.raises(MessageNotFoundError):
        await receiver.receive_deferred_messages(number)


async def test_a_deferred_message_can_be_dead_lettered(bus: Bus) -> None:
    """learn/message-deferral, settled over the management link with its lock token."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages(ServiceBusMessage("later"))
    (message,) = await receive(receiver)
    await receiver.defer_message(message)
    (deferred,) = await receiver.receive_deferred_messages(message.sequence_number or 0)
    await receiver.dead_letter_message(deferred, reason="Stale", error_description="too late")
    dead = await bus.dead_letters()
    (found,) = await receive(dead)
    assert (found.dead_letter_reason, found.dead_letter_error_description) == ("Stale", "too late")
    await dead.complete_message(found)


async def test_a_second_settlement_finds_the_lock_lost(bus: Bus) -> None:
    """learn/service-bus-messaging-exceptions-latest: MessageLockLost for a message already removed."""
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages(ServiceBusMessage("once"))
    (message,) = await receive(receiver)
    twin = copy.copy(message)
    await receiver.complete_message(message)
    with pytest.raises(MessageLockLostError):
        await receiver.complete_message(twin)


async def test_a_lock_ends_when_its_time_is_over(short: Bus) -> None:
    """learn/message-transfers-locks-settlement: the message becomes available again, its delivery counted."""
    sender, receiver = await short.sender("short"), await short.receiver("short")
    await sender.send_messages(ServiceBusMessage("slow"))
    (message,) = await receive(receiver)
    received_at = time.monotonic()
    assert message.locked_until_utc is not None
    promised = (message.locked_until_utc - datetime.now(UTC)).total_seconds()
    assert LOCK_SECONDS - 0.3 < promised <= LOCK_SECONDS
    (again,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
    assert time.monotonic() - received_at > promised - 0.25
    assert (again.delivery_count, again.sequence_number) == (1, message.sequence_number)
    with pytest.raises(MessageLockLostError):
        await receiver.complete_message(message)
    await receiver.complete_message(again)


async def test_a_renewed_lock_holds(short: Bus) -> None:
    """learn/message-transfers-locks-settlement: renewing sets the lock to its full duration from now."""
    sender, receiver = await short.sender("short"), await short.receiver("short")
    await sender.send_messages(ServiceBusMessage("slow"))
    (message,) = await receive(receiver)
    for _ in range(3):
        await asyncio.sleep(LOCK_SECONDS / 2)
        until = await receiver.renew_message_lock(message)
        assert abs((until - datetime.now(UTC)).total_seconds() - LOCK_SECONDS) < 0.25
    await assert_nothing_comes(receiver, during=LOCK_SECONDS / 3)
    await receiver.complete_message(message)
    await assert_nothing_comes(receiver, during=LOCK_SECONDS)


async def test_lock_expiries_count_towards_the_most_deliveries(short: Bus) -> None:
    """learn/service-bus-dead-letter-queues: the count also grows when a lock expires."""
    sender, receiver, dead = (
        await short.sender("short"),
        await short.receiver("short"),
        await short.dead_letters("short"),
    )
    await sender.send_messages(ServiceBusMessage("slow"))
    for count in range(3):
        (message,) = await receive(receiver, within=5)
        assert message.delivery_count == count
    (message,) = await receive(dead, within=5)
    assert message.dead_letter_reason == "MaxDeliveryCountExceeded"
    await dead.complete_message(message)


async def test_a_client_that_disappears_leaves_its_messages(short: Bus) -> None:
    """learn/message-transfers-locks-settlement: when the client fails, the lock expires and the message comes back."""
    sender, receiver = await short.sender("short"), await short.receiver("short")
    await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    assert short.local is not None
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _VICTIM,
        short.local.connection_string,
        stdout=asyncio.subprocess.PIPE,
    )
    assert victim.stdout is not None
    assert await victim.stdout.readline() == b"2\n"
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    assert (await short.local.counts("short"))["locked"] == 2
    messages = await receive(receiver, 2, within=5)
    assert [(str(message), message.delivery_count) for message in messages] == [("a", 1), ("b", 1)]
    for message in messages:
        await receiver.complete_message(message)


_VICTIM = """
import sys, time
from azure.servicebus import ServiceBusClient
client = ServiceBusClient.from_connection_string(sys.argv[1])
receiver = client.get_queue_receiver("short")
print(len(receiver.receive_messages(max_message_count=2, max_wait_time=10)), flush=True)
time.sleep(60)
"""
