"""Answers on the wire that the SDK keeps its users from seeing, asked for with a plain AMQP client."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from proton import Condition, Delivery, Message
from proton.utils import BlockingConnection

from tests.support.servicebus import RunningServiceBus, running_servicebus, write_config

pytestmark = pytest.mark.stack


async def test_settling_after_the_lock_has_ended_is_answered_with_lock_lost(tmp_path: Path) -> None:
    """https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot (message-lock-lost)."""
    config = write_config(tmp_path, short={"LockDuration": "PT0.3S"})
    async with running_servicebus(config) as running:
        outcome, condition = await asyncio.to_thread(_settle_too_late, running)
        assert outcome == Delivery.REJECTED
        assert condition is not None
        assert condition.name == "com.microsoft:message-lock-lost"
        assert (await running.counts("short"))["active"] == 1


async def test_a_malformed_message_is_rejected_and_the_link_lives_on() -> None:
    """OASIS AMQP 1.0, part 1, section 2.8.15: amqp:decode-error."""
    async with running_servicebus() as running:
        assert await asyncio.to_thread(_send_garbage, running) == (Delivery.REJECTED, "amqp:decode-error")
        assert (await running.counts("sync-inbound"))["active"] == 1


async def test_what_is_no_amqp_only_loses_its_connection() -> None:
    async with running_servicebus() as running:
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x03\x01\x00\x00" + bytes(range(200))):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
            writer.write(junk)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), timeout=5)
            writer.close()
            await writer.wait_closed()
        assert await asyncio.to_thread(_send_garbage, running) == (Delivery.REJECTED, "amqp:decode-error")


def _settle_too_late(running: RunningServiceBus) -> tuple[int, Condition | None]:
    connection = BlockingConnection(f"amqp://127.0.0.1:{running.server.port}", timeout=10)
    try:
        connection.create_sender("short").send(Message(body=b"x", inferred=True))
        receiver = connection.create_receiver("short")
        receiver.receive(timeout=5)
        delivery = receiver.fetcher.unsettled[-1]
        time.sleep(0.5)  # the lock lasts 0.3 s
        delivery.update(Delivery.ACCEPTED)
        connection.wait(lambda: delivery.remote_state != 0, timeout=5, msg="outcome")
        return delivery.remote_state, delivery.remote.condition
    finally:
        connection.close()


def _send_garbage(running: RunningServiceBus) -> tuple[int, str]:
    connection = BlockingConnection(f"amqp://127.0.0.1:{running.server.port}", timeout=10)
    try:
        sender = connection.create_sender("sync-inbound")
        delivery = sender.link.delivery("garbage")
        sender.link.stream(b"\x00\x53\x77\xb0\xff")
        sender.link.advance()
        connection.wait(lambda: delivery.settled, timeout=5, msg="outcome")
        sender.send(Message(body=b"good", inferred=True))
        return delivery.remote_state, delivery.remote.condition.name
    finally:
        connection.close()
