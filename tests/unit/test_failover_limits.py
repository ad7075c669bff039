"""The limiter that works without Redis: what was learned meanwhile is everybody's once Redis is back."""

from __future__ import annotations

from collections.abc import Mapping

from castiel.domain.limits import LimitDecision, LimitRequest, LimitsStatus, Reason
from castiel.domain.quota import Quota
from castiel.errors import CacheUnavailable
from castiel.services.failover_limits import LONGEST_HOLD_OFF_SECONDS, FailoverRateLimits
from castiel.services.local_limits import LocalRateLimits
from tests.support.clock import FakeClock
from tests.support.limits import request

PROVIDER = "{t}:provider"


class Unreachable:
    """:class:`~castiel.ports.coordination.RateLimits` behind a network that may be ``down``; it forgets nothing."""

    def __init__(self, clock: FakeClock) -> None:
        self._limits = LocalRateLimits(clock)
        self.down = False
        self.observed: list[str] = []

    def _reached(self) -> LocalRateLimits:
        if self.down:
            raise CacheUnavailable("Redis: TimeoutError")
        return self._limits

    async def check(self, wanted: LimitRequest) -> LimitDecision:
        return await self._reached().check(wanted)

    async def charge(self, counts: Mapping[str, int]) -> None:
        await self._reached().charge(counts)

    async def observe(self, key: str, quota: Quota) -> float:
        limits = self._reached()
        self.observed.append(key)
        return await limits.observe(key, quota)

    async def failed(self, key: str) -> float | None:
        return await self._reached().failed(key)

    async def succeeded(self, key: str) -> None:
        await self._reached().succeeded(key)

    async def status(self, wanted: LimitRequest) -> LimitsStatus:
        return await self._reached().status(wanted)


async def test_a_window_that_closed_while_redis_was_gone_stays_closed_for_every_instance() -> None:
    clock = FakeClock(chance=0.5)
    shared, wanted = Unreachable(clock), request(50, provider=True)
    one, other = (FailoverRateLimits(shared, LocalRateLimits(clock), clock) for _ in range(2))
    shared.down = True
    assert await one.observe(PROVIDER, Quota(retry_after=300.0)) == 300.0
    await one.observe("{u}:provider", Quota(retry_after=5.0))
    assert (await one.check(wanted)).reason is Reason.CLOSED

    shared.down = False
    clock.advance(LONGEST_HOLD_OFF_SECONDS)
    for instance in (one, other, one):
        refused = await instance.check(wanted)
        assert refused.reason is Reason.CLOSED
        assert refused.retry_after == 300.0 - LONGEST_HOLD_OFF_SECONDS
    assert not one.degraded
    assert shared.observed == [PROVIDER], "told once, and nothing of what is over"


async def test_a_redis_that_goes_again_before_it_was_told_is_told_later() -> None:
    clock = FakeClock(chance=0.5)
    shared, wanted = Unreachable(clock), request(50, provider=True)
    instance = FailoverRateLimits(shared, LocalRateLimits(clock), clock)
    shared.down = True
    await instance.observe(PROVIDER, Quota(retry_after=300.0))
    for _ in range(2):
        clock.advance(LONGEST_HOLD_OFF_SECONDS)
        assert (await instance.check(wanted)).reason is Reason.CLOSED
    shared.down = False
    clock.advance(2 * LONGEST_HOLD_OFF_SECONDS)
    assert (await instance.check(wanted)).reason is Reason.CLOSED
    assert (await shared.check(wanted)).reason is Reason.CLOSED
