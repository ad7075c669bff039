"""Deliveries with duplicates among them while the host is killed twice: each that got its 200 is one message.

``WEBHOOK_DELIVERIES`` distinct ones are sent: 400 by default, 5 000 by ``make webhook-faults``.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import httpx
import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

from infra.local.sample import SALESFORCE, plant, webhook_secret
from infra.local.session import Session, until
from tests.support.app import running_app

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

DISTINCT = int(os.environ.get("WEBHOOK_DELIVERIES", "400"))
TWICE = 0.2
SENDERS = 16


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[Session]:
    # The outbound worker is off: a message is the one effect that a delivery has here, and all are counted.
    settings = {"AzureWebJobs.SyncOutboundWorker.Disabled": "true"}
    async with running_app(settings=settings, lock=timedelta(seconds=60)) as running:
        async with running.control("salesforce") as control:
            await plant(running.services, control)
        registration = await running.services.stores.registrations.get(SALESFORCE.registration_id)
        registration.rate_limit_per_minute = 1_000_000
        await running.services.stores.registrations.replace(registration)
        yield running


class Sender:
    """Sends each delivery until it gets a 200, as a provider does."""

    def __init__(self, app: Session, secret: str) -> None:
        self._url = f"{app.url}/webhooks/{SALESFORCE.registration_id}/events"
        self._key = secret.encode()
        self.accepted: Counter[int] = Counter()
        self.again = 0

    async def took(self, wanted: float) -> bool:
        """Whether so many got their 200."""
        return self.accepted.total() >= wanted

    async def send(self, client: httpx.AsyncClient, number: int) -> None:
        event = {
            "deliveryId": f"d-{number}",
            "event": "contact.updated",
            "entity": "Contact",
            "id": f"003{number:012d}AAA",
        }
        body = json.dumps(event).encode()
        signature = hmac.digest(self._key, body, hashlib.sha256).hex()
        headers = {"X-Salesforce-Content-SHA256": signature}
        while True:
            try:
                answer = await client.post(self._url, content=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 200:
                self.accepted[number] += 1
                return
            assert answer is None or answer.status_code >= 500, answer.text
            self.again += 1
            await asyncio.sleep(0.05)


async def kill_at(app: Session, sender: Sender, shares: list[float]) -> None:
    """Kill the host when so many deliveries have been taken, and bring it back."""
    for share in shares:
        took = partial(sender.took, share * DISTINCT)
        await until(took, "so many deliveries are taken", within=900, every=0.005)
        await asyncio.to_thread(app.host.kill)
        await asyncio.to_thread(app.host.start)


async def queued(app: Session) -> Counter[str]:
    """How many messages each delivery has, by its id."""
    connection = app.services.settings.service_bus_connection_string
    assert connection is not None
    found: Counter[str] = Counter()
    async with (
        ServiceBusClient.from_connection_string(connection.get_secret_value()) as client,
        client.get_queue_receiver("sync-outbound") as receiver,
    ):
        while messages := await receiver.receive_messages(max_message_count=250, max_wait_time=2):
            for message in messages:
                found[json.loads(b"".join(message.body))["deliveryId"]] += 1
                await receiver.complete_message(message)
    return found


@pytest.mark.timeout(1200)
async def test_every_delivery_that_got_its_200_is_one_message(app: Session) -> None:
    chance = random.Random(5)
    numbers = [*range(DISTINCT), *chance.sample(range(DISTINCT), int(TWICE * DISTINCT))]
    chance.shuffle(numbers)
    waiting = iter(numbers)
    sender = Sender(app, await webhook_secret(app.services))

    async def work(client: httpx.AsyncClient) -> None:
        for number in waiting:
            await sender.send(client, number)

    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        await asyncio.gather(*(work(client) for _ in range(SENDERS)), kill_at(app, sender, [0.3, 0.7]))
    assert sender.accepted.total() == len(numbers)
    assert sender.again > 0, "the kills were felt"
    assert await queued(app) == Counter({f"d-{number}": 1 for number in range(DISTINCT)})
