"""The local Functions host's Service Bus pump, against the local broker and through the genuine SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage

from tests.support.echo_app import ECHO_APP, EchoRecords
from tests.support.echo_bus import LOCK_SECONDS, MAX_DELIVERIES, Bus, eventually, order, orders, running_bus
from tests.support.host import RunningHost, running_host

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    async with running_bus(tmp_path_factory.mktemp("bus")) as broker:
        yield broker


@pytest.fixture(scope="module")
def all_records(tmp_path_factory: pytest.TempPathFactory) -> EchoRecords:
    return EchoRecords(tmp_path_factory.mktemp("echo"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(bus: Bus, all_records: EchoRecords) -> AsyncIterator[RunningHost]:
    async with running_host(ECHO_APP, all_records.settings(bus=bus.connection)) as running:
        yield running


@pytest.fixture
def records(host: RunningHost, all_records: EchoRecords) -> EchoRecords:
    all_records.clear()
    return all_records


async def test_a_message_arrives_with_its_properties_and_is_completed(bus: Bus, records: EchoRecords) -> None:
    message = ServiceBusMessage(
        '{"n": 1}',
        message_id="m-1",
        correlation_id="c-1",
        subject="s-1",
        application_properties={"kind": "inbound", "n": 7, "flag": True},
    )
    await bus.send("echo-one", message)
    [seen] = await records.wait("one-done") and records.all("one")
    await eventually(lambda: bus.is_empty("echo-one"))
    assert seen["body"] == {"n": 1}
    assert (seen["message_id"], seen["correlation_id"], seen["subject"]) == ("m-1", "c-1", "s-1")
    assert seen["application_properties"] == {"kind": "inbound", "n": 7, "flag": True}
    assert seen["delivery_count"] == 1
    assert "SequenceNumber" in seen["metadata"]
    assert seen["enqueued"].startswith("20")
    assert "+" not in seen["enqueued"]  # the platform sends no zone


async def test_a_failing_message_comes_again_at_once_until_it_is_dead_lettered(
    bus: Bus, host: RunningHost, records: EchoRecords
) -> None:
    await bus.send("echo-one", order(fail=True))
    await records.wait("one", MAX_DELIVERIES)
    await eventually(lambda: bus.is_empty("echo-one"))
    assert await bus.dead_letters("echo-one") == ["MaxDeliveryCountExceeded"]
    assert "the message asked for it" in host.log()
    assert [seen["delivery_count"] for seen in records.all("one")] == [1, 2, 3]


async def test_no_more_than_max_concurrent_calls_run_and_a_free_slot_goes_on_at_once(
    bus: Bus, records: EchoRecords
) -> None:
    await bus.send("echo-one", *orders({"n": n, "wait": 0.5} for n in range(12)))
    await records.wait("one-done", 12)
    running = most = 0
    for record in records.all():
        running += {"one": 1, "one-done": -1}[record["kind"]]
        most = max(most, running)
    assert most == 4  # the echo app's host.json
    freed = [record["at"] for record in records.all("one-done")][:8]
    taken = [record["at"] for record in records.all("one")][4:]
    gaps = sorted(start - end for end, start in zip(freed, taken, strict=True))
    assert gaps[len(gaps) // 2] < 0.1, gaps


async def test_a_lock_is_renewed_while_the_handler_runs(bus: Bus, records: EchoRecords) -> None:
    await bus.send("echo-one", order(wait=2 * LOCK_SECONDS))
    await records.wait("one-done")
    await eventually(lambda: bus.is_empty("echo-one"))
    assert len(records.all("one")) == 1


async def test_a_batch_is_one_call_and_is_completed_or_abandoned_as_one(
    bus: Bus, records: EchoRecords
) -> None:
    await bus.send("echo-many", *orders({"n": n} for n in range(20)))
    await eventually(lambda: bus.is_empty("echo-many"))
    assert sorted(body["n"] for call in records.all("many") for body in call["bodies"]) == list(range(20))
    assert len(records.all("many")) <= 3
    before = len(records.all("many"))
    await bus.send("echo-many", order(fail=True))
    await records.wait("many", before + MAX_DELIVERIES)
    await eventually(lambda: bus.is_empty("echo-many"))
    assert await bus.dead_letters("echo-many") == ["MaxDeliveryCountExceeded"]
