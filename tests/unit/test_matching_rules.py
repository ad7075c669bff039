"""Match rules as JSON: they round-trip, and what is wrong with them is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from castiel.domain.matching import Matcher, Strategy, company_rules, generic_rules, parse_rules, person_rules
from castiel.errors import ConfigurationError


def rules(**changes: Any) -> dict[str, Any]:
    return {
        "shardType": "contact",
        "fields": [{"fields": ["email"], "strategy": "exact"}],
        "blocking": [{"name": "mail", "parts": [{"fields": ["email"], "functions": ["email"]}]}],
        **changes,
    }


@pytest.mark.parametrize("shipped", [person_rules(), company_rules(), generic_rules("ticket")])
def test_rules_round_trip_through_json(shipped: Any) -> None:
    data = json.loads(shipped.to_json_text())
    assert parse_rules(data) == shipped
    assert "mergeThreshold" in data


def test_a_rule_is_named_after_its_first_field_and_has_the_strategys_function() -> None:
    parsed = parse_rules(rules(fields=[{"fields": ["city"], "strategy": "phonetic"}]))
    assert (parsed.fields[0].name, parsed.fields[0].similarity) == ("city", "metaphone")
    assert parsed.fields[0].strategy is Strategy.PHONETIC


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fields": [{"fields": ["email"], "strategy": "fuzy"}]}, "fields.0.strategy"),
        ({"fields": [{"fields": ["a"], "strategy": "fuzzy", "similarity": "cosine"}]}, "known: code, commonWords"),
        ({"fields": [{"fields": ["a"], "strategy": "phonetic", "similarity": "date"}]}, "known: matchRating, metaphone"),
        ({"fields": [{"fields": ["a"], "normalisers": ["upper"]}]}, "unknown normaliser 'upper'; known: compact, companyDomain"),
        ({"fields": [{"fields": ["a"], "strategy": "custom"}]}, "set 'similarity'"),
        ({"fields": [{"fields": ["a[[b"]}]}, "'a[[b' is not a field name or JMESPath expression"),
        ({"fields": [{"fields": ["a"], "wieght": 3}]}, "fields.0.wieght"),
        ({"fields": [{"fields": ["a"], "weight": -1}]}, "fields.0.weight"),
        ({"fields": [{"fields": ["a"]}, {"fields": ["a"]}]}, "same name"),
        ({"reviewThreshold": 0.95, "mergeThreshold": 0.9}, "reviewThreshold is above mergeThreshold"),
        ({"scoring": "evidence", "mergeThreshold": 1}, "mergeThreshold: evidence never makes certain"),
        ({"guards": [{"rule": "phone", "below": 0.5}]}, "unknown field rule 'phone'; known: email"),
        ({"mergeRequiresAny": ["phone"]}, "unknown field rule 'phone'"),
        ({"swaps": [{"rules": ["email", "email"]}]}, "not be swapped with itself"),
        ({"blocking": []}, "blocking"),
        ({"blocking": [{"name": "Mail!", "parts": [{"fields": ["a"], "functions": ["text"]}]}]}, "blocking.0.name"),
        ({"mergePolicy": "keep_best"}, "mergePolicy"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(rules(**changes))
    assert said in str(caught.value)


def test_an_unknown_custom_function_is_named_with_those_there_are() -> None:
    parsed = parse_rules(rules(fields=[{"fields": ["email"], "strategy": "custom", "similarity": "mine"}]))
    with pytest.raises(
        ConfigurationError, match="'email': unknown match function 'mine'; known: other, yours"
    ):
        Matcher(parsed, {"yours": max, "other": min})
