"""Three systems, one person: a change in one reaches the others, its echoes stop, and it takes a counted few messages."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.engine import ADA, GRACE
from tests.support.ring import Ring, ring_of

NAMES = ("crm", "mail", "chat")


async def ring_with_ada() -> Ring:
    ring = await ring_of(*NAMES)
    ring.providers["crm"].write("c1", ADA)
    await ring.settle()
    return ring


def person_of(ring: Ring, name: str) -> dict[str, Any]:
    [fields] = ring.providers[name].live().values()
    return fields


def same_everywhere(ring: Ring) -> None:
    """Each system has the same people, and the shards say the same."""

    def people(all_fields: Any) -> list[dict[str, Any]]:
        return sorted(
            ({k: v for k, v in fields.items() if v is not None} for fields in all_fields),
            key=lambda fields: str(sorted(fields.items())),
        )

    stored = people(shard.fields for shard in ring.world.live())
    for provider in ring.providers.values():
        assert people(provider.live().values()) == stored


async def test_a_new_person_takes_five_messages() -> None:
    """The webhook, two creates, and the two echoes of these."""
    ring = await ring_of(*NAMES)
    ring.providers["crm"].write("c1", ADA)
    assert await ring.settle() == 5
    assert len(ring.world.live()) == 1
    assert len(ring.world.live()[0].references) == 3
    same_everywhere(ring)


@pytest.mark.parametrize("name", NAMES)
async def test_a_change_takes_five_messages_wherever_it_is_made(name: str) -> None:
    ring = await ring_with_ada()
    [external_id] = ring.providers[name].live()
    ring.providers[name].write(external_id, {"title": "Countess"})
    assert await ring.settle() == 5
    assert [person_of(ring, each)["title"] for each in NAMES] == ["Countess"] * 3
    assert all(result.success for result in ring.results)


async def test_a_deletion_takes_five_messages() -> None:
    ring = await ring_with_ada()
    ring.providers["mail"].remove(next(iter(ring.providers["mail"].live())))
    assert await ring.settle() == 5
    assert not any(provider.live() for provider in ring.providers.values())


async def test_a_person_who_was_in_two_systems_before_is_one_and_goes_to_the_third() -> None:
    ring = await ring_of(*NAMES)
    ring.providers["crm"].write("c1", {**ADA, "title": "Countess"})
    ring.providers["mail"].write("m1", {**ADA, "company": "Engines"})
    await ring.settle()
    [shard] = ring.world.live()
    live = {reference.connection_id: reference.external_id for reference in shard.references}
    assert {"crm": "c1"}.items() <= live.items()
    assert [
        (p.get("title"), p.get("company")) for p in (person_of(ring, "crm"), person_of(ring, "chat"))
    ] == [("Countess", "Engines")] * 2


async def test_two_changes_of_one_field_at_once_settle_on_the_later_one() -> None:
    ring = await ring_with_ada()
    for name, title in (("crm", "Countess"), ("mail", "Author")):
        await ring.world.clock.sleep(1)
        [external_id] = ring.providers[name].live()
        ring.providers[name].write(external_id, {"title": title})
    assert await ring.settle() <= 12
    assert [person_of(ring, each)["title"] for each in NAMES] == ["Author"] * 3


Edit = tuple[int, str, str, int]
EDITS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["title", "company", "phone"]),
        st.sampled_from("xyz"),
        st.integers(0, 4),
    ),
    max_size=12,
)


@given(edits=EDITS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_however_edits_and_messages_interleave_everybody_ends_up_with_the_same(edits: list[Edit]) -> None:
    asyncio.run(_edit_and_settle(edits))


async def _edit_and_settle(edits: list[Edit]) -> None:
    ring = await ring_with_ada()
    ring.providers["chat"].write("g1", GRACE)
    await ring.settle()
    for at, field, value, steps in edits:
        await ring.world.clock.sleep(1)
        provider = ring.providers[NAMES[at]]
        external_id = sorted(provider.live())[0]
        provider.write(external_id, {field: value})
        for _ in itertools.repeat(None, steps):
            await ring.step()
    # An edit is at most its webhook, two pushes, their two echoes, and as much again where it met another.
    await ring.settle(most=10 * len(edits) + 10)
    assert len(ring.world.live()) == 2
    same_everywhere(ring)
