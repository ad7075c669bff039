"""The limiter of one process, for while Redis is gone: more careful, since the others count for themselves too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from castiel.domain.limits import (
    LONGEST_CLOSED_SECONDS,
    WINDOW_SECONDS,
    BreakerPolicy,
    LimitDecision,
    LimitRequest,
    LimitsStatus,
    LimitStatus,
    ProviderStatus,
    Reason,
    Verdict,
    adaptive_multiplier,
    effective_limit,
)
from castiel.domain.quota import Quota
from castiel.domain.sliding_window import SLICE_MS, SlidingWindow
from castiel.ports.clock import Clock
from castiel.services.local_line import GRACE_MS, LocalLine

MULTIPLIER_MS = 300_000
PRUNE_EVERY_MS = 60_000
KEPT_MS = 3_600_000


@dataclass(slots=True)
class _Provider:
    multiplier: float = 1.0
    multiplier_until: int = 0
    closed_until: int = 0
    failures: int = 0
    opened: int = 0
    open_until: int = 0
    probe_until: int = 0
    heard: int = 0


@dataclass(slots=True)
class _Stop:
    """What stops a call longest."""

    wait: int = 0
    level: int = 0
    reason: Reason | None = None

    def consider(self, wait: int, level: int, reason: Reason) -> None:
        if wait > self.wait:
            self.wait, self.level, self.reason = wait, level, reason


class LocalRateLimits:
    """:class:`~castiel.ports.coordination.RateLimits` in this process's memory.

    ``share``: what this process allows itself of each limit (but always one call); the shares of all
    instances should sum up to no more than 1.
    """

    def __init__(self, clock: Clock, *, share: float = 1.0, breaker: BreakerPolicy | None = None) -> None:
        self._clock = clock
        self._share = share
        self._breaker = breaker or BreakerPolicy()
        self._windows: dict[str, SlidingWindow] = {}
        self._providers: dict[str, _Provider] = {}
        self._lines: dict[str, LocalLine] = {}
        self._prune_at = 0

    async def check(self, request: LimitRequest) -> LimitDecision:
        now = self._now()
        self._prune(now)
        provider = self._providers.get(request.provider) if request.provider else None
        line = self._lines.get(request.line.key) if request.line else None
        urgent = line.due_before(request.line.priority, now) if line and request.line else 0
        stop = _Stop()
        if provider:
            stop.consider(provider.closed_until - now, 0, Reason.CLOSED)
            stop.consider(max(provider.open_until, provider.probe_until) - now, 0, Reason.CIRCUIT)
        limits, used = self._limits(request, provider, now), []
        for number, (level, limit) in enumerate(zip(request.levels, limits, strict=True)):
            window = self._window(level.key, now)
            used.append(window.total + request.cost)
            excess = used[-1] - limit
            if excess > 0:
                stop.consider(window.until_room(now, excess), number, Reason.LIMIT)
            elif number == 0 and excess + urgent > 0:
                stop.consider(min(window.until_room(now, excess + urgent), GRACE_MS), 0, Reason.TURN)
        suspect = bool(provider and provider.failures)
        if stop.wait > 0:
            return self._stopped(request, stop, now, limits, suspect)
        for level in request.levels:
            self._windows[level.key].add(now, request.cost)
        if provider and provider.open_until:
            provider.probe_until = now + int(self._breaker.probe_seconds * 1000)
        if line and request.line:
            line.leave(request.line)
        fullest = max(range(len(limits)), key=lambda i: used[i] / limits[i])
        return LimitDecision(
            Verdict.ALLOWED,
            min(limit - count for limit, count in zip(limits, used, strict=True)),
            self._at(WINDOW_SECONDS * 1000 + SLICE_MS),
            0.0,
            request.levels[fullest].key,
            None,
            used[fullest],
            limits[fullest],
            suspect=suspect,
        )

    def _stopped(
        self, request: LimitRequest, stop: _Stop, now: int, limits: list[int], suspect: bool
    ) -> LimitDecision:
        wait, place = stop.wait, request.line
        verdict, overflow = Verdict.DENIED, False
        if place and place.work is not None and stop.reason is not Reason.CIRCUIT:
            turn = self._lines.setdefault(place.key, LocalLine()).join(place, now, wait, limits[0])
            overflow = turn is None
            if turn is not None:
                verdict, wait = Verdict.QUEUED, turn
        key = request.levels[stop.level].key
        return LimitDecision(
            verdict,
            0,
            self._at(wait),
            wait / 1000,
            key,
            stop.reason,
            self._windows[key].total,
            limits[stop.level],
            overflow,
            suspect,
        )

    async def charge(self, counts: Mapping[str, int]) -> None:
        now = self._now()
        for key, count in counts.items():
            self._window(key, now).add(now, count)

    async def observe(self, key: str, quota: Quota) -> float:
        now = self._now()
        provider = self._heard_of(key, now)
        reset_in = (quota.reset_at - self._clock.now()).total_seconds() * 1000 if quota.reset_at else 0.0
        if quota.used is not None:
            provider.multiplier = adaptive_multiplier(quota.used)
            provider.multiplier_until = now + int(reset_in if reset_in > 0 else MULTIPLIER_MS)
        closed_ms = max((quota.retry_after or 0.0) * 1000, reset_in if quota.remaining == 0 else 0.0)
        closed_ms = min(closed_ms, LONGEST_CLOSED_SECONDS * 1000)
        provider.closed_until = max(provider.closed_until, now + int(closed_ms))
        return max(0, provider.closed_until - now) / 1000

    async def failed(self, key: str) -> float | None:
        now = self._now()
        provider = self._heard_of(key, now)
        provider.failures += 1
        if provider.open_until > now or (not provider.opened and provider.failures < self._breaker.threshold):
            return None
        open_seconds = self._breaker.open_for(provider.opened)
        provider.open_until = now + int(open_seconds * 1000)
        provider.opened += 1
        provider.probe_until = 0
        return open_seconds

    async def succeeded(self, key: str) -> None:
        provider = self._providers.get(key)
        if provider:
            provider.failures = provider.opened = provider.open_until = provider.probe_until = 0

    async def status(self, request: LimitRequest) -> LimitsStatus:
        now = self._now()
        provider = self._providers.get(request.provider or "") or _Provider()
        limits = self._limits(request, provider, now)
        line = self._lines.get(request.line.key) if request.line else None
        return LimitsStatus(
            tuple(
                LimitStatus(level.key, limit, self._window(level.key, now).total)
                for level, limit in zip(request.levels, limits, strict=True)
            ),
            ProviderStatus(
                provider.multiplier if provider.multiplier_until > now else 1.0,
                self._moment(provider.closed_until, now),
                provider.failures,
                self._moment(provider.open_until, now),
            ),
            line.counts(now) if line else {},
        )

    def known(self, tag: str) -> dict[str, int]:
        """What a tenant was let through in the last minute, by level's key."""
        now = self._now()
        counts = {}
        for key, window in self._windows.items():
            if key.startswith(tag):
                window.advance(now)
                if window.total:
                    counts[key] = window.total
        return counts

    def closed(self, tag: str) -> dict[str, float]:
        """For how many seconds a tenant's providers want no calls; with no tag, everybody's."""
        now = self._now()
        return {
            key: (provider.closed_until - now) / 1000
            for key, provider in self._providers.items()
            if key.startswith(tag) and provider.closed_until > now
        }

    def _heard_of(self, key: str, now: int) -> _Provider:
        provider = self._providers.setdefault(key, _Provider())
        provider.heard = now
        return provider

    def _limits(self, request: LimitRequest, provider: _Provider | None, now: int) -> list[int]:
        limits = [effective_limit(level.limit, self._share) for level in request.levels]
        if provider and provider.multiplier_until > now:
            first = effective_limit(request.levels[0].limit, provider.multiplier)
            limits[0] = effective_limit(first, self._share)
        return limits

    def _window(self, key: str, now: int) -> SlidingWindow:
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = SlidingWindow()
        window.advance(now)
        return window

    def _prune(self, now: int) -> None:
        """Idle tenants leave nothing behind."""
        if now < self._prune_at:
            return
        self._prune_at = now + PRUNE_EVERY_MS
        for key, window in list(self._windows.items()):
            window.advance(now)
            if not window.total:
                del self._windows[key]
        for key, line in list(self._lines.items()):
            line.prune(now)
            if not len(line):
                del self._lines[key]
        for key, provider in list(self._providers.items()):
            last = max(provider.multiplier_until, provider.closed_until, provider.heard)
            if last + KEPT_MS < now:
                del self._providers[key]

    def _now(self) -> int:
        return int(self._clock.monotonic() * 1000)

    def _at(self, milliseconds: float) -> datetime:
        return self._clock.now() + timedelta(milliseconds=milliseconds)

    def _moment(self, milliseconds: int, now: int) -> datetime | None:
        return self._at(milliseconds - now) if milliseconds > now else None
