"""What a push leaves behind when the shard was written while it was under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from castiel.adapters.base import PushOutcome
from castiel.domain.messages import Operation
from castiel.domain.pushing import PushPlan, plan_create
from castiel.domain.shards import Shard
from castiel.services.push_record import PushRecorder
from tests.support.engine import ADA, TENANT, World, gone, person, person_schema
from tests.support.fakes.coordination import MemoryMarks


async def pushing(title: str) -> tuple[World, Shard, PushPlan, PushRecorder]:
    """A title that was set here is on its way out; the record's own title is older."""
    world = World()
    await world.connect("crm")
    await world.pull("crm", person("1", world.clock.now(), **ADA, title="Author"))
    shard = await world.shard("crm", "1")
    await world.local.update(TENANT, shard.id, {"title": title}, correlation_id="by-hand")
    world.queue.sent.clear()
    read = await world.shard("crm", "1")
    plan = PushPlan(read, Operation.UPDATE, read.references[0], {"title": title})
    return world, read, plan, PushRecorder(world.shards, MemoryMarks(world.clock), world.outbox, world.clock)


async def remember(world: World, plan: PushPlan, recorder: PushRecorder) -> Shard:
    connection = await world.connections.get(TENANT, "crm")
    outcome = PushOutcome(plan.shard.id, "1")
    assert await recorder.remember(connection, connection.entities[0], [(plan, outcome)]) == {}
    return await world.shard("crm", "1")


async def test_the_base_is_what_was_pushed() -> None:
    world, _, plan, recorder = await pushing("Countess")
    stored = await remember(world, plan, recorder)
    assert (stored.fields["title"], stored.references[0].base["title"]) == ("Countess", "Countess")
    assert world.told() == []


async def test_a_value_that_came_in_meanwhile_is_told_again() -> None:
    """The push wrote over a newer value at the provider, which a pull had just brought here: that one wins."""
    world, _, plan, recorder = await pushing("Countess")
    await world.clock.sleep(60)
    await world.pull("crm", person("1", world.clock.now(), **ADA, title="Analyst"))
    world.queue.sent.clear()

    stored = await remember(world, plan, recorder)
    assert (stored.fields["title"], stored.references[0].base["title"]) == ("Analyst", "Countess")
    [message] = world.told()
    assert (message.connection_id, message.operation, message.changed_fields) == (
        "crm",
        Operation.UPDATE,
        ["title"],
    )
    assert stored.outbox == []


async def test_another_field_that_changed_meanwhile_is_no_matter() -> None:
    world, read, plan, recorder = await pushing("Countess")
    await world.local.update(TENANT, read.id, {"company": "Engines"}, correlation_id="by-hand")
    world.queue.sent.clear()
    stored = await remember(world, plan, recorder)
    assert stored.fields["company"] == "Engines"
    assert world.told() == []


async def test_a_page_that_was_asked_for_before_the_push_does_not_take_it_back() -> None:
    world, _, plan, recorder = await pushing("Countess")
    asked = world.clock.now()
    await world.clock.sleep(1)
    await remember(world, plan, recorder)
    before = person("1", plan.reference.modified_at if plan.reference else None, **ADA, title="Author")
    await world.engine.pull(replace(await world.context("crm"), read_at=asked), [before])
    assert (await world.shard("crm", "1")).fields["title"] == "Countess"

    await world.clock.sleep(1)
    later = person("1", world.clock.now(), **ADA, title="Analyst")
    await world.engine.pull(replace(await world.context("crm"), read_at=world.clock.now()), [later])
    assert (await world.shard("crm", "1")).fields["title"] == "Analyst"


async def test_a_pull_that_has_seen_more_than_the_push_keeps_its_base() -> None:
    """Pushed, changed again by somebody over there, and pulled, all before the push could be remembered."""
    world, _, plan, recorder = await pushing("Countess")
    await world.clock.sleep(60)
    pushed = world.clock.now()
    await world.clock.sleep(60)
    changed = world.clock.now()
    await world.pull("crm", person("1", changed, **ADA, title="Analyst"))
    world.queue.sent.clear()

    connection = await world.connections.get(TENANT, "crm")
    outcome = PushOutcome(plan.shard.id, "1", modified_at=pushed, version="old")
    assert await recorder.remember(connection, connection.entities[0], [(plan, outcome)]) == {}
    [reference] = (await world.shard("crm", "1")).references
    assert (reference.base["title"], reference.modified_at, reference.version) == ("Analyst", changed, None)
    assert world.told() == []


async def test_a_record_made_again_takes_its_place_however_its_provider_rounds_times() -> None:
    """Notion dates its pages in whole minutes: what was made after a deletion may be dated before it."""
    world, read, _, recorder = await pushing("Countess")
    await world.clock.sleep(50)
    deletion = replace(gone("1"), modified_at=world.clock.now())
    await world.pull("crm", deletion)
    [tombstone] = (await world.shards.get(TENANT, read.id)).references
    plan = plan_create(await world.shards.get(TENANT, read.id), person_schema("crm"), replaces=tombstone)

    connection = await world.connections.get(TENANT, "crm")
    early = world.clock.now() - timedelta(seconds=50)
    done = [(plan, PushOutcome(read.id, "2", modified_at=early))]
    assert await recorder.remember(connection, connection.entities[0], done) == {}
    [reference] = (await world.shard("crm", "2")).references
    assert (reference.external_id, reference.deleted) == ("2", False)
