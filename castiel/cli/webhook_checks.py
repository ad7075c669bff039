"""``castiel webhooks verify | deliveries | health``: does it work."""

from __future__ import annotations

from typing import Annotated

import typer

from castiel.cli.cells import milliseconds
from castiel.cli.running import ChecksFailed, Limit, Run, Tenant, command
from castiel.cli.webhooks import WebhookId, app, manage, named
from castiel.domain.webhook_health import Health

BaseUrl = Annotated[
    str, typer.Option("--url", help="The app's address: https://NAME.azurewebsites.net.", show_default=False)
]
DELIVERY_COLUMNS = (
    "receivedAt",
    "status",
    "eventType",
    "entityId",
    "verified",
    "queued",
    "duplicate",
    "reason",
    "duration",
    "sourceIp",
)


@command(app, "verify")
async def verify(run: Run, webhook_id: WebhookId, tenant: Tenant, url: BaseUrl) -> None:
    """Send a signed delivery that changes nothing through the app's door. Exit code 1 when it is not taken."""
    trial = await named(run, webhook_id, manage(run).verify(tenant, webhook_id, url))
    run.output.done(
        f"{'Taken' if trial.ok else 'Not taken'}: status {trial.status} after {trial.latency_ms:.0f} ms.",
        id=webhook_id,
        ok=trial.ok,
        status=trial.status,
        latencyMs=round(trial.latency_ms, 1),
    )
    if not trial.ok:
        raise ChecksFailed


@command(app, "deliveries")
async def deliveries(run: Run, webhook_id: WebhookId, tenant: Tenant, limit: Limit = 20) -> None:
    """The newest deliveries of the last 30 days, and what became of each."""
    found = await named(run, webhook_id, manage(run).deliveries(tenant, webhook_id, limit))
    rows = [each.to_json() for each in found]
    for row in rows:
        row.pop("payload", None)
        row.pop("pendingMessages", None)
        if not run.output.as_json:
            row["duration"] = milliseconds(row.get("duration", 0))
    run.output.rows(rows, DELIVERY_COLUMNS, empty="Nothing has arrived.")


@command(app, "health")
async def health(
    run: Run,
    tenant: Tenant,
    webhook_id: Annotated[
        str | None, typer.Argument(help="Only this one; else all of the tenant.", show_default=False)
    ] = None,
) -> None:
    """How the registrations did in the last 24 hours, and what to do. Exit code 1 when one has failed."""
    registrations = manage(run)
    if webhook_id is not None:
        found = [await named(run, webhook_id, registrations.health(tenant, webhook_id))]
    else:
        found = [await registrations.health(tenant, each.id) for each in await registrations.list(tenant)]
    columns = (
        "registrationId",
        "health",
        "deliveries",
        "accepted",
        "refused",
        "malformed",
        "rateLimited",
        "pending",
    )
    run.output.rows([each.to_json() for each in found], columns, empty="No webhooks.")
    if not run.output.as_json:
        for each in found:
            for advice in each.recommendations:
                run.output.done(f"→ {each.registration_id}: {advice}")
    if any(each.health is Health.FAILED for each in found):
        raise ChecksFailed
