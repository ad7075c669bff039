"""``castiel webhooks``: create, list, show, verify, rotate, confirm, pause, resume, reopen, delete, deliveries, health."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from castiel.cli.cells import milliseconds
from castiel.cli.running import ChecksFailed, Limit, Run, Tenant, Yes, command, group
from castiel.cli.secret_input import read_secret
from castiel.cli.values import json_or_text, pairs
from castiel.domain.webhook_health import Health
from castiel.domain.webhooks import Registration, WebhookAction
from castiel.errors import CastielError

if TYPE_CHECKING:
    from castiel.services.webhooks import WebhookRegistrations

T = TypeVar("T")

app = group("Endpoints that providers send their changes to.")
WebhookId = Annotated[str, typer.Argument(help="The registration's id.", show_default=False)]
BaseUrl = Annotated[
    str, typer.Option("--url", help="The app's address: https://NAME.azurewebsites.net.", show_default=False)
]
COLUMNS = (
    "id",
    "integrationId",
    "connectionId",
    "scheme",
    "events",
    "action",
    "enabled",
    "pendingVerification",
)
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


@command(app, "list")
async def list_webhooks(run: Run, tenant: Tenant) -> None:
    """All registrations of a tenant."""
    found = await _manage(run).list(tenant)
    rows = [_row(each) for each in sorted(found, key=lambda each: (each.connection_id, each.id))]
    if not run.output.as_json:
        for row in rows:
            row["scheme"] = row["scheme"] if isinstance(row["scheme"], str) else "custom"
            row["pendingVerification"] = row["pendingVerification"] or None
    run.output.rows(rows, COLUMNS, empty="No webhooks.")


@command(app, "show")
async def show(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """One registration, and how far a rotation of its secret is."""
    registration = await _named(run, webhook_id, _manage(run).get(tenant, webhook_id))
    run.output.one({**_row(registration), "rotation": await _rotation(run, registration)})


@command(app, "create")
async def create(
    run: Run,
    tenant: Tenant,
    connection_id: Annotated[
        str, typer.Option("--connection", help="The connection whose changes arrive.", show_default=False)
    ],
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="The app's address, to print the whole address to send to.", show_default=False
        ),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            "--scheme",
            help="A preset's name (github, standard-webhooks, …) or a signature scheme as JSON; else the provider's.",
            show_default=False,
        ),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event", help="Take events like contact.* only (repeatable); else all.", show_default=False
        ),
    ] = None,
    action: Annotated[
        WebhookAction,
        typer.Option("--action", help="Tell the other connections, pull here only, or nothing."),
    ] = WebhookAction.PROPAGATE,
    secret_from_stdin: Annotated[
        bool,
        typer.Option("--own-secret", help="Read the secret that the sender chose; else a new one is made."),
    ] = False,
    per_minute: Annotated[
        int | None, typer.Option("--per-minute", help="Take at most so many deliveries.", show_default=False)
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", help="Take no larger bodies.", show_default=False)
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting (botId, publicKeys, …): name=value.", show_default=False),
    ] = None,
) -> None:
    """Issue an endpoint to a connection. A secret that was made is shown once, here."""
    from castiel.services.webhooks.management import NewRegistration, path_of

    new = NewRegistration(
        tenant_id=tenant,
        connection_id=connection_id,
        scheme=_scheme(scheme),
        secret=read_secret("The webhook's secret") if secret_from_stdin else None,
        events=tuple(event or ("*",)),
        action=action,
        rate_limit_per_minute=per_minute,
        max_body_bytes=max_bytes,
        settings=pairs(setting or ()),
    )
    issued = await run.named(f"connection {connection_id}", _manage(run).create(new))
    registration = issued.registration
    address = f"{(url or '').rstrip('/')}{path_of(registration)}"
    sentence = f"Created {registration.id}. Set this address at the provider: {address}"
    facts = {**_row(registration), "address": address}
    run.output.reveal(sentence, None if secret_from_stdin else issued.secret, **facts)
    if registration.pending_verification:
        run.output.remark(
            "The provider's first delivery brings its verification token; nothing is taken before."
        )


@command(app, "verify")
async def verify(run: Run, webhook_id: WebhookId, tenant: Tenant, url: BaseUrl) -> None:
    """Send a signed delivery that changes nothing through the app's door. Exit code 1 when it is not taken."""
    trial = await _named(run, webhook_id, _manage(run).verify(tenant, webhook_id, url))
    run.output.done(
        f"{'Taken' if trial.ok else 'Not taken'}: status {trial.status} after {trial.latency_ms:.0f} ms.",
        id=webhook_id,
        ok=trial.ok,
        status=trial.status,
        latencyMs=round(trial.latency_ms, 1),
    )
    if not trial.ok:
        raise ChecksFailed


@command(app, "rotate")
async def rotate(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """Make a new secret, and show it once.

    The old one is accepted until the sender is seen to use the new one. Again before that: shows the same new secret
    once more.
    """
    registration = await _named(run, webhook_id, _manage(run).get(tenant, webhook_id))
    before = await _rotation(run, registration)
    if before is not None and before.get("confirmed"):
        raise CastielError(f"the sender has the new secret already; the old one ends at {before['endsAt']}")
    secret = await _manage(run).rotate(tenant, webhook_id)
    registration = await _manage(run).get(tenant, webhook_id)
    rotation = await _rotation(run, registration) or {}
    there = run.services.providers.get(registration.integration_id).set_webhook_secret is not None
    how = (
        "TokenRefresher sets it at the provider where the registration's settings name the webhook; else set it there."
        if there
        else f"Set it at the provider, then: webhooks confirm {webhook_id} --tenant {tenant}"
    )
    run.output.reveal(
        f"Rotated {webhook_id}; both secrets are accepted. {how}", secret, id=webhook_id, rotation=rotation
    )


@command(app, "confirm")
async def confirm(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """The sender has the new secret: the old one ends with the overlap."""
    registration = await _named(run, webhook_id, _manage(run).get(tenant, webhook_id))
    if await _rotation(run, registration) is None or registration.credential_id is None:
        raise CastielError(f"webhook {webhook_id}: no rotation is under way")
    confirmed = await run.services.secret_rotation.confirm(tenant, registration.credential_id)
    ends = confirmed.overlap.ends_at if confirmed.overlap else None
    run.output.done(f"Confirmed: the old secret ends {ends:%Y-%m-%d %H:%M}Z.", id=webhook_id, endsAt=ends)


@command(app, "pause")
async def pause(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """Take nothing until it is resumed. What changes meanwhile is found by the connection's next sync."""
    await _named(run, webhook_id, _manage(run).pause(tenant, webhook_id))
    run.output.done(f"Webhook {webhook_id} is paused.", id=webhook_id, enabled=False)


@command(app, "resume")
async def resume(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """Take deliveries again."""
    await _named(run, webhook_id, _manage(run).resume(tenant, webhook_id))
    run.output.done(f"Webhook {webhook_id} takes deliveries.", id=webhook_id, enabled=True)


@command(app, "reopen")
async def reopen(run: Run, webhook_id: WebhookId, tenant: Tenant, yes: Yes = False) -> None:
    """Await a verification token anew (Notion). The subscription there was made again, with another one."""
    await _named(run, webhook_id, _manage(run).get(tenant, webhook_id))
    run.confirm(f"Forget the token of {webhook_id}?", yes=yes)
    await _manage(run).reopen(tenant, webhook_id)
    run.output.done(f"Webhook {webhook_id} waits for its token.", id=webhook_id, pendingVerification=True)


@command(app, "delete")
async def delete(run: Run, webhook_id: WebhookId, tenant: Tenant, yes: Yes = False) -> None:
    """Forget a registration and its secret; what is sent to it from then on is refused."""
    await _named(run, webhook_id, _manage(run).get(tenant, webhook_id))
    run.confirm(f"Delete {webhook_id} with its secret?", yes=yes)
    await _manage(run).delete(tenant, webhook_id)
    run.output.done(f"Deleted {webhook_id}.", id=webhook_id, deleted=True)


@command(app, "deliveries")
async def deliveries(run: Run, webhook_id: WebhookId, tenant: Tenant, limit: Limit = 20) -> None:
    """The newest deliveries of the last 30 days, and what became of each."""
    found = await _named(run, webhook_id, _manage(run).deliveries(tenant, webhook_id, limit))
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
    manage = _manage(run)
    if webhook_id is not None:
        found = [await _named(run, webhook_id, manage.health(tenant, webhook_id))]
    else:
        found = [await manage.health(tenant, each.id) for each in await manage.list(tenant)]
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


def _manage(run: Run) -> WebhookRegistrations:
    return run.services.webhooks.manage


async def _named(run: Run, webhook_id: str, looking: Awaitable[T]) -> T:
    return await run.named(f"webhook {webhook_id}", looking)


def _row(registration: Registration) -> dict[str, Any]:
    from castiel.services.webhooks.management import path_of

    return {
        **registration.to_json(),
        "events": registration.events,
        "action": registration.action,
        "enabled": registration.enabled,
        "pendingVerification": registration.pending_verification,
        "path": path_of(registration),
    }


async def _rotation(run: Run, registration: Registration) -> dict[str, Any] | None:
    """How far the rotation of its secret is; ``None`` when there is none under way."""
    if registration.credential_id is None:
        return None
    credential = await run.services.credentials.manage.get(registration.tenant_id, registration.credential_id)
    return credential.overlap.to_json() if credential.overlap else None


def _scheme(text: str | None) -> str | dict[str, Any] | None:
    value = json_or_text(text) if text is not None else None
    return value if isinstance(value, dict) else text
