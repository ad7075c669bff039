"""Records that failed on their own are replayed with today's schema, and forgotten when they succeed."""

from __future__ import annotations

from datetime import UTC, datetime

from castiel.domain.shards import LOCAL
from castiel.services.replay import Replayed
from tests.support.engine import ADA, GRACE, TENANT, World, person, person_schema

NINE = datetime(2025, 12, 10, 9, 0, tzinfo=UTC)
NAMELESS = {"firstName": "Ada", "email": "ada.lovelace@example.com"}


async def world_with_failures() -> World:
    world = World()
    await world.connect("crm")
    done = await world.pull("crm", person("1", NINE, **NAMELESS), person("2", NINE, **GRACE))
    assert (done.records_failed, done.records_created) == (1, 1)
    assert [(e.external_id, e.code) for e in done.errors] == [("1", "ConversionFailed")]
    return world


async def relax(world: World) -> None:
    schema = person_schema("crm")
    for mapping in schema.mappings:
        mapping.required = False
    schema.version += 1
    await world.schemas.put(schema)
    await world.clock.sleep(61)


async def test_todays_schema_may_take_it() -> None:
    world = await world_with_failures()
    await relax(world)
    assert await world.replay.replay(TENANT) == Replayed(stored=1)
    shard = await world.shard("crm", "1")
    assert shard.fields["firstName"] == "Ada"
    assert shard.references[0].modified_at == NINE
    assert not world.failed.all()


async def test_what_fails_again_stays() -> None:
    world = await world_with_failures()
    before = world.failed.texts()
    assert await world.replay.replay(TENANT) == Replayed(failed=1)
    assert world.failed.texts() == before


async def test_what_was_brought_in_since_is_only_forgotten() -> None:
    world = await world_with_failures()
    await world.clock.sleep(5)
    await world.pull("crm", person("1", None, **ADA), execution="exec-2")
    await relax(world)
    assert await world.replay.replay(TENANT) == Replayed(outdated=1)
    assert (await world.shard("crm", "1")).fields["lastName"] == "Lovelace"
    assert not world.failed.all()


async def test_only_those_that_were_named() -> None:
    world = await world_with_failures()
    await world.pull("crm", person("3", NINE, firstName="Mary"), execution="exec-2")
    await relax(world)
    [one, _] = world.failed.all()
    assert await world.replay.replay(TENANT, ids=[one.id]) == Replayed(stored=1)
    assert len(world.failed.all()) == 1
    assert await world.replay.replay(TENANT, connection_id="another") == Replayed()


async def test_a_connection_that_is_gone_takes_its_failures_along() -> None:
    world = await world_with_failures()
    await world.connections.delete(await world.connections.get(TENANT, "crm"))
    assert await world.replay.replay(TENANT) == Replayed(outdated=1)


async def test_what_was_pushed_since_is_not_undone_by_what_the_record_said_before() -> None:
    """Salesforce does not say when a record was written, so that its old state is not told by its time."""
    world = World()
    await world.connect("crm")
    await world.pull("crm", person("1", NINE, **ADA, title="Countess"))
    await world.pull("crm", person("1", NINE, **NAMELESS, title="Countess"), execution="exec-2")
    await relax(world)
    ada = await world.shard("crm", "1")
    ada.set_fields({"title": "Author"}, LOCAL, world.clock.now(), "by-hand")
    [reference] = ada.references
    reference.base, reference.content_hash = {**reference.base, "title": "Author"}, None
    reference.pushed_at = world.clock.now()
    await world.shards.save([ada])

    assert await world.replay.replay(TENANT) == Replayed(outdated=1)
    assert (await world.shard("crm", "1")).fields["title"] == "Author"
    # The push changed the record, so that it comes again, with all that is new in it.
    await world.pull("crm", person("1", world.clock.now(), **NAMELESS, title="Author"), execution="exec-3")
    assert (await world.shard("crm", "1")).fields["title"] == "Author"
    assert not world.failed.all()
