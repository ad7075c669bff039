"""What a complete full pass did not see is deleted, within bounds; beyond them a person is asked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.domain.deletions import DeletionDecision, decide_deletions
from castiel.domain.parked import ParkedKind
from castiel.domain.tasks import FullPass, Progress
from castiel.errors import LeaseLost, NotFound
from castiel.services.drafts import PullContext
from tests.support.engine import TENANT, World, person

DAY = timedelta(days=1).total_seconds()


def someone(number: int) -> dict[str, str]:
    name = f"{number:03d}"
    return {"firstName": f"A{name}", "lastName": f"B{name}", "email": f"{name}@example.com"}


async def world_with(people: int) -> World:
    world = World()
    await world.connect("crm")
    await world.pull("crm", *(person(str(n), **someone(n)) for n in range(people)))
    await world.clock.sleep(DAY / 2)
    return world


async def full_pass(world: World, *seen: int, pages: int = 2) -> tuple[Progress, FullPass]:
    context = await world.context("crm", "exec-2")
    begun: FullPass | None = await world.guard.begin(context, world.clock.now())
    for page in range(pages):
        records = [person(str(n), **someone(n)) for n in seen[page::pages]]
        await world.engine.pull(context, records)
        assert begun is not None
        begun = await world.guard.saw(begun, records)
    assert begun is not None
    return await ended(world, context, begun), begun


async def ended(world: World, context: PullContext, begun: FullPass) -> Progress:
    done, complete = await world.guard.end(context, begun, lambda: True)
    assert complete
    return done


async def test_what_was_not_seen_is_deleted() -> None:
    world = await world_with(10)
    done, _ = await full_pass(world, *range(9))
    assert done.records_deleted == 1
    assert (await world.shard("crm", "9")).deleted
    assert done.deletions == {"Person": {"outcome": "deleted", "known": 10, "unseen": 1, "deleted": 1}}


async def test_nothing_is_deleted_when_everything_was_seen() -> None:
    world = await world_with(10)
    done, _ = await full_pass(world, *range(10))
    assert done.deletions["Person"]["outcome"] == "nothing"
    assert len(world.live()) == 10


@pytest.mark.parametrize(
    ("seen", "reason"), [(7, "more than may go unasked"), (0, "the pass showed no record at all")]
)
async def test_more_than_a_share_waits_for_a_person(seen: int, reason: str) -> None:
    world = await world_with(10)
    done, _ = await full_pass(world, *range(seen))
    assert len(world.live()) == 10
    assert done.deletions["Person"]["outcome"] == "needsConfirmation"
    [note] = world.conflicts.all()
    assert (note.kind, note.known, note.unseen, note.reason) == (ParkedKind.DELETIONS, 10, 10 - seen, reason)


async def test_a_person_confirms_within_a_week() -> None:
    world = await world_with(10)
    await full_pass(world, *range(5))
    [note] = world.conflicts.all()
    await world.clock.sleep(6 * DAY)
    done = await world.guard.confirm(TENANT, note.id, correlation_id="by-hand")
    assert done.records_deleted == 5
    assert len(world.live()) == 5
    assert not world.conflicts.all()


async def test_a_record_that_came_back_before_the_confirmation_stays() -> None:
    world = await world_with(10)
    await full_pass(world, *range(5))
    [note] = world.conflicts.all()
    await world.clock.sleep(60)
    await world.pull("crm", person("9", **someone(9), title="Back"), execution="exec-3")
    await world.guard.confirm(TENANT, note.id, correlation_id="by-hand")
    assert not (await world.shard("crm", "9")).deleted
    assert len(world.live()) == 6


async def test_an_old_question_needs_a_new_pass() -> None:
    world = await world_with(10)
    await full_pass(world, *range(5))
    [note] = world.conflicts.all()
    await world.clock.sleep(8 * DAY)
    with pytest.raises(NotFound, match="new one"):
        await world.guard.confirm(TENANT, note.id, correlation_id="by-hand")
    assert len(world.live()) == 10


async def test_a_declined_question_deletes_nothing() -> None:
    world = await world_with(10)
    await full_pass(world, *range(5))
    [note] = world.conflicts.all()
    await world.guard.decline(TENANT, note.id)
    assert not world.conflicts.all()
    assert len(world.live()) == 10


async def test_a_later_pass_that_sees_them_withdraws_the_question() -> None:
    world = await world_with(10)
    await full_pass(world, *range(5))
    await full_pass(world, *range(10))
    assert not world.conflicts.all()


async def test_what_was_made_while_the_pass_ran_stays() -> None:
    world = await world_with(10)
    context = await world.context("crm", "exec-2")
    begun = await world.guard.begin(context, world.clock.now())
    saw = await world.guard.saw(begun, [person(str(n), **someone(n)) for n in range(10)])
    assert saw is not None
    await world.pull("crm", person("new", **someone(99)), execution="webhook")
    done = await ended(world, context, saw)
    assert done.deletions["Person"]["unseen"] == 0
    assert len(world.live()) == 11


async def test_a_forgotten_pass_deletes_nothing() -> None:
    world = await world_with(10)
    context = await world.context("crm", "exec-2")
    begun = await world.guard.begin(context, world.clock.now())
    await world.seen.forget(begun.id)
    assert await world.guard.saw(begun, [person("1")]) is None
    done = await ended(world, context, begun)
    assert done.deletions["Person"]["outcome"] == "forgotten"
    assert len(world.live()) == 10


async def test_a_lost_lease_stops_the_deleting() -> None:
    world = await world_with(10)
    context = await world.context("crm", "exec-2")
    saw = await world.guard.saw(
        await world.guard.begin(context, world.clock.now()), [person(str(n)) for n in range(9)]
    )
    assert saw is not None

    def lost() -> bool:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        await world.guard.end(context, saw, lost)
    assert len(world.live()) == 10
    # Whoever goes on with the execution ends it.
    assert (await ended(world, context, saw)).records_deleted == 1


@given(known=st.integers(0, 10_000), data=st.data(), percent=st.floats(0, 100))
def test_never_more_than_the_share_goes_unasked(known: int, data: st.DataObject, percent: float) -> None:
    unseen = data.draw(st.integers(0, known))
    seen = data.draw(st.integers(0, known))
    decision = decide_deletions(known=known, unseen=unseen, seen=seen, percent=percent)
    assert (decision is DeletionDecision.NOTHING) == (unseen == 0)
    if decision is DeletionDecision.DELETE:
        assert seen > 0
        assert unseen <= known * percent / 100 + 1e-6
