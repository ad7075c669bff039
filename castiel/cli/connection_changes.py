"""``castiel connections change | delete``: what a connection is, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from castiel.cli.connection_values import changed_entity, changed_policy, directions, switches
from castiel.cli.connections import ConnectionId, app
from castiel.cli.exits import UsageProblem
from castiel.cli.running import Run, Tenant, Yes, command
from castiel.cli.values import pairs

if TYPE_CHECKING:
    from castiel.services.connection_deletion import Dependents

Names = list[str] | None


@command(app, "change")
async def change(
    run: Run,
    connection_id: ConnectionId,
    tenant: Tenant,
    name: Annotated[
        str | None, typer.Option("--name", help="For people; an empty one takes it away.", show_default=False)
    ] = None,
    entity: Annotated[
        Names,
        typer.Option(
            "--entity",
            help="Add an entity, or change its shard type and schema: Contact (both by default), Contact=person,"
            " Contact=person@schema-1.",
            show_default=False,
        ),
    ] = None,
    remove_entity: Annotated[
        Names, typer.Option("--remove-entity", help="Sync this entity no more.", show_default=False)
    ] = None,
    direction: Annotated[
        Names, typer.Option("--direction", help="Which way an entity goes: Contact=pull.", show_default=False)
    ] = None,
    enable: Annotated[
        Names, typer.Option("--enable", help="Sync an entity again.", show_default=False)
    ] = None,
    disable: Annotated[
        Names,
        typer.Option(
            "--disable", help="Leave an entity alone, and keep what is said of it.", show_default=False
        ),
    ] = None,
    setting: Annotated[
        Names,
        typer.Option(
            "--set", help="A setting of the provider's: name=value (`providers show`).", show_default=False
        ),
    ] = None,
    unset: Annotated[Names, typer.Option("--unset", help="Take a setting away.", show_default=False)] = None,
    conflicts: Annotated[
        str | None,
        typer.Option(
            "--conflicts",
            help="A strategy (newest_wins, local_wins, external_wins, merge, manual), the policy as JSON, or default.",
            show_default=False,
        ),
    ] = None,
    deduplicate: Annotated[
        bool | None,
        typer.Option(
            "--deduplicate/--no-deduplicate",
            help="Match new records with those there are.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Change a connection. What is not named stays; what is wrong is said before anything is stored."""
    from castiel.services.connection_changes import ConnectionChange

    wanted = ConnectionChange(
        name=name,
        entities=tuple(changed_entity(text) for text in entity or ()),
        remove=tuple(remove_entity or ()),
        directions=directions(direction or ()),
        enabled=switches(enable or (), disable or ()),
        settings=pairs(setting or ()),
        unset=tuple(unset or ()),
        conflict_policy=changed_policy(conflicts),
        deduplicate=deduplicate,
    )
    if wanted == ConnectionChange():
        raise UsageProblem("say what to change: `connections change --help` lists what can be")
    changed = await run.named(
        f"connection {connection_id}", run.services.connections.change(tenant, connection_id, wanted)
    )
    run.output.done(f"Connection {connection_id} is changed.", **changed.to_json())


@command(app, "delete")
async def delete(
    run: Run,
    connection_id: ConnectionId,
    tenant: Tenant,
    with_tasks: Annotated[bool, typer.Option("--with-tasks", help="Delete its enabled tasks, too.")] = False,
    with_webhooks: Annotated[
        bool,
        typer.Option(
            "--with-webhooks", help="Delete its webhooks, too, here and where the provider has an API."
        ),
    ] = False,
    with_credential: Annotated[
        bool,
        typer.Option(
            "--with-credential", help="Revoke and delete its credential, too, if nobody else uses it."
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """Forget a connection. Records keep their data, and what they are at the provider; nothing is deleted there."""
    deletion = run.services.connection_deletion
    named = f"connection {connection_id}"
    found = await run.named(named, deletion.dependents(tenant, connection_id))
    found.check(with_tasks=with_tasks, with_webhooks=with_webhooks, with_credential=with_credential)
    run.confirm(_question(found, with_credential=with_credential), yes=yes)
    gone = await run.named(
        named,
        deletion.delete(
            tenant,
            connection_id,
            with_tasks=with_tasks,
            with_webhooks=with_webhooks,
            with_credential=with_credential,
        ),
    )
    facts = _facts(gone, with_credential=with_credential)
    run.output.done(f"Deleted {_sentence(connection_id, facts)}.", id=connection_id, deleted=True, **facts)
    if gone.credential and not with_credential and not run.output.as_json:
        run.output.remark(
            f"Its credential stays: credentials revoke {gone.credential} --tenant {tenant}, or credentials delete"
        )


def _facts(found: Dependents, *, with_credential: bool) -> dict[str, Any]:
    return {
        "tasks": sorted(each.id for each in found.tasks),
        "webhooks": sorted(each.id for each in found.registrations),
        "credentialId": found.credential if with_credential else None,
    }


def _sentence(connection_id: str, facts: dict[str, Any]) -> str:
    """The connection and what goes with it."""
    parts = [f"{name} {', '.join(facts[name])}" for name in ("tasks", "webhooks") if facts[name]]
    parts += [f"credential {facts['credentialId']}"] if facts["credentialId"] else []
    return f"connection {connection_id}" + (f" with {'; '.join(parts)}" if parts else "")


def _question(found: Dependents, *, with_credential: bool) -> str:
    facts = _facts(found, with_credential=with_credential)
    return f"Delete {_sentence(found.connection.id, facts)}?"
