"""When to try again: pure values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.domain.retry import MAX_DELAY_SECONDS, GiveUp, RetryIn, backoff, decide
from castiel.errors import (
    CastielError,
    DependencyUnavailable,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)


def _all_kinds(kind: type[CastielError]) -> list[type[CastielError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _all_kinds(child))]


def test_the_step_doubles_and_ends_at_the_cap() -> None:
    delays = [backoff(attempt, lambda: 0.5) for attempt in range(12)]
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0]
    assert delays[-1] == MAX_DELAY_SECONDS / 2


@given(attempt=st.integers(0, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_full_jitter_is_anywhere_below_the_step(attempt: int, chance: float) -> None:
    assert 0 <= backoff(attempt, lambda: chance) <= min(MAX_DELAY_SECONDS, 2 * 2**attempt)


def test_retry_after_counts_when_it_is_longer() -> None:
    assert decide(ProviderRateLimited(retry_after=30), 0, 3, lambda: 0.5) == RetryIn(30, 1)
    assert decide(ProviderRateLimited(retry_after=0.1), 2, 3, lambda: 0.5) == RetryIn(4.0, 3)


@pytest.mark.parametrize("attempt", [3, 4])
def test_gives_up_after_the_last_retry(attempt: int) -> None:
    assert isinstance(decide(ProviderUnavailable(), attempt, 3, lambda: 0.5), GiveUp)


@pytest.mark.parametrize("error", _all_kinds(DependencyUnavailable))
def test_an_outage_of_our_own_services_is_waited_out_for_about_an_hour(error: type[CastielError]) -> None:
    delays: list[float] = []
    while isinstance(decision := decide(error(), len(delays), 3, lambda: 0.5), RetryIn):
        delays.append(decision.delay)
    assert 3000 <= sum(delays) <= 5000


def test_never_repeats_what_is_permanent() -> None:
    assert decide(ProviderRejected(), 0, 3, lambda: 0.5) == GiveUp("not retryable")


CHANCES = st.floats(0, 1, exclude_max=True)
AFTER = st.one_of(st.none(), st.floats(0, 86_400))


@given(attempt=st.integers(0, 50), most=st.integers(0, 20), chance=CHANCES, after=AFTER)
def test_every_schedule_ends_and_never_hurries_a_provider(
    attempt: int, most: int, chance: float, after: float | None
) -> None:
    decision = decide(ProviderRateLimited(retry_after=after), attempt, most, lambda: chance)
    if attempt >= most:
        assert isinstance(decision, GiveUp)
        return
    assert isinstance(decision, RetryIn)
    assert decision.attempt == attempt + 1
    assert decision.delay >= (after or 0.0)
    assert decision.delay <= max(MAX_DELAY_SECONDS, after or 0.0)


@given(most=st.integers(0, 12), chance=CHANCES)
def test_a_message_is_tried_so_often_and_no_more(most: int, chance: float) -> None:
    attempt, tries = 0, 1
    while isinstance(decision := decide(ProviderUnavailable(), attempt, most, lambda: chance), RetryIn):
        attempt, tries = decision.attempt, tries + 1
    assert tries == most + 1


@given(chances=st.lists(CHANCES, min_size=2, max_size=2, unique=True), attempt=st.integers(0, 20))
def test_those_who_failed_together_do_not_come_back_together(chances: list[float], attempt: int) -> None:
    first, second = (backoff(attempt, lambda c=chance: c) for chance in chances)
    assert first != second or abs(chances[0] - chances[1]) < 1e-12


KINDS = [
    kind
    for kind in _all_kinds(CastielError)
    if kind.__module__ == "castiel.errors" and kind is not CastielError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_class_decides_and_nothing_else(kind: type[CastielError]) -> None:
    """Whatever the text says: no error is searched for words."""
    for text in ("timeout", "invalid credentials", "429"):
        error = kind.__new__(kind)
        CastielError.__init__(error, text)
        assert isinstance(decide(error, 0, 3, lambda: 0.5), RetryIn) is kind.retryable
