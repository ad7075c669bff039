"""A shard that the store does not take is one record's failure, whatever kind of shard it is and whoever writes it."""

from __future__ import annotations

from castiel.domain.shards import Shard
from castiel.domain.tasks import TaskStatus
from castiel.errors import DocumentTooLarge
from castiel.ports.stores import SaveOutcome
from tests.support.engine import ADA, COMPANY, GRACE, TENANT, World, person, person_schema
from tests.support.fakes.records import MemoryShards
from tests.support.ring import Ring, push_task


class SmallStore(MemoryShards):
    """Takes no shard with more than ``most`` characters."""

    most = 10_000

    def _saved(self, shard: Shard) -> SaveOutcome:
        if len(shard.model_dump_json()) > self.most:
            return SaveOutcome(shard, DocumentTooLarge())
        return super()._saved(shard)


async def test_a_derived_shard_that_is_too_large_fails_its_record_alone() -> None:
    world = World(shards=SmallStore())
    about = {"kind": "direct", "field": "about", "source": "about"}
    company = {**COMPANY, "mappings": [*COMPANY["mappings"], about]}  # type: ignore[misc]
    await world.connect("crm", person_schema("crm", derived=[company]))
    page = [
        person("1", **ADA, company="Engines", about="x"),
        person("2", **GRACE, company="Navy", about="x" * 20_000),
        person("3", lastName="Alone"),
    ]
    done = await world.pull("crm", *page)
    assert (done.records_processed, done.records_created, done.records_failed) == (3, 2, 1)
    assert [(error.external_id, error.code) for error in done.errors] == [("2", "DocumentTooLarge")]
    assert sorted(shard.fields["lastName"] for shard in world.live()) == ["Alone", "Lovelace"]
    assert [shard.fields["name"] for shard in world.live("account")] == ["Engines"]

    again = await world.pull("crm", person("2", **GRACE, company="Navy", about="x"), execution="exec-2")
    assert (again.records_created, again.records_failed) == (1, 0)
    assert sorted(shard.fields["name"] for shard in world.live("account")) == ["Engines", "Navy"]


async def test_a_push_task_goes_on_past_a_shard_that_has_no_room_for_its_mark() -> None:
    store = SmallStore()
    world = World(shards=store)
    names = ("Long", "Short")
    for name in names:
        fields = {"lastName": name, "title": "x" * (5_000 if name == "Long" else 1)}
        await world.local.create(TENANT, "contact", fields, correlation_id="by-hand")
        await world.clock.sleep(1)
    store.most = 5_500
    await world.connect("crm")
    ring = Ring(world, ["crm"])
    await ring.push_tasks.run(await push_task(ring, "crm"))
    [told] = world.told()
    assert (await world.shards.get(TENANT, told.entity_id)).fields["lastName"] == "Short"
    [result] = ring.store.stored
    assert (result.status, result.records_processed, result.records_failed) == ("partial", 2, 1)
    assert [(error.entity, error.code) for error in result.errors] == [("Person", "DocumentTooLarge")]
    assert (await world.tasks.get(TENANT, "push-crm")).status is TaskStatus.COMPLETED
