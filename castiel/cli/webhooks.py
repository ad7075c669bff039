"""``castiel webhooks``: create, list, show, rotate, confirm, pause, resume, reopen, delete. Checks: the module beside."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer

from castiel.cli.exits import UsageProblem
from castiel.cli.running import Run, Tenant, Yes, command, group
from castiel.cli.secret_input import read_secret
from castiel.cli.values import json_or_text, pairs
from castiel.domain.webhooks import Registration, WebhookAction
from castiel.errors import CastielError

if TYPE_CHECKING:
    from castiel.services.webhooks import WebhookRegistrations

T = TypeVar("T")

app = group("Endpoints that providers send their changes to.")
WebhookId = Annotated[str, typer.Argument(help="The registration's id.", show_default=False)]
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


@command(app, "list")
async def list_webhooks(run: Run, tenant: Tenant) -> None:
    """All registrations of a tenant."""
    found = await manage(run).list(tenant)
    rows = [_row(each) for each in sorted(found, key=lambda each: (each.connection_id, each.id))]
    if not run.output.as_json:
        for row in rows:
            row["scheme"] = row["scheme"] if isinstance(row["scheme"], str) else "custom"
            row["pendingVerification"] = row["pendingVerification"] or None
    run.output.rows(rows, COLUMNS, empty="No webhooks.")


@command(app, "show")
async def show(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """One registration, and how far a rotation of its secret is."""
    registration = await named(run, webhook_id, manage(run).get(tenant, webhook_id))
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
    at_provider: Annotated[
        bool,
        typer.Option(
            "--at-provider",
            help="Make the webhook at the provider too, by its API (GitHub, Google); needs --url.",
        ),
    ] = False,
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
    base = "" if url is None else address_of(url)
    making = (
        run.services.provider_webhooks.create(new, _required(base))
        if at_provider
        else manage(run).create(new)
    )
    issued = await run.named(f"connection {connection_id}", making)
    registration = issued.registration
    address = f"{base}{path_of(registration)}"
    sentence = (
        f"Created {registration.id}, here and at the provider, which sends to {address}"
        if at_provider
        else f"Created {registration.id}. Set this address at the provider: {address}"
    )
    facts = {**_row(registration), "address": address}
    run.output.reveal(sentence, None if secret_from_stdin else issued.secret, **facts)
    if registration.pending_verification:
        run.output.remark(
            "The provider's first delivery brings its verification token; nothing is taken before."
        )


@command(app, "rotate")
async def rotate(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """Make a new secret, and show it once.

    The old one is accepted until the sender is seen to use the new one. Again before that: shows the same new secret
    once more.
    """
    registration = await named(run, webhook_id, manage(run).get(tenant, webhook_id))
    before = await _rotation(run, registration)
    if before is not None and before.get("confirmed"):
        raise CastielError(f"the sender has the new secret already; the old one ends at {before['endsAt']}")
    secret = await manage(run).rotate(tenant, webhook_id)
    registration = await manage(run).get(tenant, webhook_id)
    rotation = await _rotation(run, registration) or {}
    both = f"Rotated {webhook_id}; both secrets are accepted."
    if registration.renewal is not None:
        # Nobody has to set it, so nobody has to see it.
        run.output.done(f"{both} TokenRefresher has the provider use it.", id=webhook_id, rotation=rotation)
        return
    there = run.services.providers.get(registration.integration_id).set_webhook_secret is not None
    how = (
        "TokenRefresher sets it at the provider where the registration's settings name the webhook; else set it there."
        if there
        else f"Set it at the provider, then: webhooks confirm {webhook_id} --tenant {tenant}"
    )
    run.output.reveal(f"{both} {how}", secret, id=webhook_id, rotation=rotation)


@command(app, "confirm")
async def confirm(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """The sender has the new secret: the old one ends with the overlap."""
    registration = await named(run, webhook_id, manage(run).get(tenant, webhook_id))
    if await _rotation(run, registration) is None or registration.credential_id is None:
        raise CastielError(f"webhook {webhook_id}: no rotation is under way")
    confirmed = await run.services.secret_rotation.confirm(tenant, registration.credential_id)
    ends = confirmed.overlap.ends_at if confirmed.overlap else None
    run.output.done(f"Confirmed: the old secret ends {ends:%Y-%m-%d %H:%M}Z.", id=webhook_id, endsAt=ends)


@command(app, "pause")
async def pause(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """Take nothing until it is resumed. What changes meanwhile is found by the connection's next sync."""
    await named(run, webhook_id, manage(run).pause(tenant, webhook_id))
    run.output.done(f"Webhook {webhook_id} is paused.", id=webhook_id, enabled=False)


@command(app, "resume")
async def resume(run: Run, webhook_id: WebhookId, tenant: Tenant) -> None:
    """Take deliveries again."""
    await named(run, webhook_id, manage(run).resume(tenant, webhook_id))
    run.output.done(f"Webhook {webhook_id} takes deliveries.", id=webhook_id, enabled=True)


@command(app, "reopen")
async def reopen(run: Run, webhook_id: WebhookId, tenant: Tenant, yes: Yes = False) -> None:
    """Await a verification token anew (Notion). The subscription there was made again, with another one."""
    await named(run, webhook_id, manage(run).get(tenant, webhook_id))
    run.confirm(f"Forget the token of {webhook_id}?", yes=yes)
    await manage(run).reopen(tenant, webhook_id)
    run.output.done(f"Webhook {webhook_id} waits for its token.", id=webhook_id, pendingVerification=True)


@command(app, "delete")
async def delete(
    run: Run,
    webhook_id: WebhookId,
    tenant: Tenant,
    only_here: Annotated[
        bool, typer.Option("--only-here", help="Leave the provider's alone, also where it has an API.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Forget a registration and its secret. What is sent to it from then on is refused."""
    await named(run, webhook_id, manage(run).get(tenant, webhook_id))
    run.confirm(f"Delete {webhook_id} with its secret?", yes=yes)
    there = False
    if only_here:
        await manage(run).delete(tenant, webhook_id)
    else:
        there = await run.services.provider_webhooks.delete(tenant, webhook_id)
    where = ", here and at the provider" if there else ""
    run.output.done(f"Deleted {webhook_id}{where}.", id=webhook_id, deleted=True, atProvider=there)


def manage(run: Run) -> WebhookRegistrations:
    """What operators do with registrations."""
    return run.services.webhooks.manage


async def named(run: Run, webhook_id: str, looking: Awaitable[T]) -> T:
    """What is looked for; the error names the webhook."""
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


def _required(base: str) -> str:
    if not base:
        raise UsageProblem("--at-provider: the provider has to know the app's address; add --url")
    return base


def address_of(url: str) -> str:
    """The app's address as it was given, without a slash at its end. Raises :class:`UsageProblem` for what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageProblem("--url: give the app's address, https://…")
    return url.rstrip("/")
