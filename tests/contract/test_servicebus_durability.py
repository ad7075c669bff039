"""What our emulator keeps across SIGKILL: all it acknowledged, and nothing that was settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessageLockLostError

from tests.support.servicebus import Bus, assert_nothing_comes, connected_bus, receive, running_servicebus

pytestmark = pytest.mark.stack


async def test_exactly_what_was_not_completed_is_there_after_a_kill(tmp_path: Path) -> None:
    async with running_servicebus(data=tmp_path / "bus") as running:
        async with connected_bus(running.connection_string) as bus:
            sender, receiver = await bus.sender(), await bus.receiver()
            for index in range(100):
                await sender.send_messages(ServiceBusMessage(str(index), message_id=f"m-{index}"))
            await sender.send_messages(
                [ServiceBusMessage(str(index), message_id=f"m-{index}") for index in range(100, 200)]
            )
            completed = set()
            for message in await receive(receiver, 120):
                if int(str(message)) % 2:
                    await receiver.complete_message(message)
                    completed.add(str(message))
            port = running.server.port
            await running.kill()
        await running.start()
        assert running.server.port == port
        async with connected_bus(running.connection_string) as bus:
            sender, receiver = await bus.sender(), await bus.receiver()
            await sender.send_messages(ServiceBusMessage("again", message_id="m-199"))  # a duplicate still
            rest = await receive(receiver, 200 - len(completed))
            assert len(completed) == 60
            assert [str(message) for message in rest] == [
                str(index) for index in range(200) if str(index) not in completed
            ]
            for message in rest:
                await receiver.complete_message(message)
            await assert_nothing_comes(receiver)
        assert sum((await running.counts("sync-inbound")).values()) == 0


async def test_every_kind_of_waiting_message_survives(tmp_path: Path) -> None:
    async with running_servicebus(data=tmp_path / "bus") as running:
        async with connected_bus(running.connection_string) as bus:
            deferred, cancelled, highest = await _leave_one_of_each(bus)
            await running.kill()
        await running.start()
        assert await running.counts("sync-inbound") == {
            "active": 1,
            "scheduled": 1,
            "locked": 0,
            "deferred": 1,
            "deadLettered": 1,
        }
        async with connected_bus(running.connection_string) as bus:
            sender, receiver, dead = await bus.sender(), await bus.receiver(), await bus.dead_letters()
            (abandoned,) = await receive(receiver)
            assert (str(abandoned), abandoned.delivery_count) == ("abandon", 1)
            (kept,) = await receiver.receive_deferred_messages(deferred)
            assert str(kept) == "defer"
            (dropped,) = await receive(dead)
            assert (str(dropped), dropped.dead_letter_reason) == ("dead", "Why")
            await receiver.complete_message(abandoned)
            (number,) = await sender.schedule_messages(
                ServiceBusMessage("new"), datetime.now(UTC) + timedelta(minutes=1)
            )
            assert number > max(highest, cancelled)
            assert [str(message) for message in await receiver.peek_messages(10, sequence_number=1)] == [
                "defer",
                "scheduled",
                "new",
            ]


async def _leave_one_of_each(bus: Bus) -> tuple[int, int, int]:
    sender, receiver = await bus.sender(), await bus.receiver()
    await sender.send_messages([ServiceBusMessage(text) for text in ("abandon", "defer", "dead")])
    abandon, defer, dead = await receive(receiver, 3)
    await receiver.defer_message(defer)
    await receiver.dead_letter_message(dead, reason="Why")
    due = datetime.now(UTC) + timedelta(minutes=1)
    scheduled, cancelled = await sender.schedule_messages(
        [ServiceBusMessage("scheduled"), ServiceBusMessage("cancelled")], due
    )
    await sender.cancel_scheduled_messages(cancelled)
    await receiver.abandon_message(abandon)
    return defer.sequence_number or 0, cancelled, scheduled


@pytest.mark.leaves_connections
async def test_a_restart_loses_locks_and_tells_so(tmp_path: Path) -> None:
    """https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement: a lock may be lost early."""
    async with (
        running_servicebus(data=tmp_path / "bus") as running,
        connected_bus(running.connection_string) as bus,
    ):
        sender, receiver = await bus.sender(), await bus.receiver()
        await sender.send_messages(ServiceBusMessage("held"))
        (message,) = await receive(receiver)
        await running.kill()
        await running.start()
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(message)
        (again,) = await receive(receiver)
        assert str(again) == "held"
        await receiver.complete_message(again)
