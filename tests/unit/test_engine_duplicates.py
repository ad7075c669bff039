"""New records find the shard they belong to: within a page, across pages, across systems, across workers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from castiel.domain.matching import Decision, Matcher, MatchRules, blocking_keys, default_rules
from castiel.domain.messages import OutboundMessage
from castiel.domain.parked import ParkedKind
from castiel.domain.shards import Shard
from castiel.errors import InvalidInput
from tests.support.engine import ADA, GRACE, TENANT, World, gone, person, person_schema

NINE = datetime(2025, 12, 10, 9, 0, tzinfo=UTC)
TEN = datetime(2025, 12, 10, 10, 0, tzinfo=UTC)


async def two_systems(**schema: Any) -> World:
    world = World()
    for name in ("crm", "mail"):
        await world.connect(name, person_schema(name, **schema))
    return world


async def test_the_same_person_in_two_systems_is_one_shard_with_two_references() -> None:
    world = await two_systems()
    await world.pull("crm", person("1", NINE, **ADA))
    done = await world.pull("mail", person("a", TEN, **ADA), person("b", TEN, **GRACE))

    assert (done.records_created, done.records_updated) == (1, 1)
    ada = await world.shard("crm", "1")
    assert [reference.key for reference in ada.references] == ["crm|Person|1", "mail|Person|a"]
    assert len(world.live()) == 2


async def test_a_meeting_fills_the_gaps_of_both_sides_and_tells_each_what_it_lacks() -> None:
    world = await two_systems()
    await world.pull("crm", person("1", NINE, **ADA, title="Countess"))
    world.queue.sent.clear()
    await world.pull("mail", person("a", TEN, **ADA, company="Analytical Engines"))

    ada = await world.shard("mail", "a")
    assert (ada.fields["title"], ada.fields["company"]) == ("Countess", "Analytical Engines")
    told = [OutboundMessage.model_validate_json(message.body) for message in world.queue.sent]
    changed = {message.connection_id: message.changed_fields for message in told}
    assert changed == {"crm": ["company"], "mail": ["title"]}


@pytest.mark.parametrize(
    ("policy", "title"),
    [("keep_first", "Countess"), ("keep_last", "Author"), ("keep_most_complete", "Countess")],
)
async def test_the_merge_policy_says_who_wins_where_both_say_something(policy: str, title: str) -> None:
    rules = default_rules("contact").to_json() | {"mergePolicy": policy}
    world = await two_systems(matchRules=rules)
    await world.pull("crm", person("1", NINE, **ADA, title="Countess", company="Engines"))
    await world.pull("mail", person("a", TEN, **ADA, title="Author"))
    ada = await world.shard("mail", "a")
    assert (ada.fields["title"], ada.fields["company"]) == (title, "Engines")


async def test_copies_within_a_page_become_one_shard() -> None:
    world = await two_systems()
    done = await world.pull("crm", person("1", NINE, **ADA), person("2", NINE, **ADA), person("3", **GRACE))
    assert (done.records_created, done.records_updated, done.shards_written) == (2, 1, 2)
    assert (await world.shard("crm", "1")).id == (await world.shard("crm", "2")).id


async def test_the_page_done_again_after_a_crash_changes_and_parks_nothing() -> None:
    world = await two_systems()
    page = [person("1", NINE, **ADA), person("2", NINE, **ADA), person("3", NINE, **GRACE)]
    first = await world.pull("crm", *page)
    before = world.shards.texts()
    again = await world.pull("crm", *page)
    assert world.shards.texts() == before
    assert (again.records_created, again.records_updated) == (first.records_created, first.records_updated)
    assert again.shards_written == 0


async def test_a_record_that_the_next_page_shows_again_counts_once() -> None:
    world = World()
    await world.connect("crm")
    first = await world.pull("crm", person("1", **ADA), person("2", **GRACE))
    after = await world.pull("crm", person("2", **GRACE), page=1)
    assert (first.records_created, after.records_created, after.records_unchanged) == (2, 0, 1)


async def test_a_connection_may_switch_it_off() -> None:
    world = World()
    await world.connect("crm")
    await world.connect("mail", deduplicate=False)
    await world.pull("crm", person("1", **ADA))
    await world.pull("mail", person("a", **ADA))
    assert len(world.live()) == 2
    assert not world.conflicts.all()


# Same name and phone, another mailbox and no birth date: too much to be a stranger, too little to be sure.
ALIKE = {"firstName": "Ada", "lastName": "Lovelace", "company": "Engines"}
RULES = {
    "shardType": "contact",
    "fields": [
        {"fields": ["email"], "weight": 2},
        {"fields": ["lastName"], "weight": 2, "strategy": "fuzzy"},
    ],
    "mergeThreshold": 0.9,
    "reviewThreshold": 0.4,
    "blocking": [{"name": "last", "parts": [{"fields": ["lastName"], "functions": ["text"]}]}],
}


async def possible_duplicate() -> tuple[World, str]:
    world = await two_systems(matchRules=RULES)
    await world.pull("crm", person("1", NINE, **ALIKE, email="ada@example.com"))
    await world.clock.sleep(1)
    await world.pull("mail", person("a", TEN, **ALIKE, email="countess@example.org", title="Countess"))
    [parked] = world.conflicts.all()
    return world, parked.id


async def test_a_possible_duplicate_is_stored_and_parked_with_reasons_that_hold_no_values() -> None:
    world, _ = await possible_duplicate()
    [parked] = world.conflicts.all()
    assert parked.kind is ParkedKind.DUPLICATE
    pair = {(await world.shard("crm", "1")).id, (await world.shard("mail", "a")).id}
    assert {parked.shard_id, parked.other_shard_id} == pair
    assert len(pair) == 2
    assert [reason["rule"] for reason in parked.explanation or []] == ["email", "lastName"]
    text = parked.to_json_text()
    assert not any(value in text for value in ("Lovelace", "ada@", "countess@"))


async def test_a_person_merges_a_possible_duplicate() -> None:
    world, conflict_id = await possible_duplicate()
    world.queue.sent.clear()
    merged = await world.resolution.merge(TENANT, conflict_id, correlation_id="by-hand")

    assert merged is not None
    assert [shard.id for shard in world.live()] == [merged.id]
    assert {reference.connection_id for reference in merged.references} == {"crm", "mail"}
    assert (merged.fields["email"], merged.fields["title"]) == ("ada@example.com", "Countess")
    assert {m.correlation_id for m in world.queue.sent} == {"by-hand"}
    assert not world.conflicts.all()
    # What comes in for either record finds the one shard.
    await world.pull("mail", person("a", TEN, **ALIKE, email="new@example.org"), execution="exec-2")
    assert (await world.shard("crm", "1")).fields["email"] == "new@example.org"


async def test_a_dismissed_pair_does_not_come_back() -> None:
    world, conflict_id = await possible_duplicate()
    await world.resolution.dismiss(TENANT, conflict_id)
    assert not world.conflicts.all()
    one, other = await world.shard("crm", "1"), await world.shard("mail", "a")
    assert (one.distinct_from, other.distinct_from) == ([other.id], [one.id])

    # A third record merges into one of them, and may be the other: the pair is known to be two.
    await world.connect("chat", person_schema("chat", matchRules=RULES))
    await world.pull("chat", person("x", TEN, **ALIKE, email="ada@example.com"))
    assert (await world.shard("chat", "x")).id == one.id
    assert not world.conflicts.all()


async def test_what_is_parked_is_decided_by_its_own_kind_of_word() -> None:
    world, conflict_id = await possible_duplicate()
    with pytest.raises(InvalidInput):
        await world.resolution.resolve(TENANT, conflict_id, "local", correlation_id="x")  # type: ignore[arg-type]


async def test_two_workers_that_meet_the_same_new_person_at_once_make_one_shard() -> None:
    for seed in range(20):
        world = await two_systems()
        fields = [ADA, GRACE] if seed % 2 else [GRACE, ADA]
        await asyncio.gather(
            world.pull("crm", *(person(f"c{i}", NINE, **f) for i, f in enumerate([ADA, GRACE]))),
            world.pull("mail", *(person(f"m{i}", NINE, **f) for i, f in enumerate(fields))),
        )
        assert len(world.live()) == 2
        assert all(len(shard.references) == 2 for shard in world.live())


async def test_a_worker_that_died_after_its_announcement_is_not_waited_for_for_ever() -> None:
    world = await two_systems()
    context = await world.context("crm")
    assert context.search is not None
    await world.claims.claim(
        f"{TENANT}:contact", {"contact-dead": blocking_keys(ADA, context.search.matcher.rules)}, seconds=30
    )
    await world.pull("mail", person("a", **ADA))
    assert len(world.live()) == 1


async def test_deleting_one_of_two_copies_in_a_system_keeps_the_person() -> None:
    world = await two_systems()
    await world.pull("crm", person("1", NINE, **ADA), person("2", NINE, **ADA))
    await world.pull("crm", gone("1"), execution="exec-2")
    assert not (await world.shard("crm", "2")).deleted
    await world.pull("crm", gone("2"), execution="exec-3")
    assert (await world.shard("crm", "2")).deleted


async def test_a_page_costs_a_constant_number_of_queries() -> None:
    """However many shards there are, and however many of them share the office's telephone with everybody."""

    def somebody(n: int) -> dict[str, str]:
        name = f"{chr(97 + n % 26)}{n}"
        return {
            "firstName": f"F{name}", "lastName": f"L{name}", "email": f"{n}@example.com", "phone": "+12125550100",
            "birthDate": f"{1950 + n % 50}-0{1 + n % 9}-1{n % 9}", "company": f"Company {n % 40}",
        }  # fmt: skip

    async def cost(stored: int) -> int:
        world = World()
        await world.connect("crm")
        rules = [default_rules("contact")]
        await world.shards.save([_shard(n, somebody(n), rules) for n in range(stored)])
        world.shards.asked.clear()
        done = await world.pull("crm", *(person(f"n{n}", **somebody(10**6 + n)) for n in range(100)))
        assert done.records_processed == 100
        return world.shards.asked.total()

    few, many, very_many = await cost(20), await cost(400), await cost(3000)
    assert few == many <= 10
    # Where a key of the page is everybody's, its part of the page is asked once more without it, and that is all.
    assert very_many <= few + 2


def _shard(n: int, fields: dict[str, str], rules: list[MatchRules]) -> Shard:
    return Shard(
        id=f"contact-{n:06d}", tenant_id=TENANT, shard_type="contact", fields=fields,
        blocking_keys=[key for each in rules for key in blocking_keys(fields, each)],
        created_at=NINE, updated_at=NINE,
    )  # fmt: skip


async def test_a_named_matcher_takes_part() -> None:
    def same_initials(one: Any, other: Any) -> float:
        return 1.0 if one[0][0] == other[0][0] else 0.0

    rules = {
        "shardType": "contact",
        "fields": [{"fields": ["firstName"], "strategy": "custom", "similarity": "initials"}],
        "blocking": [{"name": "last", "parts": [{"fields": ["lastName"], "functions": ["text"]}]}],
    }
    world = World(matchers={"initials": same_initials})
    for name in ("crm", "mail"):
        await world.connect(name, person_schema(name, matchRules=rules))
    await world.pull("crm", person("1", **ADA))
    await world.pull("mail", person("a", firstName="Augusta", lastName="Lovelace"))
    assert len(world.live()) == 1


def test_the_sample_people_are_two() -> None:
    matcher = Matcher(default_rules("contact"))
    assert matcher.score(matcher.prepare(ADA), matcher.prepare(GRACE)).decision is Decision.DISTINCT
