"""The webhook endpoint through the functions host: who is refused, and what a delivery does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

from infra.local.sample import SALESFORCE, plant, webhook_secret
from infra.local.session import Session
from tests.support.app import running_app

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EVENT = {"deliveryId": "d-1", "event": "contact.updated", "entity": "Contact", "id": "003000000000001AAA"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[Session]:
    # The outbound worker is off: what was queued stays in the queue to be counted.
    async with running_app(settings={"AzureWebJobs.SyncOutboundWorker.Disabled": "true"}) as running:
        async with running.control("salesforce") as control:
            await plant(running.services, control)
        yield running


async def post(
    app: Session, body: bytes, *, secret: str | None = None, registration: str = SALESFORCE.registration_id
) -> httpx.Response:
    key = (secret or await webhook_secret(app.services)).encode()
    headers = {"X-Salesforce-Content-SHA256": hmac.digest(key, body, hashlib.sha256).hex()}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{app.url}/webhooks/{registration}/events", content=body, headers=headers)


def event(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


async def queued(app: Session) -> list[str]:
    connection = app.services.settings.service_bus_connection_string
    assert connection is not None
    async with (
        ServiceBusClient.from_connection_string(connection.get_secret_value()) as client,
        client.get_queue_receiver("sync-outbound") as receiver,
    ):
        peeked = await receiver.peek_messages(max_message_count=100)
    return [json.loads(b"".join(message.body))["deliveryId"] for message in peeked]


async def test_a_signed_delivery_is_queued_once_however_often_it_comes(app: Session) -> None:
    first = await post(app, event(deliveryId="once"))
    again = await post(app, event(deliveryId="once"))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == {
        "success": True,
        "eventType": "contact.updated",
        "entityId": EVENT["id"],
        "synced": True,
    }
    assert (await queued(app)).count("once") == 1


async def test_a_wrong_signature_is_refused_and_queues_nothing(app: Session) -> None:
    answer = await post(app, event(deliveryId="forged"), secret="not the secret")
    assert answer.status_code == 401
    assert "forged" not in await queued(app)


async def test_malformed_json_is_a_bad_request(app: Session) -> None:
    assert (await post(app, b'{"event": ')).status_code == 400


async def test_an_unknown_registration_is_not_found(app: Session) -> None:
    assert (await post(app, event(), registration="reg-unknown")).status_code == 404


async def test_a_body_over_the_limit_is_too_large(app: Session) -> None:
    assert (await post(app, event(changes={"a": "x" * 1_100_000}))).status_code == 413


async def test_the_source_is_whom_the_platform_s_front_end_saw(app: Session) -> None:
    body = event(deliveryId="from")
    key = (await webhook_secret(app.services)).encode()
    headers = {
        "X-Salesforce-Content-SHA256": hmac.digest(key, body, hashlib.sha256).hex(),
        "X-Forwarded-For": "198.51.100.66, 203.0.113.9:1234",
        "X-Client-IP": "198.51.100.66",
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        path = f"{app.url}/webhooks/{SALESFORCE.registration_id}/events"
        assert (await client.post(path, content=body, headers=headers)).status_code == 200
    audits = app.services.stores.webhook_audit
    since = datetime.now(UTC) - timedelta(hours=1)
    found = [audit async for audit in audits.of_registration(SALESFORCE.registration_id, since)]
    assert {audit.source_ip for audit in found} == {"127.0.0.1"}


REG = SALESFORCE.registration_id
RAW = [
    "/webhooks/%00/events",
    "/webhooks//events",
    "/webhooks/",
    "/webhooks/..%2f..%2fadmin/events",
    "/webhooks/%2e%2e/events",
    "/webhooks/%2e/events",
    f"/webhooks/{'a' * 6000}/events",
    "/webhooks/%ff%fe/events",
    "/webhooks/%zz/events",
    "/webhooks/\xe9\xe8/events",
    f"/webhooks/{REG}/%00",
    f"/webhooks/{REG}/..%2f..%2f..%2fetc%2fpasswd",
    f"/webhooks/{REG}/{'x/' * 2000}",
    f"/webhooks/{REG}?{'a=b&' * 1000}",
]


@pytest.mark.parametrize("path", RAW, ids=range(len(RAW)))
async def test_no_path_is_an_error_of_ours_or_comes_back_in_the_answer(app: Session, path: str) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: castiel\r\nContent-Length: 2\r\nConnection: close\r\n"
        "X-Salesforce-Content-SHA256: zz\r\nX-Salesforce-Content-SHA256: \xe9\r\nX-Empty:\r\n\r\n{}"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", int(app.url.rpartition(":")[2]))
    writer.write(head.encode("latin-1"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer[:8] in (b"HTTP/1.0", b"HTTP/1.1")
    assert answer[9:10] == b"4", answer[:300]
    _, _, body = answer.partition(b"\r\n\r\n")
    assert len(body) < 400
    assert b"Traceback" not in body
    assert b"passwd" not in body
    assert b"aaaa" not in body
