"""The shared limiter while it answers, the local one while it doesn't: never unlimited, never a crash."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from castiel import telemetry
from castiel.domain.limits import LimitDecision, LimitRequest, LimitsStatus, tag_of
from castiel.domain.quota import Quota
from castiel.domain.sliding_window import SlidingWindow
from castiel.errors import CacheEmptied, CacheUnavailable
from castiel.ports.clock import Clock
from castiel.ports.coordination import RateLimits
from castiel.services.local_limits import LocalRateLimits

logger = logging.getLogger(__name__)

FIRST_HOLD_OFF_SECONDS = 1.0
LONGEST_HOLD_OFF_SECONDS = 15.0

T = TypeVar("T")


class FailoverRateLimits:
    """:class:`~castiel.ports.coordination.RateLimits` that never raises :class:`CacheUnavailable`.

    After a failure the shared limiter is left alone for 1 s, 2 s, … 15 s; then one call tries it, while the
    others still decide locally. ``local`` also counts what this process was let through by the shared one, so
    that changing over does not hand out the same minute twice; and what it let through itself is charged to
    the shared one when that is back, which is also told which windows providers closed meanwhile. If that comes
    back empty, each process tells it all that it knows.
    """

    def __init__(self, shared: RateLimits, local: LocalRateLimits, clock: Clock) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._owed: dict[str, SlidingWindow] = {}
        self._closed_meanwhile: set[str] = set()
        self._failures = 0
        self._try_at = 0.0

    @property
    def degraded(self) -> bool:
        """Whether decisions are made locally."""
        return self._failures > 0

    async def check(self, request: LimitRequest) -> LimitDecision:
        return await self._either(lambda: self._check_shared(request), lambda: self._check_locally(request))

    async def _check_shared(self, request: LimitRequest) -> LimitDecision:
        try:
            decision = await self._shared.check(request)
        except CacheEmptied:
            await self._restore(tag_of(request.levels[0].key))
            decision = await self._shared.check(request)
        if decision.allowed:
            await self._local.charge({level.key: request.cost for level in request.levels})
        return decision

    async def _check_locally(self, request: LimitRequest) -> LimitDecision:
        telemetry.count("rate_limiter_fallback")
        decision = await self._local.check(request)
        if decision.allowed:
            self._owe({level.key: request.cost for level in request.levels})
        return decision

    async def charge(self, counts: Mapping[str, int]) -> None:
        await self._local.charge(counts)
        await self._either(lambda: self._shared.charge(counts), _nothing)

    async def observe(self, key: str, quota: Quota) -> float:
        closed_for = await self._local.observe(key, quota)
        return await self._either(
            lambda: self._shared.observe(key, quota), lambda: self._observe_locally(key, closed_for)
        )

    async def _observe_locally(self, key: str, closed_for: float) -> float:
        if closed_for:
            self._closed_meanwhile.add(key)
        return closed_for

    async def failed(self, key: str) -> float | None:
        opened_for = await self._local.failed(key)
        return await self._either(lambda: self._shared.failed(key), lambda: _value(opened_for))

    async def succeeded(self, key: str) -> None:
        await self._local.succeeded(key)
        await self._either(lambda: self._shared.succeeded(key), _nothing)

    async def status(self, request: LimitRequest) -> LimitsStatus:
        return await self._either(lambda: self._shared.status(request), lambda: self._local.status(request))

    async def _either(self, shared: Callable[[], Awaitable[T]], otherwise: Callable[[], Awaitable[T]]) -> T:
        """The shared limiter's answer; the other one while it has none."""
        probing = self._failures > 0
        if probing:
            now = self._clock.monotonic()
            if now < self._try_at:
                return await otherwise()
            # Until this call has its answer, the others don't try.
            self._try_at = now + LONGEST_HOLD_OFF_SECONDS
        try:
            if self._owed:
                await self._settle()
            if self._closed_meanwhile:
                await self._tell_closed()
            answer = await shared()
        except CacheUnavailable as error:
            self._fail(error, probing=probing)
            return await otherwise()
        if self._failures:
            self._failures = 0
            logger.info("rate limiter is back on Redis", extra={"alert": "rate_limiter_recovered"})
        return answer

    def _fail(self, error: CacheUnavailable, *, probing: bool) -> None:
        if self._failures and not probing:
            return  # Of the same outage: a call that was already under way.
        if not self._failures:
            logger.error(
                "rate limiter works without Redis: %s", error, extra={"alert": "rate_limiter_fallback"}
            )
        self._failures += 1
        self._try_at = self._clock.monotonic() + self._hold_off() * (0.75 + 0.5 * self._clock.random())

    def _hold_off(self) -> float:
        return min(LONGEST_HOLD_OFF_SECONDS, FIRST_HOLD_OFF_SECONDS * 2.0 ** (min(self._failures, 10) - 1))

    def _owe(self, counts: Mapping[str, int]) -> None:
        now = int(self._clock.monotonic() * 1000)
        for key, count in counts.items():
            window = self._owed.setdefault(key, SlidingWindow())
            window.advance(now)
            window.add(now, count)

    async def _settle(self) -> None:
        """Charge the shared limiter with what was let through meanwhile."""
        now = int(self._clock.monotonic() * 1000)
        owed, self._owed = self._owed, {}
        tenants: dict[str, dict[str, int]] = {}
        for key, window in owed.items():
            window.advance(now)
            if window.total:
                tenants.setdefault(tag_of(key), {})[key] = window.total
        while tenants:
            tag, counts = tenants.popitem()
            try:
                await self._charge(tag, counts)
            except BaseException:
                # It may be charged already: twice is the safe side.
                tenants[tag] = counts
                for each in tenants.values():
                    self._owe(each)
                raise

    async def _tell_closed(self) -> None:
        """Tell the shared limiter for how long providers want no calls that said so while it was gone."""
        still = self._local.closed("")
        for key in tuple(self._closed_meanwhile):
            if key in still:
                await self._shared.observe(key, Quota(retry_after=still[key]))
            self._closed_meanwhile.discard(key)

    async def _charge(self, tag: str, counts: Mapping[str, int]) -> None:
        try:
            await self._shared.charge(counts)
        except CacheEmptied:
            await self._restore(tag)

    async def _restore(self, tag: str) -> None:
        """Tell a shared limiter that has lost its data what this process knows of a tenant."""
        logger.error("rate limiter: Redis has lost its data", extra={"alert": "rate_limiter_emptied"})
        known = self._local.known(tag)
        for key in known:
            self._owed.pop(key, None)
        try:
            await self._shared.charge(known)
            for key, seconds in self._local.closed(tag).items():
                await self._shared.observe(key, Quota(retry_after=seconds))
        except BaseException:
            self._owe(known)
            raise


async def _value(value: T) -> T:
    return value


async def _nothing() -> None:
    return None
