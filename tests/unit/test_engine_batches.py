"""A page's batches: one is looked up while the one before is stored, and nothing comes out otherwise than one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from castiel.domain.shards import ExternalReference, Shard
from tests.support.engine import ADA, GRACE, TENANT, World, gone, person

NINE = datetime(2025, 12, 10, 9, 0, tzinfo=UTC)
TEN = datetime(2025, 12, 10, 10, 0, tzinfo=UTC)


async def one_by_one() -> World:
    world = World(batch_size=1)
    await world.connect("crm")
    return world


async def test_the_next_batch_is_looked_up_while_one_is_stored() -> None:
    world = await one_by_one()
    looked_up: list[int] = []

    async def before_save(_: Sequence[Shard]) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        looked_up.append(world.shards.asked["by_references"])

    world.shards.before_save = before_save
    done = await world.pull("crm", person("1", **ADA), person("2", **GRACE), person("3", lastName="Hamilton"))
    assert done.records_created == 3
    assert looked_up == [2, 3, 3]


async def test_a_duplicate_of_the_batch_before_is_found() -> None:
    world = await one_by_one()
    done = await world.pull("crm", person("1", NINE, **ADA), person("2", NINE, **ADA), person("3", **GRACE))
    assert (done.records_created, done.records_updated, done.shards_written) == (2, 1, 3)
    assert (await world.shard("crm", "1")).id == (await world.shard("crm", "2")).id
    assert len(world.live()) == 2


async def test_batches_that_change_one_shard_do_so_after_each_other() -> None:
    world = await one_by_one()
    await world.pull("crm", person("1", NINE, **ADA), person("2", NINE, **ADA))
    in_vain = 0

    async def before_save(shards: Sequence[Shard]) -> None:
        nonlocal in_vain
        stored = {each.id: each.etag for each in await world.shards.get_many(TENANT, [s.id for s in shards])}
        in_vain += sum(stored[shard.id] != shard.etag for shard in shards)

    world.shards.before_save = before_save
    page = [person("1", TEN, **ADA, title="Countess"), person("2", TEN, **ADA, title="Countess")]
    done = await world.pull("crm", *page, execution="exec-2")
    ada = await world.shard("crm", "1")
    assert done.records_updated == 2
    assert {reference.external_id: reference.modified_at for reference in ada.references} == {
        "1": TEN,
        "2": TEN,
    }
    assert ada.fields["title"] == "Countess"
    assert in_vain == 0


async def test_a_record_that_got_its_shard_since_it_was_looked_up_is_a_change_of_it() -> None:
    world = await one_by_one()
    await world.connect("mail")
    await world.pull("mail", person("g", NINE, **GRACE, title="Admiral"))

    async def another_worker(_: Sequence[Shard]) -> None:
        world.shards.before_save = None
        for _ in range(100):
            await asyncio.sleep(0)
        shard = await world.shard("mail", "g")
        reference = ExternalReference(
            integration_id="crm", connection_id="crm", entity="Person", external_id="2"
        )
        reference.base = dict(shard.fields)
        shard.put_reference(reference)
        shard.set_fields({"title": "Rear admiral"}, "local", TEN, None)
        assert [outcome.error for outcome in await world.shards.save([shard])] == [None]

    world.shards.before_save = another_worker
    await world.pull("crm", person("1", NINE, **ADA), person("2", TEN, **GRACE, title="Admiral"))
    grace = await world.shard("crm", "2")
    # Against what both sides agreed on, the record says nothing new.
    assert grace.fields["title"] == "Rear admiral"
    assert [reference.key for reference in grace.references] == ["mail|Person|g", "crm|Person|2"]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
async def test_whatever_the_batch_size_the_same_shards_come_of_it(batch_size: int) -> None:
    world = World(batch_size=batch_size)
    for name in ("crm", "mail"):
        await world.connect(name)
    await world.pull("mail", person("g", NINE, **GRACE), person("x", NINE, lastName="Elsewhere"))
    first = [
        person("1", NINE, **ADA),
        person("2", NINE, **ADA),
        person("3", NINE, **GRACE),
        person("4", firstName="?"),
    ]
    await world.pull("crm", *first)
    second = [
        person("2", TEN, **ADA, title="Countess"),
        gone("3"),
        person("1", NINE, **ADA),
    ]
    done = await world.pull("crm", *second, execution="exec-2")
    assert _shape(world) == [
        (("crm|Person|1", False), ("crm|Person|2", False), "Countess"),
        (("mail|Person|x", False), None),
    ]
    assert (done.records_updated, done.records_deleted, done.records_unchanged) == (1, 1, 1)
    assert [failed.external_id async for failed in world.failed.of_tenant(TENANT)] == ["4"]


def _shape(world: World) -> list[tuple[Any, ...]]:
    return sorted(
        (
            (*sorted((r.key, r.deleted) for r in shard.references), shard.fields.get("title"))
            for shard in world.live()
        ),
        key=str,
    )
