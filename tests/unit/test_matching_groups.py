"""Duplicates among many records: within a page, and against candidates."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castiel.domain.matching import (
    Decision,
    Matcher,
    find_duplicates,
    generic_rules,
    match_page,
    person_rules,
)
from castiel.domain.matching.duplicates import WINDOW

PERSON = Matcher(person_rules())
HOME = {"street": "12 Elm Street", "city": "Springfield", "postalCode": "62704"}
FATHER = {
    "firstName": "John",
    "lastName": "Smith",
    "birthDate": "1950-02-14",
    "phone": "217 555 0101",
    **HOME,
}
SON = {**FATHER, "birthDate": "1978-09-23"}
EITHER = {"firstName": "John", "lastName": "Smith", "phone": "217 555 0101", **HOME}


def person(first: str, last: str, email: str, **more: Any) -> dict[str, Any]:
    return {"firstName": first, "lastName": last, "email": email, **more}


ADA = person("Ada", "Stone", "ada@example.org")
ADA_AGAIN = person("Ada", "Stone", "ADA@example.org", phone="217 555 0100")
ADA_BY_PHONE = {"firstName": "Ada", "lastName": "Stone", "phone": "+1 (217) 555-0100"}
BOB = person("Bob", "Field", "bob@example.org")


def test_pairs_become_groups() -> None:
    found = find_duplicates([ADA, BOB, ADA_AGAIN, ADA_BY_PHONE], PERSON)
    assert found.groups == [[0, 2, 3]]
    assert found.reviews == []


def test_one_record_in_between_does_not_merge_two_people() -> None:
    found = find_duplicates([FATHER, EITHER, SON], PERSON)
    assert all(not {0, 2} <= set(group) for group in found.groups)
    assert [len(group) for group in found.groups] == [2]
    assert found.reviews, "the pair left out is for a person to look at"


def test_a_whole_record_that_matches_both_does() -> None:
    base = {"lastName": "Ryan", "birthDate": "1972-06-15", **HOME}
    whole = {**base, "firstName": "Joel", "socialSecurityNumber": "756342600"}
    other_name = {**base, "firstName": "Martin", "socialSecurityNumber": "756342600"}
    other_id = {**base, "firstName": "Joel", "socialSecurityNumber": "518523811"}
    assert find_duplicates([other_name, other_id], PERSON).groups == []
    assert find_duplicates([other_name, whole, other_id], PERSON).groups == [[0, 1, 2]]


def test_copies_are_one_however_many() -> None:
    found = find_duplicates([ADA] * 200 + [BOB], PERSON)
    assert found.groups == [list(range(200))]
    assert found.compared <= 1


def test_copies_that_identify_nobody_stay_apart() -> None:
    john = {"firstName": "John", "lastName": "Smith"}
    assert find_duplicates([john, dict(john)], PERSON).groups == []


def test_a_key_that_everybody_shares_does_not_make_everybody_compared() -> None:
    records = [person(f"First{n}", f"Last{n}", f"p{n}@example.org", phone="217 555 0100") for n in range(300)]
    found = find_duplicates(records, PERSON)
    assert found.groups == []
    assert found.compared <= 300 * WINDOW


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "firstName": st.sampled_from(["Ada", "Adda", "Bob", "Robert", "Eva"]),
            "lastName": st.sampled_from(["Stone", "Stonne", "Field"]),
        },
        optional={
            "email": st.sampled_from(["a@example.org", "b@example.org"]),
            "birthDate": st.sampled_from(["1980-01-02", "1980-02-01", "1999-09-09"]),
            "phone": st.sampled_from(["2175550100", "2175550199"]),
            "postalCode": st.just("62704"),
        },
    ),
    max_size=9,
)


@settings(max_examples=60)
@given(RECORDS, st.randoms())
def test_groups_do_not_depend_on_the_order(records: list[dict[str, Any]], shuffler: random.Random) -> None:
    order = list(range(len(records)))
    shuffler.shuffle(order)

    def contents(found: Any, of: list[dict[str, Any]]) -> list[list[str]]:
        return sorted(sorted(repr(sorted(of[i].items())) for i in group) for group in found.groups)

    shuffled = [records[position] for position in order]
    assert contents(find_duplicates(records, PERSON), records) == contents(
        find_duplicates(shuffled, PERSON), shuffled
    )


def test_a_page_record_goes_into_the_candidate_it_matches() -> None:
    decisions = match_page([BOB, ADA_AGAIN], [person("Eva", "Hill", "eva@example.org"), ADA], PERSON)
    assert decisions[0].decision is Decision.DISTINCT
    assert (decisions[1].decision, decisions[1].candidate, decisions[1].leader) == (Decision.MERGE, 1, None)
    result = decisions[1].result
    assert result is not None
    assert max(result.explanations, key=lambda explanation: explanation.contribution).rule == "email"


def test_the_page_s_own_duplicates_follow_each_other_into_the_candidate() -> None:
    decisions = match_page([ADA_BY_PHONE, ADA_AGAIN], [ADA], PERSON)
    assert [decision.candidate for decision in decisions] == [0, 0]


def test_new_duplicates_within_a_page_have_the_first_as_leader() -> None:
    decisions = match_page([BOB, ADA, ADA_AGAIN], [], PERSON)
    assert [decision.decision for decision in decisions] == [
        Decision.DISTINCT,
        Decision.DISTINCT,
        Decision.MERGE,
    ]
    assert (decisions[2].leader, decisions[2].candidate) == (1, None)


def test_candidates_are_never_merged_with_each_other() -> None:
    (decision,) = match_page([ADA_AGAIN], [ADA, ADA_BY_PHONE], PERSON)
    assert (decision.decision, decision.candidate) == (Decision.MERGE, 0)
    assert [possible.candidate for possible in decision.reviews] == [1], "the other match is parked, not lost"


def test_a_possible_duplicate_is_new_and_parked() -> None:
    twin = {"lastName": "Miller", "birthDate": "1984-03-09", **HOME}
    (decision,) = match_page([{**twin, "firstName": "Emma"}], [{**twin, "firstName": "Jane"}], PERSON)
    assert (decision.decision, decision.candidate) == (Decision.REVIEW, None)
    assert decision.reviews[0].candidate == 0
    assert decision.reviews[0].result.held_back_by == ("firstName",)


def test_equal_candidates_go_to_the_first() -> None:
    (decision,) = match_page([dict(ADA)], [dict(ADA), dict(ADA)], PERSON)
    assert decision.candidate == 0


@pytest.mark.parametrize("page", [[], [{}], [{"externalId": None}]])
def test_nothing_to_compare_is_no_problem(page: list[dict[str, Any]]) -> None:
    decisions = match_page(page, [{"externalId": "1"}], Matcher(generic_rules("ticket")))
    assert all(decision.decision is Decision.DISTINCT for decision in decisions)
    assert len(decisions) == len(page)
