"""``castiel results``: what executions came to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from castiel.cli.cells import milliseconds, short
from castiel.cli.running import Limit, Run, Tenant, command, group
from castiel.cli.values import duration
from castiel.domain.results import RESULT_TTL_SECONDS, PushResult, SyncResult
from castiel.errors import NotFound

app = group("What executions and pushes came to. Kept for 30 days.")
Since = Annotated[str, typer.Option("--since", help="How far back: 90s, 15m, 24h, 7d.")]
COLUMNS = ("id", "executedAt", "connectionId", "what", "status", "records", "took", "errorCode")
ALL = timedelta(seconds=RESULT_TTL_SECONDS)


@command(app, "list")
async def list_results(
    run: Run,
    tenant: Tenant,
    since: Since = "24h",
    limit: Limit = 50,
    failed: Annotated[bool, typer.Option("--failed", help="Only what did not succeed.")] = False,
    connection: Annotated[
        str | None, typer.Option("--connection", help="Only this connection's.", show_default=False)
    ] = None,
) -> None:
    """A tenant's results, newest first."""
    rows = []
    async for result in results_since(run, tenant, duration(since)):
        if failed and succeeded(result):
            continue
        if connection in (None, result.connection_id):
            rows.append(result.to_json() if run.output.as_json else summary(result))
        if len(rows) == limit:
            break
    run.output.rows(rows, COLUMNS, empty="No results.")


@command(app, "show")
async def show(
    run: Run,
    result_id: Annotated[str, typer.Argument(help="The result's id.", show_default=False)],
    tenant: Tenant,
) -> None:
    """One result whole, with the records that failed."""
    run.output.one(await find_result(run, tenant, result_id))


async def results_since(
    run: Run, tenant: str, back: timedelta = ALL
) -> AsyncIterator[SyncResult | PushResult]:
    """A tenant's results since so long ago, newest first."""
    async for result in run.services.stores.results.of_tenant(tenant, datetime.now(UTC) - back):
        yield result


async def find_result(run: Run, tenant: str, result_id: str) -> SyncResult | PushResult:
    """One result by its id. Raises :class:`NotFound`."""
    async for result in results_since(run, tenant):
        if result.id == result_id:
            return result
    raise NotFound(f"there is no result {result_id}")


def succeeded(result: SyncResult | PushResult) -> bool:
    """Whether all of it succeeded."""
    return result.success if isinstance(result, PushResult) else result.status.value == "success"


def summary(result: SyncResult | PushResult) -> dict[str, Any]:
    """A result as a row."""
    common = {
        "id": result.id,
        "executedAt": result.executed_at,
        "connectionId": result.connection_id,
        "took": milliseconds(result.duration),
        "errorCode": result.error_code,
    }
    if isinstance(result, PushResult):
        status = "success" if result.success else "failed"
        return {**common, "what": f"{result.operation.value} {short(result.entity_id)}", "status": status}
    failed = f", {result.records_failed} failed" if result.records_failed else ""
    return {
        **common,
        "what": result.task_id or "pull",
        "status": result.status.value,
        "records": f"{result.records_processed}{failed}",
    }
