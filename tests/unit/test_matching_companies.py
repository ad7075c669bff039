"""The shipped rules for companies, and for records that an id identifies."""

from __future__ import annotations

from typing import Any

import pytest

from castiel.domain.matching import (
    Decision,
    Matcher,
    MatchRules,
    blocking_keys,
    company_rules,
    default_rules,
    generic_rules,
)


def decide(rules: MatchRules, a: dict[str, Any], b: dict[str, Any]) -> Decision:
    matcher = Matcher(rules)
    return matcher.score(matcher.prepare(a), matcher.prepare(b)).decision


ONE_COMPANY = {
    "legal form and www": (
        {"name": "Acme GmbH & Co. KG", "website": "https://www.acme.example/kontakt"},
        {"name": "ACME", "domain": "acme.example"},
    ),
    "registered under one number": (
        {"name": "Globex Corporation", "taxId": "DE 129 273 398"},
        {"name": "Globex Corp.", "taxId": "DE129273398", "city": "Bonn"},
    ),
    "same name, switchboard and street": (
        {
            "name": "Initech Ltd",
            "phone": "+44 20 7946 0999",
            "street": "1 High Street",
            "postalCode": "N1 9GU",
        },
        {"name": "Initech Limited", "phone": "020 7946 0999", "street": "1 High St", "postalCode": "N19GU"},
    ),
}
TWO_COMPANIES = {
    "subsidiaries on the group's domain": (
        {"name": "Acme Deutschland GmbH", "domain": "acme.example", "country": "DE"},
        {"name": "Acme France SA", "domain": "acme.example", "country": "FR"},
    ),
    "different companies in one office park": (
        {"name": "Blue Ocean Consulting", "street": "5 Park Lane", "postalCode": "1010", "city": "Wien"},
        {"name": "Red Mountain Software", "street": "5 Park Lane", "postalCode": "1010", "city": "Wien"},
    ),
    "one name, two web sites": (
        {"name": "Phoenix", "domain": "phoenix-pharma.example"},
        {"name": "Phoenix", "domain": "phoenix-travel.example"},
    ),
    "two start-ups on one accelerator's domain": (
        {"name": "Nimbus Robotics", "website": "https://hub.example/nimbus", "phone": "217 555 0110"},
        {"name": "Petal Foods", "website": "https://hub.example/petal", "phone": "217 555 0110"},
    ),
    "one name and a public mail domain": (
        {"name": "Bakery", "email": "bakery1@gmail.com"},
        {"name": "Bakery", "email": "bakery2@gmail.com"},
    ),
    "one name, two registrations": (
        {"name": "Apex Ltd", "domain": "apex.example", "taxId": "GB111111112"},
        {"name": "Apex Ltd", "domain": "apex.example", "taxId": "GB987654320"},
    ),
}


@pytest.mark.parametrize("case", ONE_COMPANY)
def test_one_company_in_two_records_is_merged(case: str) -> None:
    a, b = ONE_COMPANY[case]
    rules = company_rules()
    assert decide(rules, a, b) is Decision.MERGE
    assert not set(blocking_keys(a, rules)).isdisjoint(blocking_keys(b, rules))


@pytest.mark.parametrize("case", TWO_COMPANIES)
def test_two_companies_are_never_merged(case: str) -> None:
    assert decide(company_rules(), *TWO_COMPANIES[case]) is not Decision.MERGE


def test_generic_rules_know_the_id_alone() -> None:
    rules = generic_rules("ticket")
    assert (
        decide(rules, {"externalId": "A-1", "title": "x"}, {"externalId": " A-1", "title": "y"})
        is Decision.MERGE
    )
    assert (
        decide(rules, {"externalId": "A-1", "title": "x"}, {"externalId": "a-1", "title": "x"})
        is Decision.DISTINCT
    )
    assert decide(rules, {"title": "x"}, {"title": "x"}) is Decision.DISTINCT


@pytest.mark.parametrize(
    ("shard_type", "rule"),
    [("contact", "firstName"), ("lead", "firstName"), ("account", "domain"), ("page", "id")],
)
def test_each_shard_type_has_default_rules(shard_type: str, rule: str) -> None:
    rules = default_rules(shard_type)
    assert rules.shard_type == shard_type
    assert rule in {field.name for field in rules.fields}
