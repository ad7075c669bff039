from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from castiel.domain.conflicts import (
    BUILT_IN,
    UNRESOLVED,
    ConflictPolicy,
    ConflictStrategy,
    FieldVersions,
    MergeOutcome,
    merge_three_way,
)
from castiel.errors import ConfigurationError

EARLY = datetime(2025, 12, 10, 9, tzinfo=UTC)
LATE = datetime(2025, 12, 10, 10, tzinfo=UTC)

BASE = {"name": "Ada", "city": "London", "tags": ["a"]}


def policy(strategy: str = "newest_wins", **more: Any) -> ConflictPolicy:
    return ConflictPolicy.model_validate({"strategy": strategy, **more})


def settle(strategy: str, base: Any, local: Any, external: Any, *, local_newer: bool = False) -> MergeOutcome:
    return merge_three_way(
        {"f": base},
        {"f": local},
        {"f": external},
        policy(strategy, resolver="longest"),
        local_changed_at={"f": LATE if local_newer else EARLY},
        external_changed_at=EARLY if local_newer else LATE,
    )


def test_only_the_external_side_changed() -> None:
    outcome = merge_three_way(BASE, BASE, {**BASE, "city": "Paris"}, policy())
    assert outcome.fields == {**BASE, "city": "Paris"}
    assert outcome.changed_locally == {"city"}
    assert outcome.to_push == frozenset()
    assert outcome.conflicts == ()


def test_only_the_local_side_changed() -> None:
    outcome = merge_three_way(BASE, {**BASE, "city": "Paris"}, BASE, policy())
    assert outcome.fields["city"] == "Paris"
    assert outcome.changed_locally == frozenset()
    assert outcome.to_push == {"city"}
    assert outcome.conflicts == ()


def test_both_sides_changed_to_the_same_value() -> None:
    changed = {**BASE, "city": "Paris"}
    outcome = merge_three_way(BASE, changed, changed, policy("manual"))
    assert (outcome.changed_locally, outcome.to_push, outcome.conflicts) == (frozenset(), frozenset(), ())
    assert outcome.base == changed


@pytest.mark.parametrize(
    ("strategy", "local_newer", "expected"),
    [
        ("external_wins", True, "external"),
        ("local_wins", False, "local"),
        ("newest_wins", True, "local"),
        ("newest_wins", False, "external"),
        ("merge", True, "local"),
        ("merge", False, "external"),
        ("custom", True, "external"),
    ],
)
def test_what_each_strategy_makes_of_a_conflict(strategy: str, local_newer: bool, expected: str) -> None:
    outcome = settle(strategy, "base", "local", "external", local_newer=local_newer)
    assert outcome.fields == {"f": expected}
    assert outcome.changed_locally == ({"f"} if expected == "external" else frozenset())
    assert outcome.to_push == ({"f"} if expected == "local" else frozenset())
    (conflict,) = outcome.conflicts
    assert (conflict.base, conflict.local, conflict.external) == ("base", "local", "external")
    assert (conflict.strategy, conflict.resolved, conflict.value) == (strategy, True, expected)


@pytest.mark.parametrize(
    ("local_at", "external_at"), [(None, EARLY), (LATE, None), (None, None), (EARLY, EARLY), (EARLY, LATE)]
)
def test_without_a_clear_later_local_time_the_external_value_is_the_newest(
    local_at: datetime | None, external_at: datetime | None
) -> None:
    outcome = merge_three_way(
        {"f": 1},
        {"f": 2},
        {"f": 3},
        policy(),
        local_changed_at=lambda _: local_at,
        external_changed_at=external_at,
    )
    assert outcome.fields == {"f": 3}


def test_lists_merge_as_three_way_sets() -> None:
    outcome = settle("merge", ["a", "b", "c"], ["b", "c", "here"], ["there", "a", "c", "c"])
    assert outcome.fields == {"f": ["c", "here", "there"]}
    assert outcome.changed_locally == {"f"}
    assert outcome.to_push == {"f"}


def test_list_items_are_told_apart_by_json_value() -> None:
    outcome = settle("merge", [1, {"k": 1}], [1, {"k": 1}, True], [1.0, {"k": 1.0}, 2])
    assert outcome.fields == {"f": [1, {"k": 1}, True, 2]}


def test_objects_merge_member_by_member_and_conflicting_members_take_the_newest() -> None:
    base = {"city": "London", "zip": "1", "geo": {"lat": 1, "lon": 2}, "gone": 1, "tags": ["a"]}
    local = {
        "city": "Leeds",
        "zip": "1",
        "geo": {"lat": 9, "lon": 2},
        "gone": 1,
        "tags": ["a", "x"],
        "mine": True,
    }
    external = {"city": "York", "zip": "2", "geo": {"lat": 1, "lon": 8}, "tags": ["a", "y"]}
    merged = {"city": "Leeds", "zip": "2", "geo": {"lat": 9, "lon": 8}, "tags": ["a", "x", "y"], "mine": True}
    assert settle("merge", base, local, external, local_newer=True).fields == {"f": merged}
    assert settle("merge", base, local, external, local_newer=False).fields == {
        "f": {**merged, "city": "York"}
    }


def test_values_of_different_kinds_are_not_merged() -> None:
    assert settle("merge", [1], [1, 2], {"a": 1}, local_newer=True).fields == {"f": [1, 2]}


class TestManual:
    def test_the_local_value_stays_and_nothing_is_pushed(self) -> None:
        outcome = settle("manual", "base", "local", "external")
        assert outcome.fields == {"f": "local"}
        assert (outcome.changed_locally, outcome.to_push) == (frozenset(), frozenset())
        assert outcome.held == {"f"}
        (conflict,) = outcome.conflicts
        assert (conflict.resolved, conflict.value) == (False, "local")

    def test_the_same_external_value_is_not_reported_again(self) -> None:
        first = settle("manual", "base", "local", "external")
        again = merge_three_way(
            first.base, first.fields, {"f": "external"}, policy("manual"), parked=first.parked
        )
        assert again.conflicts == ()
        assert (again.held, again.changed_locally, again.to_push) == ({"f"}, frozenset(), frozenset())
        assert (again.base, again.parked) == (first.base, first.parked)

    def test_a_local_edit_meanwhile_stays_held(self) -> None:
        first = settle("manual", "base", "local", "external")
        again = merge_three_way(
            first.base, {"f": "edited"}, {"f": "external"}, policy("manual"), parked=first.parked
        )
        assert (again.conflicts, again.to_push, again.fields) == ((), frozenset(), {"f": "edited"})

    def test_another_external_value_is_a_new_conflict(self) -> None:
        first = settle("manual", "base", "local", "external")
        again = merge_three_way(
            first.base, first.fields, {"f": "other"}, policy("manual"), parked=first.parked
        )
        assert [conflict.external for conflict in again.conflicts] == ["other"]
        assert again.parked == {"f": "other"}

    @pytest.mark.parametrize(("external", "to_push"), [("local", frozenset()), ("base", {"f"})])
    def test_it_ends_when_the_external_side_gives_in(self, external: str, to_push: set[str]) -> None:
        first = settle("manual", "base", "local", "external")
        again = merge_three_way(
            first.base, first.fields, {"f": external}, policy("manual"), parked=first.parked
        )
        assert (again.parked, again.to_push, again.fields) == ({}, to_push, {"f": "local"})

    @pytest.mark.parametrize(
        ("chosen", "to_push"), [("local", {"f"}), ("external", frozenset()), ("third", {"f"})]
    )
    def test_a_persons_decision_is_carried_out(self, chosen: str, to_push: set[str]) -> None:
        parked = settle("manual", "base", "local", "external").parked
        outcome = merge_three_way(parked, {"f": chosen}, {"f": "external"}, policy("manual"))
        assert (outcome.fields, outcome.to_push, outcome.conflicts) == ({"f": chosen}, to_push, ())

    def test_another_strategy_later_settles_what_was_parked(self) -> None:
        first = settle("manual", "base", "local", "external")
        outcome = merge_three_way(
            first.base, first.fields, {"f": "external"}, policy("external_wins"), parked=first.parked
        )
        assert (outcome.fields, outcome.parked) == ({"f": "external"}, {})


class TestAbsentFields:
    def test_local_only_fields_are_kept_and_never_pushed(self) -> None:
        outcome = merge_three_way({"f": 1}, {"f": 1, "note": "mine"}, {"f": 2}, policy("external_wins"))
        assert outcome.fields == {"f": 2, "note": "mine"}
        assert outcome.to_push == frozenset()
        assert "note" not in outcome.base

    def test_a_field_the_external_side_no_longer_has_was_cleared(self) -> None:
        outcome = merge_three_way({"f": 1}, {"f": 1}, {}, policy())
        assert (outcome.fields, outcome.changed_locally) == ({"f": None}, {"f"})

    def test_a_first_meeting_fills_gaps_on_both_sides(self) -> None:
        outcome = merge_three_way({}, {"a": 1, "b": None}, {"a": None, "b": 2}, policy("manual"))
        assert outcome.fields == {"a": 1, "b": 2}
        assert (outcome.changed_locally, outcome.to_push, outcome.conflicts) == ({"b"}, {"a"}, ())

    def test_a_first_meeting_with_different_values_is_a_conflict(self) -> None:
        outcome = merge_three_way({}, {"a": 1}, {"a": 2}, policy("local_wins"))
        assert [conflict.field for conflict in outcome.conflicts] == ["a"]

    def test_an_empty_external_field_does_not_appear_in_the_shard(self) -> None:
        outcome = merge_three_way({}, {}, {"a": None}, policy())
        assert (outcome.fields, outcome.changed_locally, outcome.base) == ({}, frozenset(), {"a": None})


class TestPolicy:
    def test_fields_override_the_connection(self) -> None:
        chosen = policy("external_wins", fields={"a": "local_wins"}, fieldResolvers={"b": "highest"})
        outcome = merge_three_way({}, {"a": 1, "b": 9, "c": 1}, {"a": 2, "b": 2, "c": 2}, chosen)
        assert outcome.fields == {"a": 1, "b": 9, "c": 2}

    def test_resolvers_get_everything_and_may_pass_the_question_on(self) -> None:
        seen: list[FieldVersions] = []

        def ask(versions: FieldVersions) -> Any:
            seen.append(versions)
            return UNRESOLVED

        outcome = merge_three_way(
            {"f": 1},
            {"f": 2},
            {"f": 3},
            policy("custom", resolver="ask"),
            local_changed_at={"f": EARLY},
            external_changed_at=LATE,
            resolvers={**BUILT_IN, "ask": ask},
        )
        assert seen == [FieldVersions("f", 1, 2, 3, EARLY, LATE)]
        assert (outcome.held, outcome.fields) == ({"f"}, {"f": 2})

    def test_an_unknown_resolver_is_named(self) -> None:
        with pytest.raises(ConfigurationError, match="field 'f': no conflict resolver is called 'nobody'"):
            merge_three_way({"f": 1}, {"f": 2}, {"f": 3}, policy("custom", resolver="nobody"))

    @pytest.mark.parametrize(
        "data", [{"strategy": "custom"}, {"fields": {"f": "custom"}}, {"strategy": "mine"}]
    )
    def test_a_policy_that_can_not_work_is_refused(self, data: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            ConflictPolicy.model_validate(data)

    def test_it_names_its_resolvers_and_survives_json(self) -> None:
        chosen = policy("custom", resolver="longest", fieldResolvers={"b": "highest"}, fields={"c": "manual"})
        assert chosen.resolver_names() == {"longest", "highest"}
        assert ConflictPolicy.model_validate(chosen.to_json()) == chosen
        assert ConflictPolicy().strategy is ConflictStrategy.NEWEST_WINS


@pytest.mark.parametrize(
    ("name", "local", "external", "expected"),
    [
        ("non_empty", " ", "x", "x"),
        ("non_empty", 0, None, 0),
        ("non_empty", "a", "b", "b"),
        ("longest", "long text", "short", "long text"),
        ("longest", [1], [1, 2], [1, 2]),
        ("longest", "a", "b", "b"),
        ("highest", 2, 10.5, 10.5),
        ("highest", "2025-01-02", "2025-01-01", "2025-01-02"),
        ("highest", 1, "1", UNRESOLVED),
        ("lowest", 2, 10.5, 2),
        ("lowest", True, 1, UNRESOLVED),
        ("true_wins", True, False, True),
        ("true_wins", None, False, False),
        ("false_wins", True, False, False),
        ("false_wins", None, True, True),
    ],
)
def test_built_in_resolvers(name: str, local: Any, external: Any, expected: Any) -> None:
    value = BUILT_IN[name](FieldVersions("f", None, local, external))
    assert value == expected
    assert type(value) is type(expected)
