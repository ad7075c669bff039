from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from castiel.domain.conflicts import ConflictPolicy, ConflictStrategy, MergeOutcome, merge_three_way
from castiel.domain.json_values import identity, same

START = datetime(2025, 1, 1, tzinfo=UTC)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.0, 1.0, 1.5]),
    st.sampled_from(["", "a", "b"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from("pqr"), inner, max_size=3)
    ),
    max_leaves=8,
)
records = st.dictionaries(st.sampled_from("fghi"), values, max_size=4)
total_records = st.fixed_dictionaries(dict.fromkeys("fgh", values))
times = st.dictionaries(
    st.sampled_from("fghi"), st.integers(0, 3).map(lambda day: START + timedelta(days=day))
)
moments = st.one_of(st.none(), st.integers(0, 3).map(lambda day: START + timedelta(days=day)))
policies = st.builds(
    ConflictPolicy,
    strategy=st.sampled_from(ConflictStrategy),
    resolver=st.sampled_from(["non_empty", "longest", "highest", "true_wins"]),
    fields=st.dictionaries(st.sampled_from("fghi"), st.sampled_from(ConflictStrategy), max_size=2),
)


def filled(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


def again(
    outcome: MergeOutcome, base: Any, external: Any, policy: ConflictPolicy, at: Any, when: Any
) -> MergeOutcome:
    return merge_three_way(
        base,
        outcome.fields,
        external,
        policy,
        local_changed_at=at,
        external_changed_at=when,
        parked=outcome.parked,
    )


@given(records, records, records, policies, times, moments)
def test_merging_with_the_new_base_again_changes_nothing(
    base: Any, local: Any, external: Any, policy: Any, at: Any, when: Any
) -> None:
    first = merge_three_way(base, local, external, policy, local_changed_at=at, external_changed_at=when)
    second = again(first, first.base, external, policy, at, when)
    assert same(second.fields, first.fields)
    assert second.changed_locally == frozenset()
    assert second.conflicts == ()
    assert second.to_push == first.to_push
    assert same(second.base, first.base)
    assert same(second.parked, first.parked)


@given(records, records, records, policies, times, moments)
def test_merging_before_the_new_base_was_saved_gives_the_same_fields(
    base: Any, local: Any, external: Any, policy: Any, at: Any, when: Any
) -> None:
    first = merge_three_way(base, local, external, policy, local_changed_at=at, external_changed_at=when)
    second = again(first, base, external, policy, at, when)
    assert same(second.fields, first.fields)
    assert second.changed_locally == frozenset()


@given(records, records, policies, times, moments)
def test_without_a_local_change_every_strategy_gives_the_external_value(
    base: Any, external: Any, policy: Any, at: Any, when: Any
) -> None:
    outcome = merge_three_way(base, base, external, policy, local_changed_at=at, external_changed_at=when)
    assert same(filled(outcome.fields), filled(external))
    assert (outcome.to_push, outcome.conflicts, outcome.held) == (frozenset(), (), frozenset())


@given(records, records, policies)
def test_without_an_external_change_every_strategy_keeps_the_local_value(
    base: Any, local: Any, policy: Any
) -> None:
    outcome = merge_three_way(base, local, base, policy)
    assert same(outcome.fields, local)
    assert (outcome.changed_locally, outcome.conflicts) == (frozenset(), ())


@given(records, records, records, policies)
def test_one_sided_changes_are_never_conflicts(base: Any, local: Any, external: Any, policy: Any) -> None:
    for conflict in merge_three_way(base, local, external, policy).conflicts:
        name = conflict.field
        assert not same(local.get(name), base.get(name))
        assert not same(external.get(name), base.get(name))
        assert not same(local.get(name), external.get(name))


@given(total_records, total_records, total_records)
def test_local_wins_and_external_wins_mirror_each_other(base: Any, left: Any, right: Any) -> None:
    local = merge_three_way(base, left, right, ConflictPolicy(strategy=ConflictStrategy.LOCAL_WINS))
    external = merge_three_way(base, right, left, ConflictPolicy(strategy=ConflictStrategy.EXTERNAL_WINS))
    assert same(local.fields, external.fields)
    assert local.changed_locally == external.to_push
    assert local.to_push == external.changed_locally
    assert [conflict.field for conflict in local.conflicts] == [
        conflict.field for conflict in external.conflicts
    ]


@given(records, records, records, policies, times, moments)
def test_nothing_invents_a_value(
    base: Any, local: Any, external: Any, policy: Any, at: Any, when: Any
) -> None:
    outcome = merge_three_way(base, local, external, policy, local_changed_at=at, external_changed_at=when)
    assert outcome.fields.keys() <= {*local, *external, *base}
    for name, value in outcome.fields.items():
        sides = [local.get(name), external.get(name)]
        if policy.strategy_for(name) is ConflictStrategy.MERGE:
            assert set(parts(value)) <= {part for side in sides for part in parts(side)}
        else:
            assert any(same(value, side) for side in sides)


@given(records, records, records, policies, times, moments)
def test_the_outcome_says_exactly_what_differs(
    base: Any, local: Any, external: Any, policy: Any, at: Any, when: Any
) -> None:
    outcome = merge_three_way(base, local, external, policy, local_changed_at=at, external_changed_at=when)
    scope = {*base, *external}
    assert outcome.changed_locally == {n for n in scope if not same(outcome.fields.get(n), local.get(n))}
    differs = {n for n in scope if not same(outcome.fields.get(n), external.get(n))}
    assert outcome.to_push == differs - outcome.held
    assert {n: v for n, v in outcome.fields.items() if n not in scope} == {
        n: v for n, v in local.items() if n not in scope
    }


@given(records, records, records, policies)
def test_the_arguments_stay_as_they_were(base: Any, local: Any, external: Any, policy: Any) -> None:
    before = identity([base, local, external])
    merge_three_way(base, local, external, policy)
    assert identity([base, local, external]) == before


@given(values, values)
def test_values_are_the_same_exactly_when_their_identities_are(left: Any, right: Any) -> None:
    assert same(left, right) == (identity(left) == identity(right))
    assert same(left, left)


def test_numbers_are_compared_by_value_and_booleans_are_no_numbers() -> None:
    assert same(1, 1.0)
    assert same({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert same(float("nan"), float("nan"))
    assert not same(1, True)
    assert not same([0], [False])
    assert not same("1", 1)
    assert not same(None, 0)
    assert identity(True) != identity(1)
    assert identity(1) == identity(1.0)


def parts(value: Any) -> Iterator[Any]:
    """The leaves a value is made of, each with nothing of where it stands."""
    if isinstance(value, list):
        yield "list"
        for item in value:
            yield from parts(item)
    elif isinstance(value, dict):
        yield "object"
        for name, item in value.items():
            yield ("member", name)
            yield from parts(item)
    else:
        yield identity(value)
