"""Limiters whose time tests move by hand: the local one, and the one in Redis with the same scripts and another clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from redis.asyncio import Redis

from castiel.azure.redis_limits import RedisRateLimits
from castiel.domain.limits import BreakerPolicy, LimitCheck, LimitDecision, LimitRequest, Line
from castiel.domain.tasks import Priority
from castiel.ports.coordination import RateLimits
from castiel.services.local_limits import LocalRateLimits
from tests.support.clock import FakeClock

START_MS = 1_765_371_600_125
BREAKER = BreakerPolicy(threshold=3, open_seconds=5.0, max_open_seconds=20.0, probe_seconds=30.0)
MOVED_CLOCK = "tonumber(redis.call('GET', 'tests:now'))"
"""In place of Redis' own clock."""


class MillisecondClock(FakeClock):
    """Counts whole milliseconds, so that no rounding stands between two limiters."""

    def __init__(self) -> None:
        super().__init__(chance=0.5)
        self.milliseconds = START_MS

    def now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.milliseconds)

    def monotonic(self) -> float:
        return (self.milliseconds + 0.5) / 1000

    def advance(self, seconds: float) -> None:
        self.milliseconds += round(seconds * 1000)


class Limits(Protocol):
    """A limiter and its time."""

    limits: RateLimits
    clock: MillisecondClock

    async def wait(self, seconds: float) -> None:
        """Let time pass."""


class LocalLimits:
    """In this process's memory."""

    def __init__(self) -> None:
        self.clock = MillisecondClock()
        self.limits: RateLimits = LocalRateLimits(self.clock, breaker=BREAKER)

    async def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)


class RedisLimits:
    """In a Redis server, whose time is a key."""

    def __init__(self, redis: Redis) -> None:
        self.clock = MillisecondClock()
        self.redis = redis
        self.limits: RateLimits = self.another_instance()

    def another_instance(self) -> RedisRateLimits:
        """What another process would use."""
        return RedisRateLimits(self.redis, breaker=BREAKER, timeout=30.0, clock=MOVED_CLOCK)

    async def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.redis.set("tests:now", self.clock.milliseconds)


def request(
    *limits: int,
    cost: int = 1,
    tenant: str = "t",
    provider: bool = False,
    work: str | None = None,
    priority: Priority = Priority.NORMAL,
    line: bool = False,
    capacity: int = 10_000,
) -> LimitRequest:
    """One decision at so many levels, in a line when it has work or ``line`` says so."""
    tag = f"{{{tenant}}}"
    levels = tuple(LimitCheck(f"{tag}:{number}", limit) for number, limit in enumerate(limits))
    place = Line(f"{tag}:line", work, priority, capacity) if work or line else None
    return LimitRequest(levels, cost, f"{tag}:provider" if provider else None, place)


async def fill(limits: RateLimits, wanted: LimitRequest, count: int) -> list[LimitDecision]:
    """So many decisions one after the other."""
    return [await limits.check(wanted) for _ in range(count)]
