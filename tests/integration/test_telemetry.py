"""What the app tells Application Insights: the brief's queries return rows, and one trace spans all hops of a change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from castiel.domain.credentials import TokenSecret
from castiel.domain.results import PushResult
from castiel.telemetry import COUNTERS, HISTOGRAMS
from infra.local.sample import SALESFORCE, TRAVEL, SampleProvider, make_due, plant, webhook_secret
from infra.local.sandbox.client import SandboxControl
from infra.local.session import Session, until
from infra.local.steps import finished_task, pull_result, schedule
from tests.support.app import running_app
from tests.support.app_insights import AppInsights, Row, app_insights, hour, minute, summarize

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SOURCE = TRAVEL[0]
REVOKED = {sample.credential_id: sample for sample in (SALESFORCE, SOURCE)}
PERSON = {"FirstName": "Wilhelmina", "LastName": "Tracewell", "Email": "mina.tracewell@example.com"}


@dataclass
class Recorded:
    """What one run of the app told, and what it must not have told."""

    insights: AppInsights
    execution: str
    secrets: list[str]

    def trace(self, operation_id: str) -> list[Row]:
        return self.insights.where("dependencies", lambda row: row["operation_Id"] == operation_id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded() -> AsyncIterator[Recorded]:
    """A pull of 250 records by schedule, a webhook's change that travels to two providers, a dead grant."""
    async with app_insights() as insights:
        async with running_app(settings=insights.settings()) as app, app.control("salesforce") as control:
            execution = await _pull(app, control)
            secrets = await _travel(app, control)
            secrets += await _refuse_refresh(app, control)
        # The host has ended, and its exporters with it: nothing is on its way any more.
        yield Recorded(insights, execution, secrets)


async def _pull(app: Session, control: SandboxControl) -> str:
    await plant(app.services, control)
    await make_due(app.services)
    task = await schedule(app)
    await pull_result(app, task.execution_id or "")
    await finished_task(app)
    return task.execution_id or ""


async def _travel(app: Session, control: SandboxControl) -> list[str]:
    """A contact made in Salesforce arrives in Google and, at the second try, in Notion."""
    for sample in TRAVEL:
        async with app.control(sample.integration_id) as each:
            await plant(app.services, each, sample)
            if sample.integration_id == "notion":
                # The first try is turned away: a delayed copy of the message brings the second.
                await each.fault(
                    "status", status=429, method="POST", path="/v1/pages", retry_after=1, times=1
                )
    contact = await control.create("Contact", **PERSON)
    secret = await webhook_secret(app.services, SOURCE)
    sent = await control.send_event(
        f"{app.url}/webhooks/{SOURCE.registration_id}/events",
        entity="Contact",
        id=contact["Id"],
        operation="create",
        secret=secret,
    )
    assert sent["status"] == 200

    async def pushed() -> bool:
        stored = app.services.stores.results.of_tenant(SOURCE.tenant, datetime.now(UTC) - timedelta(hours=1))
        found = [result async for result in stored if isinstance(result, PushResult)]
        return {result.integration_id for result in found if result.success} == {"google", "notion"}

    await until(pushed, "the change arrives at both other providers")
    tokens = [await _token(app, sample) for sample in TRAVEL]
    return [secret, *(token.access_token.get_secret_value() for token in tokens)]


async def _token(app: Session, sample: SampleProvider) -> TokenSecret:
    credential = await app.services.stores.credentials.get(sample.tenant, sample.credential_id)
    return TokenSecret.model_validate_json((await app.services.vault.get(credential.secret_name)).value)


async def _refuse_refresh(app: Session, control: SandboxControl) -> list[str]:
    """All of Salesforce's grants are withdrawn; their tokens expire before the next run."""
    credentials = app.services.stores.credentials
    credential = await credentials.get(SALESFORCE.tenant, SALESFORCE.credential_id)
    token = await _token(app, SALESFORCE)
    credential.expiry_time = token.expiry_time = datetime.now(UTC) + timedelta(minutes=30)
    credential.secret_version = (
        await app.services.vault.set(credential.secret_name, token.to_json_text())
    ).version
    await credentials.replace(credential)
    await control.revoke()
    await app.run_timer("TokenRefresher")

    async def withdrawn() -> bool:
        found = [await credentials.get(each.tenant, each.credential_id) for each in REVOKED.values()]
        return all(each.needs_reauth for each in found)

    await until(withdrawn, "the credentials need a person")
    assert token.refresh_token is not None
    return [token.refresh_token.get_secret_value()]


def _reauth(row: Row) -> bool:
    return str(row["message"]).startswith("Credential ")


# The brief's queries --------------------------------------------------------------------------------------


async def test_scheduler_success_rate(recorded: Recorded) -> None:
    """``customMetrics | where name == "sync_scheduler_success" | summarize Success=sum(value) by bin(timestamp, 1h)``"""
    groups = summarize(recorded.insights.metric("sync_scheduler_success"), hour)
    assert sum(row["value"] for rows in groups.values() for row in rows) >= 1


async def test_inbound_worker_duration(recorded: Recorded) -> None:
    """``… "inbound_worker_duration_ms" | summarize sum(valueSum) / sum(valueCount), max(valueMax) by bin(timestamp, 1h)``"""
    groups = summarize(recorded.insights.metric("inbound_worker_duration_ms"), hour)
    assert groups
    for rows in groups.values():
        mean = sum(row["valueSum"] for row in rows) / sum(row["valueCount"] for row in rows)
        assert 0 < mean <= max(row["valueMax"] for row in rows)


async def test_webhook_request_rate(recorded: Recorded) -> None:
    """``customMetrics | where name == "webhook_received" | summarize Rate=sum(value) by bin(timestamp, 1m)``"""
    groups = summarize(recorded.insights.metric("webhook_received"), minute)
    assert sum(row["value"] for rows in groups.values() for row in rows) == 1


async def test_token_refresh_failures(recorded: Recorded) -> None:
    """``traces | where customDimensions["function"] == "TokenRefresher" | where message contains "failed"
    | summarize Count=count() by credentialId=customDimensions["credentialId"]``"""
    failures = recorded.insights.where(
        "traces",
        lambda row: (
            row["customDimensions"].get("function") == "TokenRefresher" and "failed" in row["message"]
        ),
    )
    counts = summarize(failures, lambda row: row["customDimensions"]["credentialId"])
    assert {name: len(rows) for name, rows in counts.items()} == dict.fromkeys(REVOKED, 1)


async def test_the_alert_names_the_credential(recorded: Recorded) -> None:
    alerts = {row["message"]: row for row in recorded.insights.where("traces", _reauth)}
    assert set(alerts) == {f"Credential {name} requires reauth" for name in REVOKED}
    alert = alerts[f"Credential {SALESFORCE.credential_id} requires reauth"]
    assert alert["severityLevel"] == 3
    dimensions = alert["customDimensions"]
    assert dimensions["function"] == "TokenRefresher"
    assert dimensions["credentialId"] == SALESFORCE.credential_id
    assert dimensions["tenantId"] == SALESFORCE.tenant
    assert dimensions["alert"] == "reauth_required"


# Traces -----------------------------------------------------------------------------------------------------


def _calls(rows: list[Row], integration: str, operation: str) -> list[Row]:
    """HTTP calls; Application Insights names them by their method, whatever the span is called."""
    wanted = {"integrationId": integration, "operation": operation}
    return [
        row for row in rows if row["type"] == "HTTP" and wanted.items() <= row["customDimensions"].items()
    ]


def _named(rows: list[Row], name: str) -> list[Row]:
    return [row for row in rows if row["name"] == name]


async def test_one_trace_spans_webhook_queue_worker_and_provider(recorded: Recorded) -> None:
    [door] = recorded.insights.where("dependencies", lambda row: row["name"] == "WebhookReceiver")
    trace = recorded.trace(door["operation_Id"])
    [refetch] = _named(trace, "SyncOutboundWorker refetch")
    assert refetch["operation_ParentId"] == door["id"]
    fetches = _calls(trace, "salesforce", "fetch")
    assert {fetch["operation_ParentId"] for fetch in fetches} == {refetch["id"]}
    pushes = _named(trace, "SyncOutboundWorker push")
    assert {push["operation_ParentId"] for push in pushes} == {refetch["id"]}
    assert _answers(trace, pushes, "google") == ["200"]
    assert _answers(trace, pushes, "notion") == ["429", "200"]


def _answers(trace: list[Row], pushes: list[Row], integration: str) -> list[str]:
    """What a provider answered to each push's creates, in the order of time."""
    creates = _calls(trace, integration, "create")
    # A push may also find that the provider's gate is closed still, and call nothing.
    by_push = {push["id"] for push in pushes if push["customDimensions"]["integrationId"] == integration}
    assert {create["operation_ParentId"] for create in creates} <= by_push
    assert [create["success"] for create in creates] == [create["resultCode"] == "200" for create in creates]
    return [create["resultCode"] for create in sorted(creates, key=lambda row: row["timestamp"])]


async def test_one_trace_spans_scheduler_queue_worker_and_provider(recorded: Recorded) -> None:
    ours = recorded.insights.where(
        "dependencies", lambda row: row["customDimensions"].get("correlationId") == recorded.execution
    )
    [queued] = _named(ours, "SyncScheduler queue")
    [worked] = _named(ours, "SyncInboundWorker")
    assert worked["operation_ParentId"] == queued["id"]
    assert len(_calls(ours, "salesforce", "fetch")) >= 3
    assert {row["operation_Id"] for row in ours} == {queued["operation_Id"]}


async def test_log_lines_belong_to_their_trace(recorded: Recorded) -> None:
    [line] = recorded.insights.where(
        "traces",
        lambda row: (
            row["customDimensions"].get("correlationId") == recorded.execution
            and row["message"].startswith("sync success")
        ),
    )
    trace = recorded.trace(line["operation_Id"])
    assert _named(trace, "SyncInboundWorker")
    assert line["operation_ParentId"] in {row["id"] for row in trace}


# What must not be there, and what must not be too much --------------------------------------------------------


async def test_nothing_told_holds_a_secret_or_a_records_values(recorded: Recorded) -> None:
    told = "\n".join(recorded.insights.raw)
    assert SOURCE.connection_id in told
    for unwanted in (*PERSON.values(), *recorded.secrets):
        assert unwanted not in told
    assert "/services/data" not in told
    assert "SELECT" not in "".join(row["data"] or "" for row in recorded.insights.tables["dependencies"])
    provider_calls = recorded.insights.where(
        "dependencies", lambda row: "operation" in row["customDimensions"]
    )
    # A host; no path and no query, which may name records.
    assert {(row["name"], row["data"]) for row in provider_calls} == {("GET /", None), ("POST /", None)}
    assert all(row["target"].startswith("127.0.0.1:") for row in provider_calls)


async def test_metrics_are_the_registrys_with_few_flat_dimensions(recorded: Recorded) -> None:
    own = [
        row for row in recorded.insights.tables["customMetrics"] if row["name"] in {*COUNTERS, *HISTOGRAMS}
    ]
    values: dict[tuple[str, str], set[Any]] = {}
    for row in own:
        for name, value in row["customDimensions"].items():
            assert isinstance(value, str)
            assert name in {"integration", "operation", "reason", "status", "queue", "alert", "function"}
            values.setdefault((row["name"], name), set()).add(value)
    assert max(map(len, values.values())) <= 6


async def test_a_pull_of_250_records_is_two_lines_at_info(recorded: Recorded) -> None:
    lines = recorded.insights.where(
        "traces", lambda row: row["customDimensions"].get("correlationId") == recorded.execution
    )
    assert len(lines) == 1
    assert lines[0]["message"].startswith("sync success: 250 records, 0 failed, ")
