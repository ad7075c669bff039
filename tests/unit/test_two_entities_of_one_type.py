"""A connection with two entities of one shard type (leads and contacts are people): each record is told as what it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from castiel.adapters.base import ExternalRecord
from castiel.domain.connections import EntitySync
from castiel.domain.messages import Operation
from castiel.domain.tasks import SyncMode
from tests.support.engine import ADA, GRACE, TENANT, World
from tests.support.ring import Ring, push_task, ring_of

NINE = datetime(2025, 12, 10, 9, 0, tzinfo=UTC)
LATER = timedelta(hours=1)


async def with_leads(direction: SyncMode = SyncMode.BIDIRECTIONAL) -> Ring:
    """``crm`` has people and leads, both of them contacts here; ``mail`` has people."""
    ring = await ring_of("crm", "mail")
    crm = await ring.world.connections.get(TENANT, "crm")
    crm.entities.append(EntitySync(entity="Lead", shard_type="contact", schema_id="crm", direction=direction))
    await ring.world.connections.replace(crm)
    return ring


async def pull(world: World, entity: str, external_id: str, at: datetime, **fields: Any) -> None:
    """A record comes in from ``crm``; without fields, its tombstone."""
    connection = await world.connections.get(TENANT, "crm")
    sync = connection.entity(entity)
    assert sync is not None
    context = await world.engine.context(connection, sync, f"exec-{world.clock.new_id()}")
    record = ExternalRecord(entity, external_id, fields, at, deleted=not fields)
    await world.engine.pull(replace(context, page=1), [record])


def told(world: World) -> list[tuple[str, str | None, Operation]]:
    messages = sorted(world.told(), key=lambda m: (m.connection_id, m.entity or ""))
    world.queue.sent.clear()
    return [(m.connection_id, m.entity, m.operation) for m in messages]


@pytest.mark.parametrize("direction", [SyncMode.BIDIRECTIONAL, SyncMode.PULL])
async def test_a_change_of_a_lead_goes_to_the_lead_and_makes_no_second_record(direction: SyncMode) -> None:
    world = (await with_leads(direction)).world
    await pull(world, "Lead", "l1", NINE, **ADA)
    [ada] = world.live()
    told(world)
    await world.local.update(TENANT, ada.id, {"title": "Countess"}, correlation_id="by-hand")
    leads = [("crm", "Lead", Operation.UPDATE)] if direction is not SyncMode.PULL else []
    assert told(world) == [*leads, ("mail", "Person", Operation.CREATE)]


async def test_what_is_new_here_is_made_once_as_the_first_entity_that_takes_it() -> None:
    world = (await with_leads()).world
    await world.local.create(TENANT, "contact", GRACE, correlation_id="by-hand")
    assert told(world) == [("crm", "Person", Operation.CREATE), ("mail", "Person", Operation.CREATE)]


async def test_somebody_who_is_both_is_kept_in_step_and_stays_while_one_is_left() -> None:
    world = (await with_leads()).world
    await pull(world, "Person", "p1", NINE, **ADA)
    await pull(world, "Lead", "l1", NINE, **ADA)
    [ada] = world.live()
    told(world)
    await pull(world, "Lead", "l1", NINE + LATER, **ADA, title="Countess")
    assert ("crm", "Person", Operation.UPDATE) in told(world)

    await pull(world, "Lead", "l1", NINE + 2 * LATER)
    assert [shard.id for shard in world.live()] == [ada.id]
    assert told(world) == []
    await pull(world, "Person", "p1", NINE + 3 * LATER)
    assert world.live() == []
    assert told(world) == [("mail", "Person", Operation.DELETE)]


async def test_a_push_task_makes_no_contact_of_a_lead() -> None:
    ring = await with_leads()
    world = ring.world
    await pull(world, "Lead", "l1", NINE, **ADA)
    told(world)
    await ring.push_tasks.run(await push_task(ring, "crm"))
    assert told(world) == []
