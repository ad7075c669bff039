"""The local Functions host's Service Bus pump when something ends under it: locks, the broker, the host itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.echo_app import ECHO_APP, EchoRecords
from tests.support.echo_bus import LOCK_SECONDS, Bus, eventually, order, orders, running_bus
from tests.support.host import running_host

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    async with running_bus(tmp_path) as broker:
        yield broker


@pytest.fixture
def records(tmp_path: Path) -> EchoRecords:
    return EchoRecords(tmp_path)


async def test_without_renewal_the_lock_is_lost_and_the_host_goes_on(bus: Bus, records: EchoRecords) -> None:
    settings = {
        **records.settings(bus=bus.connection),
        "AzureFunctionsJobHost__extensions__serviceBus__maxAutoLockRenewalDuration": "00:00:00",
    }
    async with running_host(ECHO_APP, settings) as host:
        await bus.send("echo-one", order(wait=1.5 * LOCK_SECONDS))
        await records.wait("one", 2)
        await eventually(
            lambda: asyncio.to_thread(lambda: "its lock was lost, it will come again" in host.log())
        )
        await bus.send("echo-one", order(n=2))
        await records.wait("one-done", 2)
    assert records.all("one")[1]["delivery_count"] == 2


async def test_the_pump_goes_on_when_the_broker_is_back(
    bus: Bus, records: EchoRecords, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    async with running_host(ECHO_APP, records.settings(bus=bus.connection)) as host:
        await bus.send("echo-one", order(n=1, until=str(killed)))
        await records.wait("one")
        await bus.client.close()
        await asyncio.to_thread(bus.server.kill)
        killed.touch()
        await records.wait("one-done")
        await eventually(lambda: asyncio.to_thread(lambda: host.log().count("trying again in") >= 5))
        await asyncio.to_thread(bus.server.start)
        bus.connect()
        await bus.send("echo-many", order(n=2))
        await records.wait("many")
        await records.wait("one-done", 2)  # its completion was lost with the connection
        await eventually(lambda: bus.is_empty("echo-one"))


async def test_a_stop_finishes_what_runs_and_leaves_the_rest_unlocked(bus: Bus, records: EchoRecords) -> None:
    async with running_host(ECHO_APP, records.settings(bus=bus.connection)) as host:
        await bus.send("echo-one", *orders({"n": n, "wait": 1.0} for n in range(6)))
        await records.wait("one", 4)
        assert await host.stop() == 0
        assert len(records.all("one-done")) == len(records.all("one")) == 4
        async with bus.client.get_queue_receiver("echo-one") as receiver:
            left = await receiver.receive_messages(6, max_wait_time=5.0)
            left += await receiver.receive_messages(6, max_wait_time=0.5) if len(left) < 2 else []
            # A lock that had run out would have counted as a delivery.
            assert [message.delivery_count for message in left] == [0, 0]


async def test_a_killed_hosts_message_comes_again_after_its_lock(
    bus: Bus, records: EchoRecords, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    async with running_host(ECHO_APP, records.settings(bus=bus.connection)) as host:
        await bus.send("echo-one", order(until=str(killed)))
        await records.wait("one")
        await host.kill()
        killed.touch()
        await host.start()
        await records.wait("one-done", within=LOCK_SECONDS + 10)
    assert [seen["delivery_count"] for seen in records.all("one")] == [1, 2]
