"""``castiel credentials``: store, list, show, rotate, revoke, delete, statistics, health. Secrets go in, never out."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from castiel.cli.credential_secrets import PROMPTS, new_secret
from castiel.cli.exits import UsageProblem
from castiel.cli.running import ChecksFailed, Run, Tenant, Yes, command, group
from castiel.cli.secret_input import read_secret
from castiel.cli.values import moment, pairs
from castiel.domain.credential_health import Health, assess
from castiel.domain.credentials import Credential, CredentialType
from castiel.domain.rotation import RotationPolicy

if TYPE_CHECKING:
    from castiel.services.credentials.management import CredentialManagement

T = TypeVar("T")

app = group("What connections authenticate with. Secrets come in by prompt or stdin only, and never out.")
CredentialId = Annotated[str, typer.Argument(help="The credential's id.", show_default=False)]
Expires = Annotated[
    str | None,
    typer.Option("--expires", help="Until when it is good: 2027-01-31, or with a time.", show_default=False),
]
Generate = Annotated[bool, typer.Option("--generate", help="Make a webhook's secret, and show it once.")]
COLUMNS = ("id", "type", "integrationId", "usedBy", "health", "expiryTime", "lastRotatedAt", "name")


@command(app, "list")
async def list_credentials(
    run: Run,
    tenant: Tenant,
    kind: Annotated[CredentialType | None, typer.Option("--type", help="Only these.")] = None,
) -> None:
    """The metadata of a tenant's credentials."""
    found = sorted(await _manage(run).list(tenant), key=lambda each: each.id)
    rows = [_row(run, each) for each in found if kind in (None, each.type)]
    run.output.rows(rows, COLUMNS, empty="No credentials.")


@command(app, "show")
async def show(run: Run, credential_id: CredentialId, tenant: Tenant) -> None:
    """One credential's metadata, how it is, and who uses it. Never its secret."""
    credential = await _named(run, credential_id, _manage(run).get(tenant, credential_id))
    verdict = assess(credential, run.now())
    users = await _manage(run).users(tenant, credential_id)
    shown = _row(run, credential) | {
        "health": verdict.status,
        "reasons": list(verdict.reasons),
        "recommendations": list(verdict.recommendations),
        "connections": list(users.connections),
        "companionOf": list(users.companion_of),
        "webhook": users.registration,
    }
    shown.pop("usedBy")
    run.output.one(shown)


@command(app, "store")
async def store(
    run: Run,
    credential_id: CredentialId,
    tenant: Tenant,
    kind: Annotated[CredentialType, typer.Option("--type", help="What it is.", show_default=False)],
    integration: Annotated[
        str, typer.Option("--integration", help="The provider it is for.", show_default=False)
    ],
    connection: Annotated[
        str | None, typer.Option("--connection", help="The connection it is for.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="For people.", show_default=False)] = None,
    expires: Expires = None,
    max_age: Annotated[
        int | None,
        typer.Option(
            "--max-age-days", help="Replace it after so many days; else its type's.", show_default=False
        ),
    ] = None,
    companion: Annotated[
        list[str] | None,
        typer.Option(
            "--companion",
            help="A credential that belongs to it: its user, its key (repeatable).",
            show_default=False,
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="refreshMethod=jwtBearer, username=…: name=value.", show_default=False),
    ] = None,
    generate: Generate = False,
) -> None:
    """Store a new credential. The secret is read from a prompt, or from stdin: `… < key.pem`"""
    from castiel.services.credentials.management import NewCredential

    run.services.providers.get(integration)
    settings = pairs(setting or ())
    for each in companion or ():
        await _named(run, each, _manage(run).get(tenant, each))
    _check_generate(kind, generate)
    credential = await run.named(
        f"credential {credential_id}",
        _manage(run).store(
            NewCredential(
                id=credential_id,
                tenant_id=tenant,
                integration_id=integration,
                type=kind,
                secret=None if generate else new_secret(kind, settings),
                connection_id=connection,
                name=name,
                expiry_time=moment(expires) if expires else None,
                rotation=RotationPolicy(max_age_days=max_age) if max_age else None,
                companion_ids=tuple(companion or ()),
                settings=settings,
            )
        ),
    )
    await _reveal(run, f"Stored {credential_id}.", credential, generated=generate)


@command(app, "rotate")
async def rotate(
    run: Run,
    credential_id: CredentialId,
    tenant: Tenant,
    expires: Expires = None,
    generate: Generate = False,
    yes: Yes = False,
) -> None:
    """Replace a secret by the one read from a prompt or stdin; refresh a token pair.

    Webhooks rotate with an overlap instead: `webhooks rotate`.
    """
    credential = await _named(run, credential_id, _manage(run).get(tenant, credential_id))
    _check_generate(credential.type, generate)
    if credential.registration_id is not None:
        raise UsageProblem(f"it belongs to a webhook: webhooks rotate {credential.registration_id}")
    secret = None
    if credential.type is not CredentialType.OAUTH2:
        if not generate:
            secret = read_secret(PROMPTS[credential.type])
        run.confirm(f"Replace the secret of {credential_id}? The old one can't be read any more.", yes=yes)
    expiry = moment(expires) if expires else None
    rotated = await _manage(run).rotate(tenant, credential_id, secret, expiry_time=expiry)
    await _reveal(run, f"Rotated {credential_id}.", rotated, generated=generate)


@command(app, "revoke")
async def revoke(run: Run, credential_id: CredentialId, tenant: Tenant, yes: Yes = False) -> None:
    """Let it serve nobody from now on. Withdrawn at the provider, unreadable here, its connections paused."""
    await _named(run, credential_id, _manage(run).get(tenant, credential_id))
    run.confirm(f"Revoke {credential_id}?", yes=yes)
    revoked = await _manage(run).revoke(tenant, credential_id)
    run.output.done(f"Revoked {credential_id}.", **_row(run, revoked))


@command(app, "delete")
async def delete(run: Run, credential_id: CredentialId, tenant: Tenant, yes: Yes = False) -> None:
    """Forget a credential that no connection, no webhook and no other credential uses, and its secret."""
    await _named(run, credential_id, _manage(run).get(tenant, credential_id))
    run.confirm(f"Delete {credential_id} with its secret?", yes=yes)
    await _manage(run).delete(tenant, credential_id)
    run.output.done(f"Deleted {credential_id}.", id=credential_id, deleted=True)


@command(app, "statistics")
async def statistics(run: Run, tenant: Tenant) -> None:
    """Counts over a tenant's credentials."""
    counts = await _manage(run).statistics(tenant)
    run.output.one(
        {
            "total": counts.total,
            "enabled": counts.enabled,
            "needsReauth": counts.needs_reauth,
            "expired": counts.expired,
            "rotationDue": counts.rotation_due,
            "refreshes": counts.refreshes,
            "byType": dict(counts.by_type),
            "byIntegration": dict(counts.by_integration),
            "byHealth": dict(counts.by_health),
        }
    )


@command(app, "health")
async def health(
    run: Run,
    tenant: Tenant,
    credential_id: Annotated[
        str | None, typer.Argument(help="Only this one; else all that need somebody.", show_default=False)
    ] = None,
) -> None:
    """How the credentials are, and what to do. Exit code 1 when one does not work."""
    if credential_id is not None:
        found = [await _named(run, credential_id, _manage(run).get(tenant, credential_id))]
    else:
        found = sorted(await _manage(run).list(tenant), key=lambda each: each.id)
    verdicts = [(each.id, assess(each, run.now())) for each in found]
    rows = [
        {
            "id": name,
            "health": one.status,
            "reasons": list(one.reasons),
            "recommendations": list(one.recommendations),
        }
        for name, one in verdicts
        if credential_id is not None or one.status is not Health.HEALTHY
    ]
    run.output.rows(rows, ("id", "health", "reasons", "recommendations"), empty="All are healthy.")
    if any(one.status is Health.FAILED for _, one in verdicts):
        raise ChecksFailed


def _manage(run: Run) -> CredentialManagement:
    return run.services.credentials.manage


async def _named(run: Run, credential_id: str, looking: Awaitable[T]) -> T:
    return await run.named(f"credential {credential_id}", looking)


def _row(run: Run, credential: Credential) -> dict[str, Any]:
    return {
        **credential.to_json(),
        "usedBy": credential.connection_id or credential.registration_id,
        "health": assess(credential, run.now()).status,
    }


def _check_generate(kind: CredentialType, generate: bool) -> None:
    if generate and kind is not CredentialType.WEBHOOK_SECRET:
        raise UsageProblem(f"--generate makes a webhookSecret; a credential of type {kind.value} has its own")


async def _reveal(run: Run, sentence: str, credential: Credential, *, generated: bool) -> None:
    secret = await _manage(run).get_secret(credential.tenant_id, credential.id) if generated else None
    run.output.reveal(sentence, secret, **_row(run, credential))
