"""Fields that a connection's records don't bring in: what a schema only pushes, and what it no longer maps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from castiel.domain.conversion import ConversionSchema
from tests.support.engine import ADA, TENANT, World, person, person_schema
from tests.support.ring import Ring, ring_of

NINE = datetime(2025, 12, 10, 9, 0, tzinfo=UTC)
LATER = timedelta(hours=1)


def without_phone(name: str, *instead: dict[str, Any]) -> ConversionSchema:
    mappings = [m for m in person_schema(name).to_json()["mappings"] if m["field"] != "phone"]
    return person_schema(name, mappings=[*mappings, *instead])


ONLY_OUT = {"kind": "direct", "field": "phone", "source": "phone", "direction": "outbound"}


async def save(world: World, schema: ConversionSchema) -> None:
    """The next version of a schema, once every worker has forgotten the one before."""
    stored = await world.schemas.get(TENANT, schema.id)
    schema.version, schema.etag = stored.version + 1, stored.etag
    await world.schemas.replace(schema)
    await world.clock.sleep(61)


async def test_a_field_that_a_schema_no_longer_maps_stays_and_nobody_is_told_to_clear_it() -> None:
    world = World()
    await world.connect("crm")
    await world.connect("mail")
    await world.pull("crm", person("1", NINE, **ADA))
    await save(world, without_phone("crm"))
    world.queue.sent.clear()
    done = await world.pull("crm", person("1", NINE + LATER, **ADA, title="Countess"), execution="exec-2")
    ada = await world.shard("crm", "1")
    assert (ada.fields["phone"], ada.fields["title"]) == (ADA["phone"], "Countess")
    assert [message.changed_fields for message in world.told()] == [["title"]]
    assert done.conflicts_detected == 0

    # What is done to it here meanwhile is this side's alone, and no conflict.
    await world.local.update(TENANT, ada.id, {"phone": "+1"}, correlation_id="by-hand")
    done = await world.pull("crm", person("1", NINE + 2 * LATER, **ADA, title="Poet"), execution="exec-3")
    ada = await world.shard("crm", "1")
    assert (ada.fields["phone"], ada.fields["title"], done.conflicts_detected) == ("+1", "Poet", 0)

    # Mapped again, it is compared with what both sides last agreed on.
    await save(world, person_schema("crm"))
    await world.pull("crm", person("1", NINE + 3 * LATER, **ADA, title="Poet"), execution="exec-4")
    assert (await world.shard("crm", "1")).fields["phone"] == "+1"


async def with_phones_only_going_out() -> Ring:
    ring = await ring_of("crm")
    await save(ring.world, without_phone("crm", ONLY_OUT))
    return ring


async def test_what_only_goes_out_is_not_cleared_by_the_record_coming_back() -> None:
    ring = await with_phones_only_going_out()
    shard = await ring.world.local.create(TENANT, "contact", ADA, correlation_id="by-hand")
    await ring.settle()
    [made] = ring.providers["crm"].live()
    ring.providers["crm"].write(made, {"title": "Countess"})
    await ring.settle()
    fields = (await ring.world.shards.get(TENANT, shard.id)).fields
    assert (fields["phone"], fields["title"]) == (ADA["phone"], "Countess")
    assert ring.providers["crm"].live()[made]["phone"] == ADA["phone"]


async def test_each_change_of_what_only_goes_out_arrives_and_is_no_conflict() -> None:
    ring = await with_phones_only_going_out()
    crm = ring.providers["crm"]
    crm.write("1", {name: value for name, value in ADA.items() if name != "phone"})
    await ring.settle()
    shard = await ring.world.shard("crm", "1")
    for phone in ("+1", "+2"):
        await ring.world.local.update(TENANT, shard.id, {"phone": phone}, correlation_id="by-hand")
        await ring.settle()
        assert crm.live()["1"]["phone"] == phone
        assert (await ring.world.shards.get(TENANT, shard.id)).fields["phone"] == phone
    assert [result.conflicts for result in ring.results] == [[], []]
