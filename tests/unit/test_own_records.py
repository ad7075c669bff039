"""A record that a push made is known by its key, also when the push could not say that it made it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from castiel.adapters.base import ExternalRecord
from castiel.domain.messages import Operation
from castiel.domain.shards import Shard
from tests.support.engine import ADA, TENANT, World, person

NAMELESS = {"lastName": "Lovelace"}
"""Nothing that would make two records one by likeness."""


async def pushed_without_an_answer() -> tuple[World, Shard]:
    world = World()
    await world.connect("crm")
    shard = await world.local.create(TENANT, "contact", NAMELESS, correlation_id="by-hand")
    world.queue.sent.clear()
    await world.clock.sleep(60)
    return world, shard


def made(world: World, shard: Shard, external_id: str = "1", **more: Any) -> ExternalRecord:
    record = person(external_id, world.clock.now(), **NAMELESS, **more)
    return replace(record, made_from=shard.id)


async def test_it_becomes_the_reference_of_its_shard() -> None:
    world, shard = await pushed_without_an_answer()
    await world.pull("crm", made(world, shard))
    [stored] = world.live()
    assert stored.id == shard.id
    assert [reference.external_id for reference in stored.references] == ["1"]
    assert world.told() == []


async def test_what_changed_here_since_is_told_and_what_changed_there_is_taken() -> None:
    world, shard = await pushed_without_an_answer()
    record = made(world, shard, company="Engines")
    await world.clock.sleep(60)
    await world.local.update(TENANT, shard.id, {"title": "Countess"}, correlation_id="by-hand")
    world.queue.sent.clear()
    await world.pull("crm", record)
    [stored] = world.live()
    assert (stored.fields["company"], stored.fields["title"]) == ("Engines", "Countess")
    assert [(m.operation, m.changed_fields) for m in world.told()] == [(Operation.UPDATE, ["title"])]


async def test_it_goes_with_its_shard_that_was_deleted_meanwhile() -> None:
    world, shard = await pushed_without_an_answer()
    await world.local.delete(TENANT, shard.id, correlation_id="by-hand")
    world.queue.sent.clear()
    await world.clock.sleep(60)
    await world.pull("crm", made(world, shard))
    assert world.live() == []
    assert [(m.operation, m.external_id) for m in world.told()] == [(Operation.DELETE, "1")]


async def test_a_change_after_the_deletion_keeps_both() -> None:
    world, shard = await pushed_without_an_answer()
    await world.local.delete(TENANT, shard.id, correlation_id="by-hand")
    await world.clock.sleep(60)
    await world.pull("crm", made(world, shard, title="Countess"))
    [stored] = world.live()
    assert stored.fields["title"] == "Countess"


async def test_a_persons_copy_of_it_is_a_record_of_its_own() -> None:
    world, shard = await pushed_without_an_answer()
    await world.pull("crm", made(world, shard), made(world, shard, "2", firstName="Augusta"))
    await world.pull("crm", made(world, shard, "3", firstName="Byron"))
    assert len(world.live()) == 3
    assert (await world.shard("crm", "1")).id == shard.id


async def test_a_key_of_nothing_here_is_ignored() -> None:
    world = World()
    await world.connect("crm")
    await world.pull("crm", replace(person("1", **ADA), made_from="contact-elsewhere"))
    assert len(world.live()) == 1
