"""The platform's own worker library indexes function_app.py and invokes all five functions over the local stack."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from castiel.domain.messages import SyncMessage
from castiel.domain.tasks import SyncMode, TaskStatus
from infra.local.process import CHECKOUT
from infra.local.sample import SALESFORCE, TENANT, plant, webhook_secret
from tests.support.app import InProcess, running_services
from tests.support.app_insights import app_insights
from tests.support.platform_worker import (
    HttpInvocation,
    Message,
    MessageInvocation,
    TimerInvocation,
    run_in_platform_worker,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info < (3, 13), reason="the platform's library needs Python 3.13"),
]


async def test_all_five_functions_run_in_the_platforms_worker() -> None:
    async with running_services() as app, app.control() as control:
        await plant(app.services, control)
        record = (await control.records("Contact", limit=1))[0]
        calls = [
            TimerInvocation("SyncScheduler"),
            MessageInvocation("SyncInboundWorker", [targeted_pull(record["Id"])]),
            MessageInvocation("SyncOutboundWorker", [announced(record["Id"])], batched=True),
            TimerInvocation("TokenRefresher"),
            await webhook(app, {"event": "contact.updated", "entity": "Contact", "id": record["Id"]}),
        ]
        run = await run_in_platform_worker(CHECKOUT, app.stack.environment(), calls)

        assert run.error is None
        assert sorted(run.bindings) == [
            "SyncInboundWorker",
            "SyncOutboundWorker",
            "SyncScheduler",
            "TokenRefresher",
            "WebhookReceiver",
        ]
        assert [answer.error for answer in run.answers] == [None] * 5
        assert run.answers[-1].value["status"] == 200
        task = await app.services.stores.tasks.get(TENANT, SALESFORCE.task_id)
        assert task.status is TaskStatus.QUEUED
        key = f"{SALESFORCE.connection_id}|Contact|{record['Id']}"
        [shard] = await app.services.stores.shards.by_references(TENANT, "contact", [key])
        assert shard.fields["email"] == record["Email"]
        assert [audit async for audit in app.services.stores.refresh_audit.recent(5)]


async def test_the_platforms_worker_sends_what_happens_to_application_insights() -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with running_services() as app, app.control() as control, app_insights() as insights:
        await plant(app.services, control)
        record = (await control.records("Contact", limit=1))[0]
        event = {"event": "contact.updated", "entity": "Contact", "id": record["Id"]}
        calls = [
            replace(await webhook(app, event), trace_parent=f"00-{trace_id}-00f067aa0ba902b7-01"),
            MessageInvocation("SyncInboundWorker", [targeted_pull(record["Id"])]),
        ]
        environment = {**app.stack.environment(), **insights.settings()}
        run = await run_in_platform_worker(CHECKOUT, environment, calls)

        assert [answer.error for answer in run.answers] == [None, None]
        [door] = insights.where("dependencies", lambda row: row["name"] == "WebhookReceiver")
        assert (door["operation_Id"], door["operation_ParentId"]) == (trace_id, "00f067aa0ba902b7")
        assert sum(row["value"] for row in insights.metric("webhook_received")) == 1
        [message] = await app.take("sync-outbound")
        assert message.trace["traceparent"].split("-")[1:3] == [trace_id, door["id"]]
        assert message.properties["Diagnostic-Id"] == message.trace["traceparent"]
        # The platform switches on httpx's instrumentation, whose spans would hold the providers' URLs.
        assert "/services/data" not in "".join(insights.raw)
        assert insights.where("dependencies", lambda row: row["customDimensions"].get("operation") == "fetch")


def targeted_pull(record_id: str) -> Message:
    body = SyncMessage.model_validate(
        {
            "integrationId": "salesforce",
            "tenantId": TENANT,
            "connectionId": SALESFORCE.connection_id,
            "syncMode": SyncMode.PULL,
            "correlationId": "exec-platform",
            "enqueuedAt": "2025-12-10T13:00:00Z",
            "entity": "Contact",
            "externalIds": [record_id],
        }
    )
    return Message(body.to_json_text(), message_id="pull-1")


def announced(record_id: str) -> Message:
    body = {
        "integrationId": "salesforce",
        "tenantId": TENANT,
        "connectionId": SALESFORCE.connection_id,
        "entityId": record_id,
        "operation": "update",
        "correlationId": "exec-platform",
        "enqueuedAt": "2025-12-10T13:00:00Z",
        "source": "webhook",
        "entity": "Contact",
        "externalId": record_id,
    }
    return Message(json.dumps(body), message_id="wh-1")


async def webhook(app: InProcess, event: dict[str, Any]) -> HttpInvocation:
    body = json.dumps(event)
    key = (await webhook_secret(app.services)).encode()
    return HttpInvocation(
        "WebhookReceiver",
        url=f"http://localhost/webhooks/{SALESFORCE.registration_id}/events",
        headers={
            "X-Salesforce-Content-SHA256": hmac.digest(key, body.encode(), hashlib.sha256).hex(),
            "X-Forwarded-For": "203.0.113.7:50123",
        },
        route_values={"registrationId": SALESFORCE.registration_id, "path": "events"},
        body=body,
    )
