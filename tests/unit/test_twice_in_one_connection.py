"""A connection that has the same thing twice: both records are kept in step, and go one by one or together."""

from __future__ import annotations

from collections.abc import Sequence

from castiel.adapters.base import ExternalRecord, PushOutcome
from castiel.domain.conversion import ConversionSchema
from castiel.domain.pushing import plan_create
from castiel.errors import RateLimited
from castiel.services.push_record import PushRecorder
from tests.support.engine import ADA, GRACE, TENANT, World, person_schema
from tests.support.fakes.coordination import MemoryMarks
from tests.support.ring import Ring, ring_of


async def ada_twice() -> Ring:
    """One shard: two records in the CRM, one in the mail system."""
    ring = await ring_of("crm", "mail")
    for external_id in ("c1", "c2"):
        ring.providers["crm"].write(external_id, ADA)
        await ring.settle()
    [shard] = ring.world.live()
    assert len(shard.live_references("crm", "Person")) == 2
    assert len(ring.providers["mail"].live()) == 1
    return ring


def titles(ring: Ring) -> dict[str, list[str | None]]:
    return {
        name: [fields.get("title") for _, fields in sorted(provider.live().items())]
        for name, provider in ring.providers.items()
    }


async def test_a_change_made_elsewhere_reaches_both() -> None:
    ring = await ada_twice()
    [mailbox] = ring.providers["mail"].live()
    ring.providers["mail"].write(mailbox, {"title": "Countess"})
    assert await ring.settle() == 4  # the webhook, one push, and the echoes of two records
    assert titles(ring) == {"crm": ["Countess", "Countess"], "mail": ["Countess"]}
    assert [result for result in ring.results if not result.success] == []


async def test_a_change_of_one_reaches_the_other() -> None:
    ring = await ada_twice()
    ring.providers["crm"].write("c2", {"title": "Countess"})
    assert await ring.settle() == 5  # the webhook, a push to each connection, and their two echoes
    assert titles(ring) == {"crm": ["Countess", "Countess"], "mail": ["Countess"]}


async def test_a_deletion_here_takes_both() -> None:
    ring = await ada_twice()
    [shard] = ring.world.live()
    await ring.world.local.delete(TENANT, shard.id, correlation_id="by-hand")
    await ring.settle()
    assert titles(ring) == {"crm": [], "mail": []}


async def test_a_deletion_of_one_leaves_the_other() -> None:
    ring = await ada_twice()
    ring.providers["crm"].remove("c1")
    await ring.settle()
    assert list(ring.providers["crm"].live()) == ["c2"]
    assert len(ring.providers["mail"].live()) == len(ring.world.live()) == 1


async def test_a_push_that_finds_one_deleted_does_not_make_it_again() -> None:
    ring = await ada_twice()
    ring.providers["crm"].remove("c1")
    ring.providers["crm"].told.clear()  # nobody is told
    await ring.world.clock.sleep(60)
    [shard] = ring.world.live()
    await ring.world.local.update(TENANT, shard.id, {"title": "Countess"}, correlation_id="by-hand")
    await ring.settle()
    assert titles(ring) == {"crm": ["Countess"], "mail": ["Countess"]}


async def test_a_look_at_the_second_that_fails_is_tried_again() -> None:
    """The first record's success must not stand for both."""
    ring = await ada_twice()
    crm, look = ring.providers["crm"], ring.providers["crm"].get
    limit: list[Exception] = [RateLimited(retry_after=5)]

    async def limited(entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        if limit and list(external_ids) == ["c2"]:
            raise limit.pop()
        return await look(entity, external_ids)

    crm.get = limited  # type: ignore[method-assign]
    [shard] = ring.world.live()
    await ring.world.local.update(TENANT, shard.id, {"title": "Countess"}, correlation_id="by-hand")
    await ring.settle()
    assert limit == []
    assert titles(ring) == {"crm": ["Countess", "Countess"], "mail": ["Countess"]}


async def test_what_was_pushed_is_remembered_by_the_shard_that_its_own_became_part_of() -> None:
    world = World()
    connection = await world.connect("crm")
    older = await world.local.create(TENANT, "contact", ADA, correlation_id="one")
    younger = await world.local.create(TENANT, "contact", GRACE, correlation_id="two")
    schema: ConversionSchema = person_schema("crm")
    plan = plan_create(younger.copy_of(), schema)
    await world.union.merge(TENANT, older.id, younger.id, "by-hand")

    recorder = PushRecorder(world.shards, MemoryMarks(world.clock), world.outbox, world.clock)
    done = [(plan, PushOutcome(younger.id, "c1"))]
    assert await recorder.remember(connection, connection.entities[0], done) == {}
    [kept] = world.live()
    assert kept.id == older.id
    assert [reference.external_id for reference in kept.references] == ["c1"]
