"""Derived shards: made from primary ones, one per key, linked both ways, gone with the last that links to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from castiel.domain.shards import DERIVED, PRIMARY, Shard, ShardKind
from castiel.errors import StoreUnavailable
from tests.support.engine import ADA, COMPANY, GRACE, TENANT, World, gone, person, person_schema


async def world_with_companies(**more: Any) -> World:
    world = World(**more)
    await world.connect("crm", person_schema("crm", derived=[COMPANY]))
    return world


def links(shard: Shard, relation: str) -> set[str]:
    return {link.shard_id for link in shard.linked(relation)}


async def test_people_of_one_company_share_its_shard_linked_both_ways() -> None:
    world = await world_with_companies()
    await world.pull("crm", person("1", **ADA, company="Engines"), person("2", **GRACE, company=" ENGINES "))
    [company] = world.live("account")
    people = world.live()
    assert company.kind is ShardKind.DERIVED
    assert company.blocking_keys
    assert links(company, PRIMARY) == {shard.id for shard in people}
    assert all(links(shard, DERIVED) == {company.id} for shard in people)


async def test_who_has_no_company_derives_none() -> None:
    world = await world_with_companies()
    await world.pull("crm", person("1", **ADA))
    assert not world.live("account")


async def test_another_company_is_another_shard_and_the_old_one_goes_with_its_last_person() -> None:
    world = await world_with_companies()
    await world.pull("crm", person("1", **ADA, company="Engines"), person("2", **GRACE, company="Engines"))
    await world.pull("crm", person("1", **ADA, company="Looms"), execution="exec-2")
    assert {shard.fields["name"] for shard in world.live("account")} == {"Engines", "Looms"}
    await world.pull("crm", person("2", **GRACE, company="Looms"), execution="exec-3")
    [looms] = world.live("account")
    assert looms.fields["name"] == "Looms"
    assert len(links(looms, PRIMARY)) == 2


async def test_deleting_one_person_keeps_the_company_of_the_other() -> None:
    world = await world_with_companies()
    await world.pull("crm", person("1", **ADA, company="Engines"), person("2", **GRACE, company="Engines"))
    await world.pull("crm", gone("1"), execution="exec-2")
    assert len(world.live("account")) == 1
    await world.pull("crm", gone("2"), execution="exec-3")
    assert not world.live("account")


async def test_a_person_who_comes_back_brings_the_company_back() -> None:
    world = await world_with_companies()
    await world.pull("crm", person("1", **ADA, company="Engines"))
    await world.pull("crm", gone("1"), execution="exec-2")
    await world.pull("crm", person("1", **ADA, company="Engines"), execution="exec-3")
    [company] = world.live("account")
    assert links(company, PRIMARY) == {world.live()[0].id}


async def test_a_person_of_two_systems_keeps_the_companies_of_both() -> None:
    world = await world_with_companies()
    await world.connect("mail", person_schema("mail", derived=[COMPANY]))
    await world.pull("crm", person("1", **ADA, company="Engines"))
    await world.pull("mail", person("a", **ADA, company="Engines Ltd"))
    ada = await world.shard("crm", "1")
    assert len(links(ada, DERIVED)) == 2
    await world.pull("mail", person("a", **ADA, company="Looms"), execution="exec-2")
    assert {shard.fields["name"] for shard in world.live("account")} == {"Engines", "Looms"}


async def test_what_a_person_set_here_is_not_overwritten_by_what_is_derived() -> None:
    world = await world_with_companies()
    await world.pull("crm", person("1", **ADA, company="Engines"))
    [company] = world.live("account")
    await world.local.update("acme", company.id, {"name": "Analytical Engines"}, correlation_id="by-hand")
    await world.pull("crm", person("1", **ADA, company="ENGINES", title="Countess"), execution="exec-2")
    [company] = world.live("account")
    assert company.fields["name"] == "Analytical Engines"


async def test_nothing_is_written_when_nothing_changed() -> None:
    world = await world_with_companies()
    page = [person("1", **ADA, company="Engines"), person("2", **GRACE, company="Engines")]
    await world.pull("crm", *page)
    before = world.shards.texts()
    await world.pull("crm", *page, execution="exec-2")
    await world.pull("crm", person("1", **ADA, company="Engines", unmapped=1), execution="exec-3")
    assert world.shards.texts() == before


@pytest.mark.parametrize("crash_at", [1, 2])
async def test_a_crash_between_the_company_and_the_person_is_mended_by_the_same_page(crash_at: int) -> None:
    world = await world_with_companies()
    page = [person("1", **ADA, company="Engines"), person("2", **GRACE, company="Looms")]
    saves = 0

    async def crash(_: Sequence[Shard]) -> None:
        nonlocal saves
        saves += 1
        if saves == crash_at:
            raise StoreUnavailable

    world.shards.before_save = crash
    with pytest.raises(StoreUnavailable):
        await world.pull("crm", *page)
    world.shards.before_save = None
    done = await world.pull("crm", *page)
    assert done.records_created == 2
    companies = world.live("account")
    assert len(companies) == 2
    people = {shard.id for shard in world.live()}
    assert {linked for company in companies for linked in links(company, PRIMARY)} == people


async def test_two_workers_that_derive_the_same_company_make_one() -> None:
    world = await world_with_companies()
    await world.connect("mail", person_schema("mail", derived=[COMPANY]))
    await world.pull("crm", person("1", **ADA, company="Engines"))
    other_done = False

    async def meanwhile(shards: Sequence[Shard]) -> None:
        nonlocal other_done
        if not other_done and shards[0].shard_type == "account":
            other_done = True
            await world.pull("mail", person("b", **GRACE, company="Engines"))

    world.shards.before_save = meanwhile
    await world.pull(
        "crm",
        person("3", firstName="Mary", lastName="Somerville", email="mary@example.net", company="Engines"),
    )
    assert other_done
    [company] = world.live("account")
    assert len(links(company, PRIMARY)) == 3


SITE = {
    "shardType": "account",
    "key": "company",
    "keyTransforms": ["trim", "lower"],
    "mappings": [
        {"kind": "direct", "field": "name", "source": "company"},
        {"kind": "direct", "field": "website", "source": "companySite"},
    ],
}
"""A company with a field that is none of the person's."""


async def test_what_only_the_company_is_told_arrives_though_the_person_stays_as_it_is() -> None:
    world = World()
    await world.connect("crm", person_schema("crm", derived=[SITE]))
    await world.pull("crm", person("1", **ADA, company="Engines", companySite="https://old.example"))
    ada = await world.shard("crm", "1")
    await world.pull(
        "crm",
        person("1", **ADA, company="Engines", companySite="https://new.example"),
        execution="exec-2",
    )
    [company] = world.live("account")
    assert company.fields["website"] == "https://new.example"
    assert (await world.shard("crm", "1")).etag == ada.etag


async def test_a_record_that_is_passed_over_says_nothing_of_its_company_either() -> None:
    world = World()
    await world.connect("crm", person_schema("crm", derived=[SITE]))
    early = world.clock.now()
    await world.clock.sleep(60)
    late = world.clock.now()
    site = {"company": "Engines", "companySite": "https://new.example"}
    await world.pull("crm", person("1", late, **ADA, **site))
    stale = person("1", early, **ADA, **{**site, "companySite": "https://old.example"})
    await world.pull("crm", stale, execution="exec-2")
    [company] = world.live("account")
    assert company.fields["website"] == "https://new.example"

    await world.local.delete(TENANT, (await world.shard("crm", "1")).id, correlation_id="by-hand")
    await world.local.delete(TENANT, company.id, correlation_id="by-hand")
    await world.pull("crm", stale, person("1", late, **ADA, **site), execution="exec-3")
    assert not world.live("account")


async def test_an_echo_does_not_bring_a_company_back_that_was_deleted_here() -> None:
    world = World()
    await world.connect("crm", person_schema("crm", derived=[SITE]))
    site = {"company": "Engines", "companySite": "https://old.example"}
    await world.pull("crm", person("1", **ADA, **site))
    [company] = world.live("account")
    await world.local.delete(TENANT, company.id, correlation_id="by-hand")
    unchanged = person("1", **ADA, **{**site, "companySite": "https://new.example"})
    await world.pull("crm", unchanged, execution="exec-2")
    assert not world.live("account")
