"""Merge policies: which values a merged record has, and where each came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.domain.matching import MergePolicy, merge

OLD = {"name": "Ada", "phone": "", "tags": ["a", "b"], "address": {"city": "Bonn"}, "age": 0}
NEW = {
    "name": "Ada Stone",
    "phone": "555",
    "tags": ["b", "c"],
    "address": {"city": "Köln", "zip": "50667"},
    "site": None,
}


def test_keep_first_and_keep_last_take_a_record_as_it_is() -> None:
    assert merge([OLD, NEW], MergePolicy.KEEP_FIRST).fields == OLD
    last = merge([OLD, NEW], MergePolicy.KEEP_LAST)
    assert last.fields == NEW
    assert set(last.sources.values()) == {(1,)}


def test_keep_most_complete_counts_what_holds_something() -> None:
    fuller = {"name": "Ada", "phone": "555", "email": "ada@example.org"}
    emptier = {"name": "Ada", "phone": " ", "email": None, "tags": [], "address": {}}
    assert merge([emptier, fuller], MergePolicy.KEEP_MOST_COMPLETE).fields == fuller
    assert merge([{"a": 1}, {"b": 2}], MergePolicy.KEEP_MOST_COMPLETE).fields == {"a": 1}


def test_merge_fields_takes_the_first_that_holds_something_and_unites_lists() -> None:
    merged = merge([OLD, NEW], MergePolicy.MERGE_FIELDS)
    assert merged.fields == {
        "name": "Ada",
        "phone": "555",
        "tags": ["a", "b", "c"],
        "address": {"city": "Bonn", "zip": "50667"},
        "age": 0,
        "site": None,
    }
    assert merged.sources == {
        "name": (0,),
        "phone": (1,),
        "tags": (0, 1),
        "address": (0, 1),
        "age": (0,),
        "site": (1,),
    }


def test_merging_changes_no_record() -> None:
    old, new = {"tags": ["a"], "x": {"y": 1}}, {"tags": ["b"], "x": {"z": 2}}
    merge([old, new], MergePolicy.MERGE_FIELDS).fields["tags"].append("c")
    assert (old, new) == ({"tags": ["a"], "x": {"y": 1}}, {"tags": ["b"], "x": {"z": 2}})


def test_nothing_can_not_be_merged() -> None:
    with pytest.raises(ValueError, match="at least one"):
        merge([], MergePolicy.KEEP_FIRST)


def test_an_empty_list_comes_from_somewhere_too() -> None:
    merged = merge([{"a": 1}, {"tags": []}], MergePolicy.MERGE_FIELDS)
    assert (merged.fields["tags"], merged.sources["tags"]) == ([], (1,))


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "y"])
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from("pq"), SCALARS, max_size=2)
RECORDS = st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES), min_size=1, max_size=4)


def leaves(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    else:
        yield type(value).__name__, repr(value)


@given(RECORDS, st.sampled_from(list(MergePolicy)))
def test_no_policy_invents_a_value(records: list[dict[str, Any]], policy: MergePolicy) -> None:
    merged = merge(records, policy)
    assert set(merged.fields) == set(merged.sources)
    for name, value in merged.fields.items():
        sources = merged.sources[name]
        assert sources
        there = {leaf for position in sources for leaf in leaves(records[position][name])}
        assert set(leaves(value)) <= there


@given(RECORDS)
def test_merge_fields_loses_no_field(records: list[dict[str, Any]]) -> None:
    merged = merge(records, MergePolicy.MERGE_FIELDS)
    assert set(merged.fields) == {name for record in records for name in record}


@given(RECORDS)
def test_a_record_merged_with_itself_stays_the_same(records: list[dict[str, Any]]) -> None:
    record = merge(records, MergePolicy.MERGE_FIELDS).fields
    for policy in MergePolicy:
        assert merge([record, record], policy).fields == record
