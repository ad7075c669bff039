"""When to try again: pure values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.domain.retry import MAX_DELAY_SECONDS, GiveUp, RetryIn, backoff, decide
from castiel.errors import ProviderRateLimited, ProviderRejected, ProviderUnavailable


def test_the_step_doubles_and_ends_at_the_cap() -> None:
    delays = [backoff(attempt, lambda: 0.5) for attempt in range(12)]
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0]
    assert delays[-1] == MAX_DELAY_SECONDS / 2


@given(attempt=st.integers(0, 30), chance=st.floats(0, 1, exclude_max=True))
def test_full_jitter_is_anywhere_below_the_step(attempt: int, chance: float) -> None:
    assert 0 <= backoff(attempt, lambda: chance) <= min(MAX_DELAY_SECONDS, 2.0 * 2**attempt)


def test_retry_after_counts_when_it_is_longer() -> None:
    assert decide(ProviderRateLimited(retry_after=30), 0, 3, lambda: 0.5) == RetryIn(30, 1)
    assert decide(ProviderRateLimited(retry_after=0.1), 2, 3, lambda: 0.5) == RetryIn(4.0, 3)


@pytest.mark.parametrize("attempt", [3, 4])
def test_gives_up_after_the_last_retry(attempt: int) -> None:
    assert isinstance(decide(ProviderUnavailable(), attempt, 3, lambda: 0.5), GiveUp)


def test_never_repeats_what_is_permanent() -> None:
    assert decide(ProviderRejected(), 0, 3, lambda: 0.5) == GiveUp("not retryable")
