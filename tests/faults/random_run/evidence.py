"""What there is to know about the contacts that disagree: their shards, what was pushed, what the sandboxes did."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from castiel.domain.results import PushResult
from castiel.domain.shards import Shard
from tests.faults.random_run.world import SYSTEMS, TENANT, World

KEPT = ("externalId", "deleted", "modifiedAt", "pulledAt", "pushedAt", "changedIn", "base")


async def evidence(world: World, found: Iterable[str]) -> list[str]:
    """Lines about every shard that a disagreement names, oldest event first."""
    text = "\n".join(found)
    stores = world.services.stores
    shards = [s async for s in stores.shards.changed_since(TENANT, "contact", None)]
    named = [s for s in shards if s.id in text or (s.fields.get("lastName") or "\0") in text]
    lines = [line for shard in named for line in _of_shard(shard)]
    events: list[tuple[datetime, str]] = []
    stored = stores.results.of_tenant(TENANT, datetime.now(UTC) - timedelta(hours=1))
    async for result in stored:
        if isinstance(result, PushResult) and result.entity_id in {s.id for s in named}:
            what = f"{result.operation.value} → {result.external_id} {result.error_code or 'ok'} attempt {result.attempt}"
            at = datetime.fromisoformat(str(result.to_json()["executedAt"]))
            events.append(
                (
                    at,
                    f"push {result.entity_id[-8:]} {result.integration_id}: {what} ({result.correlation_id})",
                )
            )
    ids = {reference.external_id for shard in named for reference in shard.references}
    names = {str(shard.fields.get("lastName")) for shard in named}
    events += await _writes(world, ids, names)
    return lines + [f"{at:%H:%M:%S.%f} {text}" for at, text in sorted(events)]


def _of_shard(shard: Shard) -> list[str]:
    body = shard.to_json()
    told = {
        key: body.get(key)
        for key in ("deleted", "deletedAt", "createdAt", "createdIn", "updatedIn", "mergedInto")
    }
    origins = {
        name: f"{o.source} {o.at:%H:%M:%S.%f} {o.execution_id}" for name, o in shard.field_origins.items()
    }
    lines = [
        f"SHARD {shard.id} {json.dumps(told)}",
        f"   fields {json.dumps(shard.fields)}",
        f"   set by {origins}",
    ]
    for reference in body["references"]:
        kept = {key: reference.get(key) for key in KEPT}
        lines.append(f"   {reference['connectionId']} {json.dumps(kept)}")
    return lines


async def _writes(world: World, ids: Collection[str], names: Collection[str]) -> list[tuple[datetime, str]]:
    events = []
    for system in SYSTEMS:
        for change in await world.control(system).changes():
            ours = any(change["id"] in each or each in change["id"] for each in ids)
            if ours or any(name in json.dumps(change["fields"]) for name in names):
                at = datetime.fromtimestamp(change["atMs"] / 1000, UTC)
                events.append((at, f"{system.integration_id} {_told(change)}"))
    return events


def _told(change: dict[str, Any]) -> str:
    return f"{change['operation']} {change['id']} by {change['origin']} {json.dumps(change['fields'])[:200]}"
