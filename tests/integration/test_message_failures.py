"""Messages that can't be handled: the dead-letter queue for what can't be read, growing delays for what may pass."""

from __future__ import annotations

import itertools
import re

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient

from castiel.domain.results import SyncResult
from castiel.domain.tasks import TaskStatus
from castiel.ports.clock import SystemClock
from infra.local.sample import TENANT, plant
from infra.local.session import Session
from tests.support.app import InProcess, running_app, running_services

pytestmark = [pytest.mark.stack, pytest.mark.slow]


async def dead_letters(app: Session, queue: str) -> list[tuple[str, str]]:
    connection = app.services.settings.service_bus_connection_string
    assert connection is not None
    async with ServiceBusClient.from_connection_string(connection.get_secret_value()) as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(ServiceBusMessage(b'{"tenantId": 7', message_id="broken"))
        async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            found = await receiver.receive_messages(max_message_count=5, max_wait_time=30)
            return [(message.message_id, message.dead_letter_reason) for message in found]


@pytest.mark.parametrize("queue", ["sync-inbound", "sync-outbound"])
async def test_a_message_that_cannot_be_read_ends_in_the_dead_letter_queue(queue: str) -> None:
    async with running_app(max_delivery=3) as app:
        assert await dead_letters(app, queue) == [("broken", "MaxDeliveryCountExceeded")]


class NoChance(SystemClock):
    """Jitter at its upper end, so that the growth of the delays can be seen."""

    def random(self) -> float:
        return 0.999


async def pump(app: InProcess, messages: int) -> None:
    for _ in range(messages):
        [message] = await app.take("sync-inbound")
        await app.services.inbound_worker.handle(message)


async def test_a_salesforce_503_is_retried_with_a_delay_that_grows_and_then_given_up_whole() -> None:
    settings = {"SYNC_RETRY_BASE_SECONDS": "0.4"}
    async with running_services(settings=settings, clock=NoChance()) as app, app.control() as control:
        await plant(app.services, control)
        await control.fault("status", status=503, path="query", times=None)
        await app.services.scheduler.run()
        await pump(app, 4)

        calls = await control.calls(path="query", status=503)
        times = [call["atMs"] for call in calls]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(gaps) == 3
        assert gaps[0] >= 390
        assert gaps[1] >= 1.5 * 390
        assert gaps[2] >= 3 * 390

        task = await app.services.stores.tasks.get(TENANT, "sync-001")
        assert task.status is TaskStatus.FAILED
        result = await result_of(app)
        assert (result.status, result.error_code) == ("failed", "ProviderUnavailable")
        assert result.given_up_message is not None
        assert result.given_up_message["body"]["taskId"] == "sync-001"


async def result_of(app: InProcess) -> SyncResult:
    task = await app.services.stores.tasks.get(TENANT, "sync-001")
    assert task.started_at is not None
    async for result in app.services.stores.results.of_tenant(TENANT, task.started_at):
        assert isinstance(result, SyncResult)
        return result
    raise AssertionError("no result was stored")


async def test_a_run_that_fails_once_goes_on_where_it_was() -> None:
    settings = {"SYNC_RETRY_BASE_SECONDS": "0.1"}
    async with running_services(settings=settings) as app, app.control() as control:
        await plant(app.services, control)
        await control.fault("status", status=503, path="query.*Contact", times=1)
        await app.services.scheduler.run()
        await pump(app, 2)
        result = await result_of(app)
        assert (result.status, result.records_created) == ("success", 250)
        assert await app.services.stores.shards.count(TENANT) == 250
        asked = [str(call["query"]) for call in await control.calls(path="query", status=200)]
        assert len([query for query in asked if re.search(r"FROM\W+(20)?Account\b", query)]) == 1
