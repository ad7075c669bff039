"""The shipped rules for people, on the cases that tell a good matcher from a merger of families."""

from __future__ import annotations

from typing import Any

import pytest

from castiel.domain.matching import Decision, Matcher, MatchResult, blocking_keys, person_rules

RULES = person_rules()
MATCHER = Matcher(RULES)

HOME = {"street": "12 Elm Street", "city": "Springfield", "postalCode": "62704", "country": "US"}
JANE = {
    "firstName": "Jane",
    "lastName": "Miller",
    "email": "jane.miller@example.org",
    "birthDate": "1984-03-09",
    **HOME,
}


def score(a: dict[str, Any], b: dict[str, Any]) -> MatchResult:
    return MATCHER.score(MATCHER.prepare(a), MATCHER.prepare(b))


def found(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return not set(blocking_keys(a, RULES)).isdisjoint(blocking_keys(b, RULES))


ONE_PERSON = {
    "same e-mail, name in other case": (
        {"firstName": "Ana", "lastName": "Pérez", "email": "ana.perez@example.org"},
        {"firstName": "ANA", "lastName": "PEREZ", "email": "Ana.Perez+crm@Example.org"},
    ),
    "nickname, same phone in another notation": (
        {"firstName": "William", "lastName": "Hartley", "mobilePhone": "+44 (0)7700 900123"},
        {"firstName": "Bill", "lastName": "Hartley", "phone": "07700 900123", "company": "Acme"},
    ),
    "given name and surname swapped": (
        {"firstName": "Kenji", "lastName": "Watanabe", "birthDate": "1991-12-01", **HOME},
        {"firstName": "Watanabe", "lastName": "Kenji", "birthDate": "1991-12-01", **HOME},
    ),
    "day and month swapped": (
        {"firstName": "Olga", "lastName": "Svensson", "birthDate": "1975-04-11", **HOME},
        {"firstName": "Olga", "lastName": "Svensson", "birthDate": "1975-11-04", **HOME},
    ),
    "transposed digits in the national id": (
        {
            "firstName": "Tariq",
            "lastName": "Haddad",
            "birthDate": "1969-07-30",
            "socialSecurityNumber": "123-45-6789",
        },
        {
            "firstName": "Tariq",
            "lastName": "Haddad",
            "birthDate": "1969-07-30",
            "socialSecurityNumber": "123-54-6789",
        },
    ),
    "whole name in one field": (
        {"name": "Dr. Jane Miller", "email": "jane.miller@example.org"},
        {"firstName": "Jane", "lastName": "Miller", "emails": ["jm@example.com", "jane.miller@example.org"]},
    ),
    "a mistyped name and the same identifier": (
        {"firstName": "Katherine", "lastName": "O'Brien", "socialSecurityNumber": "987654321", **HOME},
        {"firstName": "Kathreine", "lastName": "Obrien", "socialSecurityNumber": "987654321"},
    ),
    "married name, same birth date and e-mail": (
        {
            "firstName": "Laura",
            "lastName": "Schmidt",
            "birthDate": "1988-05-05",
            "email": "laura@example.org",
        },
        {"firstName": "Laura", "lastName": "Weber", "birthDate": "1988-05-05", "email": "laura@example.org"},
    ),
    "two spellings of one sound": (
        {"firstName": "Sara", "lastName": "Lindqvist", "phone": "+46 8 123 456 78", **HOME},
        {"firstName": "Sarah", "lastName": "Lindqvist", "phone": "08-123 456 78", **HOME},
    ),
    "initials for a given name": (
        {"firstName": "J.P.", "lastName": "Okonkwo", "email": "okonkwo@example.org"},
        {"firstName": "John Paul", "lastName": "Okonkwo", "email": "okonkwo@example.org"},
    ),
    "the last two letters of a name swapped": (
        {"firstName": "Kevni", "lastName": "Duarte", "birthDate": "1990-06-17", **HOME},
        {"firstName": "Kevin", "lastName": "Duarte", "birthDate": "1990-06-17", **HOME},
    ),
    "a stray letter after a name": (
        {"firstName": "Larsd", "lastName": "Duarte", "birthDate": "1990-06-17", **HOME},
        {"firstName": "Lars", "lastName": "Duarte", "birthDate": "1990-06-17", **HOME},
    ),
    "given name and surname swapped, and no more than a telephone": (
        {"firstName": "Kenji", "lastName": "Watanabe", "phone": "217 555 0104", **HOME},
        {"firstName": "Watanabe", "lastName": "Kenji", "phone": "217 555 0104", **HOME},
    ),
    "married name, the same mailbox": (
        {"firstName": "Laura", "lastName": "Schmidt", "email": "laura@example.org", **HOME},
        {"firstName": "Laura", "lastName": "Weber", "email": "laura@example.org", "city": "Lincoln"},
    ),
    "a slip in the national id, and other names at the same home": (
        {"firstName": "Peggy", "lastName": "Rowe", "nationalId": "413787712", **HOME},
        {"firstName": "M", "lastName": "Stewart", "nationalId": "413778712", **HOME},
    ),
    "a house number whose street was lost": (
        {
            "firstName": "Olga",
            "lastName": "Brandt",
            "birthDate": "1971-02-28",
            "street": "53",
            "city": "Springfield",
        },
        {
            "firstName": "Olga",
            "lastName": "Brandt",
            "birthDate": "1971-02-28",
            "street": "53 Elm Street",
            "city": "Springfield",
        },
    ),
    "no name on one side, personal e-mail": (
        {"email": "octo.cat@example.org"},
        {"firstName": "Octo", "lastName": "Cat", "email": "octo.cat@example.org"},
    ),
}

TWO_PEOPLE = {
    "twins": (
        {**JANE, "email": "millers@example.org", "phone": "+1 217 555 0100"},
        {**JANE, "firstName": "Emma", "email": "millers@example.org", "phone": "+1 217 555 0100"},
    ),
    "twins, one letter apart": (
        {**JANE, "firstName": "Paul", "email": "millers@example.org"},
        {**JANE, "firstName": "Paula", "email": "millers@example.org"},
    ),
    "twins whose names look like a slip": (
        {**JANE, "firstName": "Martin"},
        {**JANE, "firstName": "Marvin"},
    ),
    "twins with different national ids": (
        {**JANE, "firstName": "Tate", "socialSecurityNumber": "7838917"},
        {**JANE, "firstName": "Jack", "socialSecurityNumber": "9327822"},
    ),
    "twins whose identity numbers were given out one after the other": (
        {**JANE, "firstName": "Carlos", "nationalId": "155202737"},
        {**JANE, "firstName": "Pavel", "nationalId": "155202738"},
    ),
    "twins, and the last digit of one's identity number lost": (
        {**JANE, "firstName": "Carlos", "nationalId": "155202737"},
        {**JANE, "firstName": "Pavel", "nationalId": "15520273"},
    ),
    "a brother and a sister, named in pairs": (
        {**JANE, "firstName": "Milan"},
        {**JANE, "firstName": "Milana"},
    ),
    "twins with names that no list has, a vowel apart": (
        {**JANE, "firstName": "Ming", "lastName": "Chen"},
        {**JANE, "firstName": "Meng", "lastName": "Chen"},
    ),
    "two people behind one mailbox, a name apart": (
        {"firstName": "Laura", "lastName": "Schmidt", "email": "studio@example.org"},
        {"firstName": "Lars", "lastName": "Weber", "email": "studio@example.org"},
    ),
    "Jr and Sr": (
        {"firstName": "John", "lastName": "Smith Jr.", "phone": "217-555-0101", **HOME},
        {"firstName": "John", "lastName": "Smith Sr.", "phone": "217-555-0101", **HOME},
    ),
    "father and son of one name": (
        {"firstName": "John", "lastName": "Smith", "birthDate": "1950-02-14", "phone": "217-555-0101", **HOME},
        {"firstName": "John", "lastName": "Smith", "birthDate": "1978-09-23", "phone": "217-555-0101", **HOME},
    ),
    "father and son of one name, nothing but the address": (
        {"firstName": "John", "lastName": "Smith", **HOME},
        {"firstName": "John", "lastName": "Smith", **HOME},
    ),
    "a couple with one mailbox and telephone": (
        {"firstName": "Peter", "lastName": "Novak", "email": "novaks@example.org", "phone": "5550102", **HOME},
        {"firstName": "Maria", "lastName": "Novak", "email": "novaks@example.org", "phone": "5550102", **HOME},
    ),
    "a household's phone, one given name unknown": (
        {"lastName": "Novak", "phone": "217 555 0102", **HOME},
        {"firstName": "Maria", "lastName": "Novak", "phone": "217 555 0102", **HOME},
    ),
    "colleagues with the company's mailbox and switchboard": (
        {"firstName": "Ada", "lastName": "Stone", "email": "info@acme.example", "phone": "217 555 0103", "company": "Acme"},
        {"firstName": "Bob", "lastName": "Field", "email": "info@acme.example", "phone": "217 555 0103", "company": "Acme"},
    ),
    "colleagues with similar names and one switchboard": (
        {"firstName": "Jolene", "lastName": "Meier", "email": "jm1@acme.example", "phone": "217 555 0103"},
        {"firstName": "Jolane", "lastName": "Meyer", "email": "jm2@acme.example", "phone": "217 555 0103"},
    ),
    "an initial and the family's telephone": (
        {"firstName": "J.", "lastName": "Novak", "phone": "217 555 0102", **HOME},
        {"firstName": "Jan", "lastName": "Novak", "phone": "217 555 0102", **HOME},
    ),
    "one common name behind one shared mailbox": (
        {"firstName": "John", "lastName": "Smith", "email": "sales@acme.example"},
        {"firstName": "John", "lastName": "Smith", "email": "sales@acme.example"},
    ),
    "same name in the same city, other birth dates": (
        {"firstName": "Anna", "lastName": "Rossi", "city": "Roma", "birthDate": "1961-01-20"},
        {"firstName": "Anna", "lastName": "Rossi", "city": "Roma", "birthDate": "1990-08-02"},
    ),
    "same name and nothing else": (
        {"firstName": "Wei", "lastName": "Zhang"},
        {"firstName": "Wei", "lastName": "Zhang"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_PERSON)
def test_one_person_in_two_records_is_merged(case: str) -> None:
    a, b = ONE_PERSON[case]
    result = score(a, b)
    assert result.decision is Decision.MERGE, result.to_json()
    assert found(a, b)


@pytest.mark.parametrize("case", TWO_PEOPLE)
def test_two_people_are_never_merged(case: str) -> None:
    a, b = TWO_PEOPLE[case]
    assert score(a, b).decision is not Decision.MERGE


def test_a_name_alone_does_not_fill_the_review_queue() -> None:
    a, b = TWO_PEOPLE["same name and nothing else"]
    assert score(a, b).decision is Decision.DISTINCT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"firstName": "Peter", "birthDate": "1961-04-02"},
            {"firstName": "Maria", "birthDate": "1963-11-19"},
        ),
        ({"firstName": "Peter"}, {"firstName": "Maria", "birthDate": "1963-11-19"}),
        (
            {"firstName": "Peter", "birthDate": "1961-04-02"},
            {"firstName": "Petra", "birthDate": "1989-07-30"},
        ),
    ],
    ids=["a couple", "a couple, one birth date", "a father and his daughter"],
)
def test_who_only_lives_together_does_not_fill_the_review_queue(
    one: dict[str, str], other: dict[str, str]
) -> None:
    family = {"lastName": "Novak", "phone": "217 555 0102", **HOME}
    assert score({**family, **one}, {**family, **other}).decision is Decision.DISTINCT


def test_a_name_two_birth_dates_and_two_identifiers_are_two_people() -> None:
    """One thing that speaks against a pair is for a person to judge; two are enough."""
    namesake = {"firstName": "Jake", "lastName": "Westbrook", **HOME}
    one = {**namesake, "birthDate": "1950-11-11", "nationalId": "373353612"}
    other = {**namesake, "birthDate": "1982-03-20", "nationalId": "233092945"}
    result = score(one, other)
    assert result.decision is Decision.DISTINCT
    assert result.contradicted


def test_a_review_says_what_held_the_merge_back() -> None:
    result = score(*TWO_PEOPLE["twins"])
    assert result.decision is Decision.REVIEW
    assert result.held_back_by == ("firstName",)
    assert result.contradicted


def test_an_address_alone_identifies_nobody() -> None:
    result = score(*TWO_PEOPLE["father and son of one name, nothing but the address"])
    assert result.decision is Decision.REVIEW
    assert result.held_back_by == ("mergeRequiresAny",)
    assert not result.contradicted


def test_a_swap_is_explained_as_one() -> None:
    result = score(*ONE_PERSON["given name and surname swapped"])
    assert {e.rule for e in result.explanations if e.swapped} == {"firstName", "lastName"}


def test_placeholders_are_no_evidence() -> None:
    first = {"firstName": "Ada", "lastName": "Stone", "birthDate": "1900-01-01", "socialSecurityNumber": "000-00-0000", "phone": "0000000000"}  # fmt: skip
    second = {**first, "firstName": "Ada"}
    assert {e.rule for e in score(first, second).explanations} == {"firstName", "lastName"}
