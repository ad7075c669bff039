"""The limiter of one process, for while Redis is gone: more careful, since the others count for themselves too."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from castiel.domain.limits import (
    WINDOW_SECONDS,
    LimitCheck,
    LimitDecision,
    LimitStatus,
    Verdict,
    adaptive_multiplier,
)
from castiel.domain.quota import Quota
from castiel.ports.clock import Clock

SHARE = 0.1
"""What one process allows itself of a limit it can't share."""


class LocalRateLimits:
    """:class:`~castiel.ports.coordination.RateLimits` in this process's memory."""

    def __init__(self, clock: Clock, *, share: float = SHARE) -> None:
        self._clock = clock
        self._share = share
        self._calls: dict[str, deque[float]] = {}
        self._multiplier: dict[str, float] = {}
        self._closed_until: dict[str, float] = {}

    async def check(self, checks: Sequence[LimitCheck], *, cost: int = 1) -> LimitDecision:
        now = self._clock.monotonic()
        wait, level, tightest = 0.0, None, None
        for check in checks:
            calls = self._recent(check.key, now)
            limit = self._limit(check)
            closed = self._closed_until.get(check.key, 0.0) - now if check.adaptive else 0.0
            needed = closed if closed > 0 else 0.0
            if len(calls) + cost > limit:
                needed = max(
                    needed, calls[min(len(calls) - 1, len(calls) + cost - limit - 1)] + WINDOW_SECONDS - now
                )
            if needed > wait:
                wait, level = needed, check.key
            left = limit - len(calls)
            tightest = left if tightest is None else min(tightest, left)
        reset_at = self._clock.now() + timedelta(seconds=wait or WINDOW_SECONDS)
        if wait > 0:
            return LimitDecision(Verdict.DENIED, 0, reset_at, wait, level)
        for check in checks:
            self._calls[check.key].extend([now] * cost)
        return LimitDecision(Verdict.ALLOWED, max(0, (tightest or 0) - cost), reset_at)

    async def observe(self, key: str, quota: Quota) -> None:
        if quota.used is not None:
            self._multiplier[key] = adaptive_multiplier(quota.used)
        if quota.retry_after:
            self._closed_until[key] = self._clock.monotonic() + quota.retry_after

    async def status(self, checks: Sequence[LimitCheck]) -> Sequence[LimitStatus]:
        now = self._clock.monotonic()
        return [
            LimitStatus(
                c.key, self._limit(c), len(self._recent(c.key, now)), self._multiplier.get(c.key, 1.0)
            )
            for c in checks
        ]

    def _limit(self, check: LimitCheck) -> int:
        factor = self._multiplier.get(check.key, 1.0) if check.adaptive else 1.0
        return max(1, int(check.limit * self._share * factor))

    def _recent(self, key: str, now: float) -> deque[float]:
        calls = self._calls.setdefault(key, deque())
        while calls and calls[0] <= now - WINDOW_SECONDS:
            calls.popleft()
        return calls
