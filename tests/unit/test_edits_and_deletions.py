"""A record deleted on one side and changed on the other: the later of the two stands, whichever arrives first."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from castiel.adapters.base import ExternalRecord
from castiel.domain.messages import Operation
from tests.support.engine import ADA, TENANT, World, person
from tests.support.ring import Ring, ring_of

MINUTE = timedelta(minutes=1)


def deleted(external_id: str, at: datetime) -> ExternalRecord:
    return ExternalRecord("Person", external_id, {}, at, deleted=True)


async def ada_in_two_systems() -> tuple[World, datetime]:
    """One shard, two records; the moment when both were last changed."""
    world = World()
    for name in ("crm", "mail"):
        await world.connect(name)
    at = world.clock.now()
    await world.pull("crm", person("1", at, **ADA))
    await world.pull("mail", person("a", at, **ADA))
    await world.clock.sleep(600)
    world.queue.sent.clear()
    return world, at


async def is_alive(world: World) -> bool:
    [ada] = [s for s in world.shards.all() if s.references]
    return not ada.deleted


async def test_a_record_that_is_not_deleted_yet_does_not_bring_its_shard_back() -> None:
    world, at = await ada_in_two_systems()
    await world.pull("crm", deleted("1", at + MINUTE))
    # Read again by another pass; what the provider works out by itself was never agreed on.
    await world.pull("mail", person("a", at + 2 * MINUTE, **ADA))
    assert not await is_alive(world)


async def test_a_record_that_was_read_before_it_was_deleted_does_not_bring_it_back() -> None:
    world, at = await ada_in_two_systems()
    shard = await world.shard("mail", "a")
    await world.local.delete(TENANT, shard.id, correlation_id="by-hand")
    shard = await world.shard("mail", "a")
    for reference in shard.references:
        reference.deleted = True  # the pushes have been there
    await world.shards.save([shard])
    await world.pull("mail", person("a", at, **ADA))
    assert not await is_alive(world)


async def test_a_record_that_was_restored_brings_its_shard_back() -> None:
    world, at = await ada_in_two_systems()
    await world.pull("mail", deleted("a", at + MINUTE))
    await world.pull("mail", person("a", at + 2 * MINUTE, **ADA))
    assert await is_alive(world)


async def test_a_tombstone_from_before_the_record_was_restored_takes_nothing_with_it() -> None:
    """A page is on its way with the tombstone, while a webhook brings in the restored record."""
    world, at = await ada_in_two_systems()
    page = replace(await world.context("crm", "exec-2"), read_at=world.clock.now())
    await world.clock.sleep(1)
    await world.pull("crm", person("1", at + 2 * MINUTE, **ADA, title="Countess"), execution="exec-3")
    world.queue.sent.clear()
    await world.engine.pull(page, [deleted("1", at + MINUTE)])
    assert await is_alive(world)
    assert world.told() == []


async def test_a_tombstone_that_was_asked_for_later_is_believed_however_it_is_dated() -> None:
    """Slack's are dated as their messages were at first, before any edit."""
    world, at = await ada_in_two_systems()
    await world.pull("crm", person("1", at + 2 * MINUTE, **ADA, title="Countess"), execution="exec-2")
    await world.clock.sleep(1)
    page = replace(await world.context("crm", "exec-3"), read_at=world.clock.now())
    await world.engine.pull(page, [deleted("1", at)])
    assert not await is_alive(world)


async def test_a_change_from_before_the_deletion_goes_with_it() -> None:
    world, at = await ada_in_two_systems()
    await world.pull("crm", deleted("1", at + 2 * MINUTE))
    await world.pull("mail", person("a", at + MINUTE, **ADA, title="Countess"))
    assert not await is_alive(world)


async def test_a_change_from_after_the_deletion_keeps_the_shard_and_makes_the_record_again() -> None:
    world, at = await ada_in_two_systems()
    await world.pull("crm", deleted("1", at + MINUTE))
    await world.pull("mail", person("a", at + 2 * MINUTE, **ADA, title="Countess"))
    assert await is_alive(world)
    told = [(m.connection_id, m.operation) for m in world.told()]
    assert ("crm", Operation.UPDATE) in told  # its reference is deleted: the push makes the record again


async def test_the_same_two_in_the_other_order_end_the_same() -> None:
    world, at = await ada_in_two_systems()
    await world.pull("mail", person("a", at + 2 * MINUTE, **ADA, title="Countess"))
    world.queue.sent.clear()
    await world.pull("crm", deleted("1", at + MINUTE))
    assert await is_alive(world)
    assert [(m.connection_id, m.operation) for m in world.told()] == [("crm", Operation.CREATE)]

    world, at = await ada_in_two_systems()
    await world.pull("mail", person("a", at + MINUTE, **ADA, title="Countess"))
    await world.pull("crm", deleted("1", at + 2 * MINUTE))
    assert not await is_alive(world)


async def with_ada() -> Ring:
    ring = await ring_of("crm", "mail")
    ring.providers["crm"].write("1", ADA)
    await ring.settle()
    return ring


async def test_a_push_that_meets_a_newer_deletion_leaves_it() -> None:
    """Nobody has heard of the deletion when the push of an older change arrives."""
    ring = await with_ada()
    [shard] = ring.world.live()
    await ring.world.local.update(TENANT, shard.id, {"title": "Countess"}, correlation_id="by-hand")
    await ring.world.clock.sleep(60)
    [record] = ring.providers["mail"].live()
    ring.providers["mail"].remove(record)
    silent = ring.providers["mail"].told.popleft()
    await ring.settle()
    assert ring.providers["mail"].live() == {}
    ring.providers["mail"].told.append(silent)
    await ring.settle()
    assert ring.providers["crm"].live() == {}
    assert ring.world.live() == []


async def test_a_push_of_a_change_that_is_newer_than_the_deletion_makes_the_record_again() -> None:
    ring = await with_ada()
    [shard] = ring.world.live()
    [record] = ring.providers["mail"].live()
    ring.providers["mail"].remove(record)
    silent = ring.providers["mail"].told.popleft()
    await ring.world.clock.sleep(60)
    await ring.world.local.update(TENANT, shard.id, {"title": "Countess"}, correlation_id="by-hand")
    await ring.settle()
    ring.providers["mail"].told.append(silent)
    await ring.settle()
    [again] = ring.providers["mail"].live().values()
    assert again["title"] == "Countess"
    assert [p["title"] for p in ring.providers["crm"].live().values()] == ["Countess"]
