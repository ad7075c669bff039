"""``castiel connections check | discover``: what the provider says."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import typer

from castiel.cli.connections import ConnectionId, app, find
from castiel.cli.running import ChecksFailed, Run, Tenant, command
from castiel.domain.connections import Connection
from castiel.domain.fields import EntityDescription
from castiel.errors import CastielError, NotFound

AT_ONCE = 8
COLUMNS = ("id", "integrationId", "ok", "account", "latencyMs", "quotaUsed", "scopes", "error")
FIELDS = ("name", "label", "type", "required", "writable", "maxLength", "values")


@command(app, "check")
async def check(
    run: Run,
    tenant: Tenant,
    connection_id: Annotated[
        str | None, typer.Argument(help="Only this one; else all of the tenant.", show_default=False)
    ] = None,
) -> None:
    """Ask the providers whose accounts the connections reach. Exit code 1 when one does not answer well."""
    if connection_id is not None:
        connections = [await find(run, tenant, connection_id)]
    else:
        connections = await run.services.stores.connections.of_tenant(tenant)
    room = asyncio.Semaphore(AT_ONCE)
    with run.output.progress() as progress:
        working = progress.add_task("asking", total=len(connections))

        async def one(connection: Connection) -> dict[str, Any]:
            async with room:
                row = await _ask(run, connection)
            progress.advance(working)
            return row

        rows = await asyncio.gather(*map(one, sorted(connections, key=lambda each: each.id)))
    run.output.rows(rows, COLUMNS, empty="No connections.")
    if not all(row["ok"] for row in rows):
        raise ChecksFailed


async def _ask(run: Run, connection: Connection) -> dict[str, Any]:
    row = {"id": connection.id, "integrationId": connection.integration_id, "status": connection.status}
    started = time.monotonic()
    try:
        health = await run.services.integrations.adapter(connection).check()
    except CastielError as error:
        return {**row, "ok": False, "error": f"{error.code}: {error}", "retryable": error.retryable}
    return {
        **row,
        "ok": True,
        "account": health.account,
        "latencyMs": round((time.monotonic() - started) * 1000),
        "quotaUsed": None if health.quota_used is None else f"{health.quota_used:.0%}",
        "scopes": list(health.scopes),
    }


@command(app, "discover")
async def discover(
    run: Run,
    connection_id: ConnectionId,
    tenant: Tenant,
    entity: Annotated[
        str | None, typer.Option("--entity", help="Show this one's fields.", show_default=False)
    ] = None,
) -> None:
    """The entities and fields of the account: what conversion schemas may name."""
    connection = await find(run, tenant, connection_id)
    with run.output.progress() as progress:
        progress.add_task("asking", total=None)
        found = await run.services.integrations.adapter(connection).describe()
    if entity is None:
        rows = [_summary(each, connection) if not run.output.as_json else _whole(each) for each in found]
        columns = ("name", "label", "fields", "writable", "deletable", "syncedAs")
        run.output.rows(rows, columns, empty="The account shows no entities.")
        return
    described = next((each for each in found if each.name == entity), None)
    if described is None:
        raise NotFound(f"{entity}: there are {', '.join(sorted(each.name for each in found))}")
    if run.output.as_json:
        run.output.one(_whole(described))
    else:
        run.output.rows(_fields(described), FIELDS, empty=f"{entity} shows no fields.")


def _summary(entity: EntityDescription, connection: Connection) -> dict[str, Any]:
    synced = connection.entity(entity.name)
    return {
        "name": entity.name,
        "label": entity.label,
        "fields": len(entity.fields),
        "writable": entity.writable,
        "deletable": entity.deletable,
        "syncedAs": synced.shard_type if synced else None,
    }


def _whole(entity: EntityDescription) -> dict[str, Any]:
    return {
        "name": entity.name,
        "label": entity.label,
        "writable": entity.writable,
        "deletable": entity.deletable,
        "fields": _fields(entity),
    }


def _fields(entity: EntityDescription) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "type": each.type,
            "required": each.required,
            "writable": each.writable,
            "label": each.label,
            "maxLength": each.max_length,
            "values": list(each.values),
        }
        for each in entity.fields
    ]
