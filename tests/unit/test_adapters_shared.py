"""What adapters remember for one another: for a time, and no more than fits."""

from __future__ import annotations

import pytest

from castiel.adapters.shared import Shared


def test_a_value_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("castiel.adapters.shared.time.monotonic", lambda: now)
    shared = Shared()
    shared.put(("describe", "acme"), "fields", seconds=60)
    now = 160.0
    assert shared.get(("describe", "acme")) == "fields"
    now = 160.1
    assert shared.get(("describe", "acme")) is None
    assert shared.get(("describe", "other")) is None


def test_what_is_longest_unused_makes_room() -> None:
    shared = Shared(most=2)
    shared.put("a", 1, seconds=60)
    shared.put("b", 2, seconds=60)
    assert shared.get("a") == 1
    shared.put("c", 3, seconds=60)
    assert [shared.get(key) for key in "abc"] == [1, None, 3]
