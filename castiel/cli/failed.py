"""``castiel failed``: records that failed on their own, and messages that were given up: list, replay."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from castiel.cli.cells import short
from castiel.cli.exits import UsageProblem
from castiel.cli.results import results_since
from castiel.cli.running import Run, Tenant, command, group
from castiel.domain.model import format_utc
from castiel.domain.results import PushResult, SyncResult
from castiel.domain.tasks import SyncMode
from castiel.errors import CastielError, NotFound
from castiel.ports.messaging import QueueMessage, again_id

app = group("Records and messages that were given up. What succeeds when replayed is forgotten.")
ConnectionId = Annotated[
    str | None, typer.Option("--connection", help="Only this connection's.", show_default=False)
]
COLUMNS = ("kind", "id", "connectionId", "what", "code", "message", "at")
REPLAYED = "replayedAt"

Given = SyncResult | PushResult


@command(app, "list")
async def list_failed(run: Run, tenant: Tenant, connection: ConnectionId = None) -> None:
    """Failed records (without their values) and given-up messages that were not replayed yet."""
    rows = [row async for row in _records(run, tenant, connection)]
    rows += [_message_row(result) async for result in _given_up(run, tenant, connection)]
    rows.sort(key=lambda row: (row["at"], row["id"]))
    if not run.output.as_json:
        rows = [{**row, "what": " ".join(map(short, row["what"].split()))} for row in rows]
    run.output.rows(rows, COLUMNS, empty="Nothing has failed.")


@command(app, "replay")
async def replay(
    run: Run,
    tenant: Tenant,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of `list`.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that --connection leaves.")] = False,
    connection: ConnectionId = None,
) -> None:
    """Convert records again with today's schema, and send given-up messages again.

    What succeeds is forgotten; what a newer state has overtaken is left alone. A task's execution is not repeated
    as it was: the task is run anew, from its checkpoint.
    """
    if bool(ids) == everything:
        raise UsageProblem("name ids, or say --all")
    wanted = None if everything else set(ids or ())
    with run.output.progress() as progress:
        working = progress.add_task("replaying", total=None)
        known = {row["id"] async for row in _records(run, tenant, connection)}
        given_up = [
            result
            async for result in _given_up(run, tenant, connection)
            if wanted is None or result.id in wanted
        ]
        missing = (wanted or set()) - known - {result.id for result in given_up}
        if missing:
            raise NotFound(f"nothing failed is called {', '.join(sorted(missing))}")
        done = await run.services.replay.replay(tenant, connection_id=connection, ids=wanted)
        progress.advance(working, done.stored + done.outdated + done.failed)
        sent = 0
        for result in given_up:
            await _send_again(run, result)
            sent += 1
            progress.advance(working)
    run.output.done(
        f"Records: {done.stored} stored, {done.outdated} out of date, {done.failed} still failing."
        f" Messages sent again: {sent}.",
        stored=done.stored,
        outdated=done.outdated,
        stillFailing=done.failed,
        messagesSent=sent,
    )
    if done.failed:
        raise CastielError(f"{done.failed} records still fail: mend their schema or the records, then replay")


async def _records(run: Run, tenant: str, connection: str | None) -> AsyncIterator[dict[str, Any]]:
    async for record in run.services.stores.failed_records.of_tenant(tenant):
        if connection in (None, record.connection_id):
            yield {
                "kind": "record",
                "id": record.id,
                "connectionId": record.connection_id,
                "what": f"{record.entity} {record.external_id}",
                "code": record.code,
                "message": record.message,
                "at": record.executed_at,
            }


async def _given_up(run: Run, tenant: str, connection: str | None) -> AsyncIterator[Given]:
    async for result in results_since(run, tenant):
        replayed = REPLAYED in (result.model_extra or {})
        if result.given_up_message and not replayed and connection in (None, result.connection_id):
            yield result


def _message_row(result: Given) -> dict[str, Any]:
    pushed = isinstance(result, PushResult)
    return {
        "kind": "message",
        "id": result.id,
        "connectionId": result.connection_id,
        "what": f"{result.operation.value} {result.entity_id}"
        if isinstance(result, PushResult)
        else result.task_id or "pull",
        "queue": "outbound" if pushed else "inbound",
        "code": result.error_code,
        "message": result.error_message,
        "at": result.executed_at,
    }


async def _send_again(run: Run, result: Given) -> None:
    """The message's work is done again, then the result says so: a crash in between repeats what is harmless."""
    message = result.given_up_message or {}
    body = message.get("body")
    if isinstance(result, SyncResult) and result.task_id is not None:
        task = await run.named(
            f"task {result.task_id}", run.services.stores.tasks.get(result.tenant_id, result.task_id)
        )
        await run.services.scheduler.run_now(task)
    else:
        pushes = isinstance(result, PushResult) or (
            isinstance(body, dict) and body.get("syncMode") == SyncMode.PUSH.value
        )
        queue = run.services.outbound_queue if pushes else run.services.inbound_queue
        text = body if isinstance(body, str) else json.dumps(body)
        await queue.send(
            [
                QueueMessage(
                    again_id(str(message.get("messageId")), result.id), text, result.correlation_id or ""
                )
            ]
        )
    marked = {**result.to_json(), REPLAYED: format_utc(datetime.now(UTC))}
    await run.services.stores.results.put(type(result).model_validate(marked))
