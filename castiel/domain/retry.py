"""When to try again, as values: the worker only carries them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from castiel.errors import CastielError, DependencyUnavailable

BASE_DELAY_SECONDS = 2.0
MAX_DELAY_SECONDS = 900.0
OUTAGE_RETRIES = 16
"""While a service that Castiel runs on is down, nothing is wrong with the message, and giving up could not even be
recorded: about an hour of tries."""
MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after ``delay`` seconds; it will be try number ``attempt`` (the first is 0)."""

    delay: float
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Record the failure with the message itself."""

    reason: str


def backoff(attempt: int, random: Callable[[], float], *, base: float = BASE_DELAY_SECONDS) -> float:
    """Exponential backoff with full jitter, in seconds, for the try after ``attempt`` failed ones.

    Anywhere between nothing and the exponential step, so that workers that failed together do not come back
    together; the step doubles from try to try. ``random`` returns a number in [0, 1).
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
    """
    return random() * min(MAX_DELAY_SECONDS, base * 2.0 ** min(attempt, MAX_DOUBLINGS))


def decide(
    error: CastielError,
    attempt: int,
    max_retries: int,
    random: Callable[[], float],
    *,
    base: float = BASE_DELAY_SECONDS,
) -> RetryIn | GiveUp:
    """What to do with a message whose try number ``attempt`` (from 0) ended in ``error``."""
    if not error.retryable:
        return GiveUp("not retryable")
    most = max(max_retries, OUTAGE_RETRIES) if isinstance(error, DependencyUnavailable) else max_retries
    if attempt >= most:
        return GiveUp(f"still failing after {most} retries")
    return RetryIn(max(backoff(attempt, random, base=base), error.retry_after or 0.0), attempt + 1)
