"""``castiel connections``: add, list, show, pause, resume. What else is done to them: the modules beside."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from castiel.cli.connection_values import conflict_policy, new_entity
from castiel.cli.running import Run, Tenant, command, group
from castiel.cli.values import pairs
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.tasks import SyncMode
from castiel.errors import NotFound

app = group("Accounts at the providers, and what is synced through them.")
ConnectionId = Annotated[str, typer.Argument(help="The connection's id.", show_default=False)]
COLUMNS = ("id", "integrationId", "name", "status", "statusReason", "entities", "credentialId")


@command(app, "list")
async def list_connections(
    run: Run,
    tenant: Tenant,
    status: Annotated[ConnectionStatus | None, typer.Option("--status", help="Only these.")] = None,
) -> None:
    """All connections of a tenant."""
    found = sorted(await run.services.stores.connections.of_tenant(tenant), key=lambda each: each.id)
    rows = [{**each.to_json(), "status": each.status} for each in found if status in (None, each.status)]
    if not run.output.as_json:
        for row in rows:
            row["entities"] = [entity["entity"] for entity in row.get("entities", [])]
    run.output.rows(rows, COLUMNS, empty="No connections.")


@command(app, "show")
async def show(run: Run, connection_id: ConnectionId, tenant: Tenant) -> None:
    """One connection, how its credential is, and the tasks and webhooks that use it."""
    from castiel.domain.credential_health import assess

    connection = await find(run, tenant, connection_id)
    stores = run.services.stores
    tasks = [task.to_json() async for task in stores.tasks.of_tenant(tenant)]
    webhooks = [each.to_json() async for each in stores.registrations.of_tenant(tenant)]
    shown: dict[str, Any] = {**connection.to_json(), "status": connection.status}
    try:
        credential = await stores.credentials.get(tenant, connection.credential_id)
    except NotFound:
        shown["credentialHealth"] = "none yet: `connections authorize` makes the credential"
    else:
        health = assess(credential, run.now())
        shown["credentialHealth"] = {
            "status": health.status,
            "expiryTime": credential.expiry_time,
            "reasons": list(health.reasons),
            "recommendations": list(health.recommendations),
        }
    shown["tasks"] = [each for each in tasks if each["connectionId"] == connection_id]
    shown["webhooks"] = [each for each in webhooks if each["connectionId"] == connection_id]
    if run.output.as_json:
        run.output.one(shown)
        return
    parts = {name: shown.pop(name, []) for name in ("entities", "tasks", "webhooks")}
    run.output.one(shown)
    run.output.section(
        "Entities",
        [{"enabled": True, "direction": SyncMode.BIDIRECTIONAL, **each} for each in parts["entities"]],
        ("entity", "shardType", "direction", "enabled", "schemaId"),
        empty="None: nothing is synced.",
    )
    run.output.section(
        "Tasks",
        [{"enabled": True, **each} for each in parts["tasks"]],
        ("id", "syncMode", "status", "enabled", "schedule", "nextScheduled"),
        empty=f"None: `tasks create --connection {connection_id}` makes one.",
    )
    run.output.section(
        "Webhooks",
        parts["webhooks"],
        ("id", "scheme", "events", "action"),
        empty="None: changes are found by tasks.",
    )


@command(app, "add")
async def add(
    run: Run,
    integration: Annotated[
        str, typer.Argument(help="The provider, as `providers list` names it.", show_default=False)
    ],
    tenant: Tenant,
    connection_id: Annotated[
        str | None,
        typer.Option(
            "--id", help="Its id, unique in the tenant; else conn- and the provider's.", show_default=False
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="For people.", show_default=False)] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity",
            help="An entity to sync: Contact, Contact=person for another shard type, Contact=person@schema-1 for a"
            " schema of your own. Without any: all that have a default schema.",
            show_default=False,
        ),
    ] = None,
    direction: Annotated[
        SyncMode, typer.Option("--direction", help="Which way its entities go.")
    ] = SyncMode.BIDIRECTIONAL,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of the provider's: name=value (`providers show`).", show_default=False
        ),
    ] = None,
    conflicts: Annotated[
        str | None,
        typer.Option(
            "--conflicts",
            help="A strategy (newest_wins, local_wins, external_wins, merge, manual), or the policy as JSON.",
            show_default=False,
        ),
    ] = None,
    credential: Annotated[
        str | None,
        typer.Option(
            "--credential",
            help="An existing credential. Without it: one of its own, by `connections authorize`.",
            show_default=False,
        ),
    ] = None,
    deduplicate: Annotated[
        bool, typer.Option("--deduplicate/--no-deduplicate", help="Match new records with those there are.")
    ] = True,
) -> None:
    """Add a connection. It works once it is authorised."""
    from castiel.services.connections import NewConnection

    new = NewConnection(
        id=connection_id or f"conn-{integration}",
        tenant_id=tenant,
        integration_id=integration,
        entities=tuple(new_entity(text, direction) for text in entity or ()),
        direction=direction,
        settings=pairs(setting or ()),
        name=name,
        credential_id=credential,
        conflict_policy=conflict_policy(conflicts),
        deduplicate=deduplicate,
    )
    added = await run.named(f"connection {new.id}", run.services.connections.add(new))
    run.output.done(f"Added connection {added.id}.", **added.to_json())
    if credential is None and not run.output.as_json:
        run.output.remark(f"Next: connections authorize {added.id} --tenant {tenant}")


@command(app, "pause")
async def pause(
    run: Run,
    connection_id: ConnectionId,
    tenant: Tenant,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why, for who looks later.", show_default=False)
    ] = None,
) -> None:
    """Do no work on a connection until it is resumed; nothing that waits for it is lost."""
    await run.named(
        f"connection {connection_id}", run.services.connections.pause(tenant, connection_id, reason)
    )
    run.output.done(f"Connection {connection_id} is paused.", id=connection_id, status="paused")


@command(app, "resume")
async def resume(run: Run, connection_id: ConnectionId, tenant: Tenant) -> None:
    """Let work be done on a connection again."""
    await run.named(f"connection {connection_id}", run.services.connections.resume(tenant, connection_id))
    run.output.done(f"Connection {connection_id} is active.", id=connection_id, status="active")


async def find(run: Run, tenant: str, connection_id: str) -> Connection:
    """The connection. Raises :class:`NotFound`, naming it."""
    return await run.named(
        f"connection {connection_id}", run.services.stores.connections.get(tenant, connection_id)
    )
