"""``castiel duplicates``: pairs of shards that may be the same: list, show why, merge, keep apart."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from castiel.cli import parked as parking
from castiel.cli.parked import OfConnection, ParkedId
from castiel.cli.running import Limit, Run, Tenant, Yes, command, group
from castiel.domain.json_values import same
from castiel.domain.parked import ParkedConflict, ParkedKind
from castiel.domain.shards import Shard
from castiel.errors import NotFound

app = group("Pairs that may be the same record, which wait for a person.")
COLUMNS = ("id", "score", "shardType", "shardId", "otherShardId", "connectionId", "detectedAt")
REASONS = ("rule", "fields", "strategy", "function", "similarity", "weight", "contribution")


@command(app, "list")
async def list_duplicates(
    run: Run,
    tenant: Tenant,
    connection: OfConnection = None,
    least: Annotated[
        float, typer.Option("--min-score", min=0, max=1, help="Only scores from here on.")
    ] = 0.0,
    limit: Limit = 100,
) -> None:
    """The pairs that wait for a person, the likeliest first."""
    found = [
        each
        async for each in parking.waiting(run, tenant, ParkedKind.DUPLICATE)
        if connection in (None, each.connection_id) and (each.score or 0.0) >= least
    ]
    found.sort(key=lambda each: (-(each.score or 0.0), each.id))
    rows = [parking.row(run, each) for each in found[:limit]]
    run.output.rows(rows, COLUMNS, empty="No possible duplicates.")


@command(app, "show")
async def show(run: Run, duplicate_id: ParkedId, tenant: Tenant) -> None:
    """Both records side by side, and what each rule said about them."""
    parked = await parking.find(run, tenant, ParkedKind.DUPLICATE, duplicate_id)
    older, younger = await _pair(run, parked)
    names = sorted({*older.fields, *younger.fields})
    fields = [
        {
            "field": name,
            "older": older.fields.get(name),
            "younger": younger.fields.get(name),
            "same": same(older.fields.get(name), younger.fields.get(name)),
        }
        for name in names
    ]
    reasons = parked.explanation or []
    facts = {
        "id": parked.id,
        "score": parked.score,
        "detectedAt": parked.detected_at,
        "older": _about(older),
        "younger": _about(younger),
    }
    if run.output.as_json:
        run.output.one({**facts, "fields": fields, "explanation": reasons})
        return
    run.output.one(facts)
    run.output.section("Fields", fields, ("field", "older", "younger", "same"), empty="None.")
    run.output.section("Why", reasons, REASONS, empty="No rule had anything to compare.")


@command(app, "merge")
async def merge(run: Run, duplicate_id: ParkedId, tenant: Tenant, yes: Yes = False) -> None:
    """They are the same: the younger becomes part of the older. Every system is told what it lacks."""
    parked = await parking.find(run, tenant, ParkedKind.DUPLICATE, duplicate_id)
    older, younger = await _pair(run, parked)
    run.confirm(f"Make {younger.id} part of {older.id}?", yes=yes)
    correlation_id = run.correlation_id()
    merged = await run.services.conflicts.merge(tenant, parked.id, correlation_id=correlation_id)
    if merged is None:
        raise NotFound("they are no pair any more")
    run.output.done(
        f"Merged into {merged.id}.", shardId=merged.id, gone=younger.id, correlationId=correlation_id
    )


@command(app, "keep-apart")
async def keep_apart(run: Run, duplicate_id: ParkedId, tenant: Tenant) -> None:
    """They are two: remembered on both, so that nobody is asked again."""
    parked = await parking.find(run, tenant, ParkedKind.DUPLICATE, duplicate_id)
    await run.services.conflicts.dismiss(tenant, parked.id)
    run.output.done(
        "Kept apart.", shardId=parked.shard_id, otherShardId=parked.other_shard_id, keptApart=True
    )


async def _pair(run: Run, parked: ParkedConflict) -> tuple[Shard, Shard]:
    pair = await run.services.conflicts.pair(parked)
    if pair is None:
        raise NotFound("they are no pair any more; keep-apart takes the question off the list")
    return pair


def _about(shard: Shard) -> dict[str, Any]:
    return {
        "shardId": shard.id,
        "createdAt": shard.created_at,
        "updatedAt": shard.updated_at,
        "at": [f"{each.integration_id} {each.entity} {each.external_id}" for each in shard.references],
    }
