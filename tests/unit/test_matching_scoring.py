"""Scores: the four strategies, weights, thresholds, missing values, explanations; and what must always hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from castiel.domain.matching import Decision, Matcher, MatchResult, MatchRules, parse_rules, person_rules
from castiel.domain.matching.normalisers import text
from castiel.domain.matching.similarities import SIMILARITIES

BLOCKING = [{"name": "any", "parts": [{"fields": ["a"], "functions": ["text"]}]}]


def rules(*fields: dict[str, Any], **changes: Any) -> MatchRules:
    return parse_rules({"shardType": "thing", "fields": list(fields), "blocking": BLOCKING, **changes})


def score(matcher: Matcher, a: dict[str, Any], b: dict[str, Any]) -> MatchResult:
    return matcher.score(matcher.prepare(a), matcher.prepare(b))


def test_exact_compares_normal_forms() -> None:
    matcher = Matcher(rules({"fields": ["a"], "strategy": "exact"}))
    assert score(matcher, {"a": "  Crème-Brûlée "}, {"a": "creme brulee"}).score == 1
    assert score(matcher, {"a": "creme"}, {"a": "brulee"}).score == 0


def test_fuzzy_takes_the_named_similarity() -> None:
    matcher = Matcher(rules({"fields": ["a"], "strategy": "fuzzy", "similarity": "editDistance"}))
    assert score(matcher, {"a": "abcde"}, {"a": "abcdx"}).score == pytest.approx(0.8)


def test_phonetic_compares_sounds() -> None:
    matcher = Matcher(rules({"fields": ["a"], "strategy": "phonetic", "similarity": "soundex"}))
    assert score(matcher, {"a": "Robert"}, {"a": "Rupert"}).score == 1
    assert score(matcher, {"a": "Robert"}, {"a": "Rubin"}).score == 0


def test_custom_is_given_the_raw_values_and_kept_within_bounds() -> None:
    seen: list[Any] = []

    def close(a: Any, b: Any) -> float:
        seen.append((a, b))
        return 5.0 if abs(a - b) <= 10 else -1.0

    field = {"fields": ["employees"], "strategy": "custom", "similarity": "close"}
    matcher = Matcher(rules(field), {"close": close})
    assert score(matcher, {"employees": 100}, {"employees": 107}).score == 1
    assert score(matcher, {"employees": 100}, {"employees": 200}).score == 0
    assert (100, 107) in seen


def test_weights_say_how_much_a_field_counts() -> None:
    matcher = Matcher(rules({"fields": ["a"], "weight": 3}, {"fields": ["b"], "weight": 1}))
    assert score(matcher, {"a": "x", "b": "y"}, {"a": "x", "b": "z"}).score == pytest.approx(0.75)


def test_thresholds_make_three_decisions() -> None:
    fields = [{"fields": [name], "weight": 1} for name in "abcdefghij"]
    matcher = Matcher(rules(*fields, mergeThreshold=0.9, reviewThreshold=0.7))
    whole = dict.fromkeys("abcdefghij", "x")
    decisions = [
        score(matcher, whole, whole | dict.fromkeys("abcdefghij"[:n], "y")).decision for n in range(6)
    ]
    assert decisions == [Decision.MERGE] * 2 + [Decision.REVIEW] * 2 + [Decision.DISTINCT] * 2


def test_missing_is_neutral_unless_the_rule_says_otherwise() -> None:
    neutral = Matcher(rules({"fields": ["a"]}, {"fields": ["b"]}))
    strict = Matcher(rules({"fields": ["a"]}, {"fields": ["b"], "missing": "disagree"}))
    assert score(neutral, {"a": "x", "b": "y"}, {"a": "x"}).score == 1
    assert score(strict, {"a": "x", "b": "y"}, {"a": "x"}).score == 0.5
    assert score(strict, {"a": "x"}, {"a": "x"}).score == 1
    lacking = score(strict, {"a": "x", "b": "y"}, {"a": "x"}).explanations[-1]
    assert (lacking.rule, lacking.similarity, lacking.contribution) == ("b", None, 0)


def test_of_many_values_the_closest_two_count() -> None:
    matcher = Matcher(rules({"fields": ["email", "emails", "contacts[].address"], "normalisers": ["email"]}))
    a = {"email": "one@example.org"}
    b = {"emails": ["two@example.org"], "contacts": [{"address": "ONE@example.org"}]}
    assert score(matcher, a, b).score == 1


def test_joined_fields_are_one_value() -> None:
    field = {"name": "name", "fields": ["first", "last"], "combine": "join", "strategy": "fuzzy", "similarity": "sortedWords"}  # fmt: skip
    matcher = Matcher(rules(field))
    assert score(matcher, {"first": "Jane", "last": "Doe"}, {"first": "Doe", "last": "Jane"}).score == 1


def test_an_explanation_adds_up_to_the_score() -> None:
    matcher = Matcher(rules({"fields": ["a"], "weight": 2}, {"fields": ["b"], "strategy": "fuzzy", "similarity": "editDistance"}))  # fmt: skip
    result = score(matcher, {"a": "x", "b": "abcd"}, {"a": "x", "b": "abcx"})
    total = sum(explanation.contribution for explanation in result.explanations)
    assert result.score == pytest.approx(total / 3)
    first, second = result.to_json()["explanations"]
    assert first == {
        "rule": "a", "fields": ["a"], "strategy": "exact", "function": "equal",
        "similarity": 1.0, "weight": 2, "contribution": 2.0, "swapped": False,
    }  # fmt: skip
    assert (second["function"], second["similarity"]) == ("editDistance", 0.75)


def test_explanations_never_hold_values() -> None:
    matcher = Matcher(person_rules())
    record = {"firstName": "Zebulon", "lastName": "Quartermain", "email": "zq@example.org"}
    text = str(score(matcher, record, record).to_json()).lower()
    assert not any(value.lower() in text for value in record.values())


def test_evidence_adds_up_in_bits() -> None:
    field = {"fields": ["a"], "weight": 10, "penalty": 5}
    matcher = Matcher(rules(field, scoring="evidence", prior=-10))
    assert score(matcher, {"a": "x"}, {"a": "x"}).score == pytest.approx(0.5)
    assert score(matcher, {"a": "x"}, {"a": "y"}).score == pytest.approx(1 / (1 + 2**15))


def test_a_record_made_of_nothing_matches_nothing() -> None:
    for matcher in (Matcher(rules({"fields": ["a"]})), Matcher(person_rules())):
        assert score(matcher, {}, {}).decision is Decision.DISTINCT
        assert score(matcher, {"a": {"b": 1}}, {"a": None}).decision is Decision.DISTINCT
        assert matcher.compare(matcher.prepare({}), matcher.prepare({})) is None


# What must hold for every record.

NAMES = st.sampled_from(
    ["Ann", "Anna", "Bob", "Robert", "J", "Mary Ann", "Li", "O'Neil", "Miller", "Mueller", "Jr"]
)
TEXT = st.text(max_size=12)
PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "firstName": NAMES | TEXT,
        "lastName": NAMES | TEXT,
        "email": st.sampled_from(["a@example.org", "b@example.org", "info@example.org"]) | TEXT,
        "emails": st.lists(st.sampled_from(["a@example.org", "c@example.org"]), max_size=3),
        "phone": st.sampled_from(["217 555 0100", "+12175550100", "217 555 0199"]) | TEXT,
        "birthDate": st.dates().map(str) | st.sampled_from(["1980-01-02", "1980-02-01", "1980-01-12"]),
        "socialSecurityNumber": st.sampled_from(["123456789", "123456798", "987654321"]),
        "street": st.sampled_from(["1 Main St", "1 Main Street", "9 Elm Road"]) | TEXT,
        "street2": TEXT,
        "city": NAMES | TEXT,
        "postalCode": st.sampled_from(["62704", "62740"]),
        "company": TEXT,
    },
)
PERSON = Matcher(person_rules())


@given(PEOPLE, PEOPLE)
def test_a_score_is_symmetric_and_within_bounds(a: dict[str, Any], b: dict[str, Any]) -> None:
    there, back = score(PERSON, a, b), score(PERSON, b, a)
    assert 0 <= there.score <= 1
    assert there == back
    assert there.explanations == back.explanations


@given(PEOPLE, PEOPLE)
def test_the_early_way_out_decides_as_the_whole_comparison(a: dict[str, Any], b: dict[str, Any]) -> None:
    x, y = PERSON.prepare(a), PERSON.prepare(b)
    whole, early = PERSON.score(x, y), PERSON.compare(x, y)
    assert early == (None if whole.decision is Decision.DISTINCT else whole)


@given(PEOPLE)
def test_a_record_with_enough_evidence_matches_itself(a: dict[str, Any]) -> None:
    a = {**a, "firstName": "Grace", "lastName": "Hopper", "birthDate": "1906-12-09"}
    result = score(PERSON, a, dict(a))
    assert result.decision is Decision.MERGE
    assert all(explanation.similarity == 1 for explanation in result.explanations)


@given(
    PEOPLE,
    PEOPLE,
    st.sampled_from(["socialSecurityNumber", "email", "birthDate", "street", "city", "company"]),
)
def test_agreeing_evidence_never_lowers_a_score(a: dict[str, Any], b: dict[str, Any], field: str) -> None:
    value = {"birthDate": "1971-05-06", "email": "new@example.org", "socialSecurityNumber": "555443333"}.get(
        field, "Newton"
    )
    before = {**{k: v for k, v in a.items() if k != field}}, {**{k: v for k, v in b.items() if k != field}}
    after = {**before[0], field: value}, {**before[1], field: value}
    assert score(PERSON, *after).score >= score(PERSON, *before).score - 1e-9


@example("street", "0", "0")
@given(st.sampled_from(sorted(SIMILARITIES)), TEXT, TEXT)
def test_every_similarity_is_symmetric_bounded_and_reflexive(name: str, a: str, b: str) -> None:
    similarity = SIMILARITIES[name]
    x, y = similarity.prepare(text(a) or "x"), similarity.prepare(text(b) or "y")
    there = similarity.compare(x, y)
    assert 0 <= there <= 1
    assert there == similarity.compare(y, x)
    assert similarity.compare(x, x) == 1
