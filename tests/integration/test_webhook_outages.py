"""The receiver over the local stack while parts of it are gone, and what its deliveries lead to."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from castiel.domain.connections import ConnectionStatus
from castiel.domain.messages import parse_outbound
from castiel.domain.model import utc_date
from castiel.domain.webhooks import WebhookAudit, WebhookRequest, WebhookResponse, delivery_key
from castiel.errors import CastielError
from castiel.ports.clock import SystemClock
from castiel.services.webhooks.seen import COMPLETE_SINCE
from infra.local.sample import OTHERS, SALESFORCE, SampleProvider, plant, webhook_secret
from infra.local.session import until
from tests.support.app import InProcess, running_services

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.leaves_connections,
]

GITHUB, GOOGLE = OTHERS[0], OTHERS[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InProcess]:
    async with running_services(data=tmp_path_factory.mktemp("stack")) as running:
        for sample in (SALESFORCE, GITHUB, GOOGLE):
            control = running.control(sample.integration_id)
            await plant(running.services, control, sample)
            await control.close()
            registrations = running.services.stores.registrations
            registration = await registrations.get(sample.registration_id)
            registration.rate_limit_per_minute = 100_000
            await registrations.replace(registration)
        yield running


async def post(
    app: InProcess, headers: dict[str, str], body: bytes, sample: SampleProvider = SALESFORCE
) -> WebhookResponse:
    lowered = {name.lower(): value for name, value in headers.items()}
    request = WebhookRequest(sample.registration_id, "events", lowered, body, "203.0.113.7")
    return await app.services.webhook_receiver.handle(request)


async def callout(app: InProcess, delivery: str, **more: Any) -> WebhookResponse:
    event = {
        "deliveryId": delivery,
        "event": "contact.updated",
        "entity": "Contact",
        "id": "003000000000001AAA",
    }
    body = json.dumps({**event, **more}).encode()
    secret = (await webhook_secret(app.services)).encode()
    signature = hmac.digest(secret, body, hashlib.sha256).hex()
    return await post(app, {"X-Salesforce-Content-SHA256": signature}, body)


async def record(app: InProcess, delivery: str) -> WebhookAudit:
    """The audit record of one of Salesforce's deliveries of today."""
    key = delivery_key(SALESFORCE.registration_id, delivery)
    today = utc_date(SystemClock().now())
    found = await app.services.stores.webhook_audit.find(SALESFORCE.registration_id, today, key)
    assert found is not None
    return found


async def deliveries(app: InProcess, count: int) -> list[str]:
    """The ids of the deliveries that so many messages in the queue came from."""
    taken = await app.take("sync-outbound", count)
    return sorted(parse_outbound(message.body).delivery_id or "" for message in taken)


async def sweep(app: InProcess) -> bool:
    """One run of the scheduler; ``False`` while the queue does not work yet."""
    try:
        await app.services.scheduler.run()
    except CastielError:
        return False
    return True


async def test_while_service_bus_is_down_events_wait_in_their_audit(app: InProcess) -> None:
    await asyncio.to_thread(app.stack.kill, "servicebus")
    try:
        answers = await asyncio.gather(*(callout(app, f"held-{n}") for n in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        held = await record(app, "held-0")
        assert (held.pending, held.queued, len(held.pending_messages)) == (True, False, 1)
        assert (await callout(app, "held-0")).status == 200, "it is durable, so this is a duplicate"
    finally:
        await asyncio.to_thread(app.stack.start, "servicebus")
    await until(lambda: sweep(app), "the sweep sends what was held")
    sent = await record(app, "held-0")
    assert (sent.pending, sent.queued, sent.pending_messages) == (None, True, [])
    assert await deliveries(app, 5) == [f"held-{n}" for n in range(5)]


async def test_with_both_stores_down_the_sender_is_told_to_come_again(app: InProcess) -> None:
    assert (await callout(app, "before")).status == 200
    for server in ("servicebus", "cosmos"):
        await asyncio.to_thread(app.stack.kill, server)
    try:
        answer = await callout(app, "again")
        assert (answer.status, answer.body["error"]) == (503, "temporarily unavailable")
    finally:
        for server in ("servicebus", "cosmos"):
            await asyncio.to_thread(app.stack.start, server)

    async def accepted() -> bool:
        return (await callout(app, "again")).status == 200

    await until(accepted, "the delivery is taken when it comes again")
    await until(lambda: sweep(app), "what was held, if it was, is sent")
    assert await deliveries(app, 2) == ["again", "before"]


async def test_without_redis_and_after_its_loss_the_audit_is_the_judge(app: InProcess) -> None:
    names, url = ("once", "meanwhile"), app.stack.ready("redis")["url"]
    assert (await callout(app, "once")).status == 200
    await asyncio.to_thread(app.stack.kill, "redis")
    try:
        assert (await callout(app, "meanwhile")).status == 200
        first = [(await record(app, name)).correlation_id for name in names]
        assert {(await callout(app, name)).status for name in names} == {200}
    finally:
        await asyncio.to_thread(app.stack.start, "redis")
    async with Redis.from_url(url) as redis:
        await redis.flushall()

    async def asked_again() -> bool:
        assert {(await callout(app, name)).status for name in names} == {200}
        async with Redis.from_url(url) as redis:
            return bool(await redis.exists(f"castiel:mark:{COMPLETE_SINCE}"))

    await until(asked_again, "Redis is asked again", every=0.5)
    # Service Bus drops a second message with the same id by itself; here none was sent, and no record written.
    assert [(await record(app, name)).correlation_id for name in names] == first
    assert await deliveries(app, 2) == ["meanwhile", "once"]


async def test_a_large_event_goes_by_reference(app: InProcess) -> None:
    assert (await callout(app, "large", changes={"Description": "x" * 400_000})).status == 200
    [message] = [parse_outbound(taken.body) for taken in await app.take("sync-outbound", 1)]
    kept = await record(app, "large")
    assert message.changes == {}
    assert message.changes_reference == f"webhook-audit/{kept.registration_id}/{kept.received_on}/{kept.id}"
    assert kept.payload is not None


async def test_a_withdrawn_installation_marks_its_connection(app: InProcess) -> None:
    body = json.dumps({"action": "deleted", "installation": {"id": 1}}).encode()
    secret = (await webhook_secret(app.services, GITHUB)).encode()
    headers = {
        "X-GitHub-Event": "installation",
        "X-GitHub-Delivery": "g-1",
        "X-Hub-Signature-256": "sha256=" + hmac.digest(secret, body, hashlib.sha256).hex(),
    }
    assert (await post(app, headers, body, GITHUB)).status == 200
    connection = await app.services.stores.connections.get(GITHUB.tenant, GITHUB.connection_id)
    assert connection.status is ConnectionStatus.NEEDS_REAUTH


async def test_a_calendar_s_notice_pulls_what_has_changed(app: InProcess) -> None:
    headers = {
        "X-Goog-Channel-ID": "channel-1",
        "X-Goog-Channel-Token": await webhook_secret(app.services, GOOGLE),
        "X-Goog-Resource-State": "exists",
        "X-Goog-Resource-URI": "https://www.googleapis.com/calendar/v3/calendars/primary/events",
        "X-Goog-Message-Number": "2",
    }
    answer = await post(app, headers, b"", GOOGLE)
    assert (answer.status, answer.body["synced"]) == (200, True)

    async def pulled() -> bool:
        # Put back with a delay, it comes again: the pool may hold connections to a Redis that is gone.
        for message in await app.take("sync-inbound", 1, wait=2):
            await app.services.inbound_messages.handle(message)
        found = await app.services.stores.shards.count(GOOGLE.tenant, "event")
        return found == GOOGLE.records["Event"]

    await until(pulled, "the calendar's events are pulled")
