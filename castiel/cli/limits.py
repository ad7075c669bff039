"""``castiel limits``: how much is allowed and used, and a tenant's or a connection's own limits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from castiel.cli.connections import find
from castiel.cli.exits import UsageProblem
from castiel.cli.running import Run, Tenant, Yes, command, group
from castiel.domain.connections import Connection
from castiel.domain.limits import OPERATION_LIMITS, LimitsStatus, TenantLimits

app = group("How many calls are allowed and made per minute.")
OfConnection = Annotated[
    str | None, typer.Option("--connection", help="This connection's, not the tenant's.", show_default=False)
]
LEVELS = ("connectionId", "level", "used", "perMinute", "full", "setBy")
PROVIDERS = ("connectionId", "multiplier", "closedUntil", "failures", "openUntil", "waiting")
EFFECT = "Workers take it within 30 seconds."


@command(app, "show")
async def show(run: Run, tenant: Tenant, connection: OfConnection = None) -> None:
    """What was used in the last minute at each level, and what the providers said."""
    if connection is not None:
        connections = [await find(run, tenant, connection)]
    else:
        connections = await run.services.stores.connections.of_tenant(tenant)
    own = await run.services.limiter.overrides.show(tenant)
    found = [
        (each, await run.services.limiter.status(tenant, each.integration_id, each))
        for each in sorted(connections, key=lambda each: each.id)
    ]
    whole: list[dict[str, Any]] = [
        {
            "connectionId": each.id,
            "integrationId": each.integration_id,
            "levels": _levels(each, status, own),
            "provider": _provider(status, run.now()),
        }
        for each, status in found
    ]
    if run.output.as_json:
        run.output.rows(whole, (), empty="")
        return
    rows = [{"connectionId": each["connectionId"], **level} for each in whole for level in each["levels"]]
    run.output.rows(rows, LEVELS, empty="No connections.")
    if whole:
        said = [{"connectionId": each["connectionId"], **each["provider"]} for each in whole]
        run.output.section("What the providers said", said, PROVIDERS, empty="")


@command(app, "list")
async def list_limits(run: Run, tenant: Tenant) -> None:
    """Every limit by its name: the tenant's own, or the default."""
    own = await run.services.limiter.overrides.show(tenant)
    rows = [
        {"name": name, "perMinute": theirs or default, "default": default, "own": theirs is not None}
        for name, default, theirs in _named(run, own)
    ]
    run.output.rows(rows, ("name", "perMinute", "default", "own"), empty="")


@command(app, "set")
async def set_limit(
    run: Run,
    name: Annotated[
        str,
        typer.Argument(
            help="tenant, webhook, fetch, update, create, delete or a provider; of a connection: integration, tenant"
            " or an operation.",
            show_default=False,
        ),
    ],
    per_minute: Annotated[int, typer.Argument(help="Calls per minute.", show_default=False)],
    tenant: Tenant,
    connection: OfConnection = None,
) -> None:
    """Give a tenant or a connection a limit of its own."""
    if connection is not None:
        changing = run.services.connections.set_limit(tenant, connection, name, per_minute)
        await run.named(f"connection {connection}", changing)
    else:
        await run.services.limiter.overrides.set(tenant, name, per_minute)
    run.output.done(
        f"{name}: {per_minute} a minute for {connection or tenant}. {EFFECT}",
        tenantId=tenant,
        connectionId=connection,
        name=name,
        perMinute=per_minute,
    )


@command(app, "reset")
async def reset(
    run: Run,
    tenant: Tenant,
    name: Annotated[str | None, typer.Argument(help="One limit; without it all.", show_default=False)] = None,
    connection: OfConnection = None,
    yes: Yes = False,
) -> None:
    """Back to what holds for everybody: one limit, or all of a tenant's or a connection's own."""
    if name is None:
        run.confirm(f"Forget all own limits of {connection or tenant}?", yes=yes)
    if connection is not None:
        found = await find(run, tenant, connection)
        for each in [name] if name else list(found.rate_limits):
            await run.services.connections.set_limit(tenant, connection, each, None)
    else:
        await run.services.limiter.overrides.reset(tenant, name)
    run.output.done(
        f"{name or 'All limits'} of {connection or tenant}: the default again. {EFFECT}",
        tenantId=tenant,
        connectionId=connection,
        name=name,
        reset=True,
    )


def _levels(connection: Connection, status: LimitsStatus, own: TenantLimits) -> list[dict[str, Any]]:
    names = [connection.integration_id, *OPERATION_LIMITS, "tenant"]
    if len(names) != len(status.levels):
        raise UsageProblem("the limiter has other levels than this command knows")
    theirs: dict[str, int | None] = {**own.operations, **own.integrations, "tenant": own.tenant}
    rows = []
    for index, (name, level) in enumerate(zip(names, status.levels, strict=True)):
        narrow = connection.rate_limits.get("integration" if index == 0 else name)
        rows.append(
            {
                "level": name,
                "used": level.used,
                "perMinute": level.limit,
                "full": f"{level.used / level.limit:.0%}",
                "setBy": "connection" if narrow else "tenant" if theirs.get(name) else "default",
            }
        )
    return rows


def _provider(status: LimitsStatus, now: datetime) -> dict[str, Any]:
    said = status.provider

    def ahead(moment: datetime | None) -> datetime | None:
        return moment if moment is not None and moment > now else None

    return {
        "multiplier": said.multiplier,
        "closedUntil": ahead(said.closed_until),
        "failures": said.failures,
        "openUntil": ahead(said.open_until),
        "waiting": {priority.value: count for priority, count in status.waiting.items() if count},
    }


def _named(run: Run, own: TenantLimits) -> list[tuple[str, int, int | None]]:
    settings = run.services.settings
    integrations = sorted(
        (each.integration_id, each.rate_limit_per_minute) for each in run.services.providers
    )
    return [
        ("tenant", settings.tenant_rate_limit_per_minute, own.tenant),
        ("webhook", settings.webhook_rate_limit_per_minute, own.webhook),
        *((name, default, own.operations.get(name)) for name, default in OPERATION_LIMITS.items()),
        *((name, default, own.integrations.get(name)) for name, default in integrations),
    ]
