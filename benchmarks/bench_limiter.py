"""Decisions of the rate limiter per second, beside the `limits` library on the same Redis.

    python -m benchmarks.bench_limiter

A decision is what a provider call asks for: integration, operation and tenant at once, all or none. Castiel's is the
whole of `check_rate_limit` (overrides, adaptive multiplier, breaker, line, one script). The library's moving window
does the three levels one after the other. Both use the redis package with up to 64 connections; they take turns, and each
figure is the best of its rounds. Redis is this machine's own, started here.

`bytes_per_key` is what Redis says one level's key takes, filled up to limits of 100, 1 000 and 10 000 a minute.
The last line is one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis

from castiel.azure.redis_client import RedisMarks, build_client
from castiel.azure.redis_limits import RedisRateLimits
from castiel.domain.connections import Connection
from castiel.domain.limits import LimitCheck, LimitRequest, TenantLimits
from castiel.ports.clock import SystemClock
from castiel.ports.messaging import Event
from castiel.services.failover_limits import FailoverRateLimits
from castiel.services.limit_alerts import LimitAlerts
from castiel.services.limit_overrides import LimitOverrides
from castiel.services.local_limits import LocalRateLimits
from castiel.services.rate_limiter import IntegrationRateLimiter
from infra.local.stack import LocalStack

TASKS = (1, 64)
ROUNDS = 5
ROUND_SECONDS = 1.0
NEVER_MET = 10_000_000
FILLED = (100, 1_000, 10_000)
CONNECTIONS = 64

Decide = Callable[[], Awaitable[bool]]


class NoLimitsOfTheirOwn:
    """No tenant has overrides."""

    async def get(self, _: str) -> TenantLimits | None:
        return None

    async def put(self, limits: TenantLimits) -> TenantLimits:
        return limits


class Nobody:
    """Listens to no event."""

    async def publish(self, _: Event) -> None:
        return None


def castiel_decision(redis: Redis) -> Decide:
    """One provider call's decision, as the app is wired, with limits that are never met."""
    clock = SystemClock()
    limiter = IntegrationRateLimiter(
        FailoverRateLimits(RedisRateLimits(redis), LocalRateLimits(clock, share=0.1), clock),
        LimitOverrides(NoLimitsOfTheirOwn(), clock, integrations=["salesforce"]),
        LimitAlerts(Nobody(), RedisMarks(redis), clock),
        clock,
        integration_limits={"salesforce": NEVER_MET},
        tenant_limit=NEVER_MET,
    )
    connection = Connection(
        id="connection-1",
        tenant_id="tenant-1",
        integration_id="salesforce",
        credential_id="credential-1",
        rate_limits={"fetch": NEVER_MET},
    )

    async def decide() -> bool:
        return (await limiter.check_rate_limit("tenant-1", "salesforce", "fetch", connection)).allowed

    return decide


def library_decision(storage: RedisStorage) -> Decide:
    """The same three levels, one after the other, at the defaults' size: it keeps an entry per call."""
    limiter = MovingWindowRateLimiter(storage)
    levels = [(RateLimitItemPerMinute(NEVER_MET), name) for name in ("integration", "operation", "tenant")]

    async def decide() -> bool:
        for item, name in levels:
            if not await limiter.hit(item, "tenant-1", name):
                return False
        return True

    return decide


async def rate(decide: Decide, tasks: int) -> float:
    """Decisions per second, by so many tasks at once."""
    start = time.perf_counter()
    deadline = start + ROUND_SECONDS

    async def work() -> int:
        done = 0
        while time.perf_counter() < deadline:
            if not await decide():
                raise AssertionError("the limit was met: nothing was measured")
            done += 1
        return done

    total = sum(await asyncio.gather(*(work() for _ in range(tasks))))
    return total / (time.perf_counter() - start)


async def measure(url: str) -> dict[str, Any]:
    """Everything, against one Redis."""
    redis = build_client(url, max_connections=CONNECTIONS)
    storage = RedisStorage(f"async+{url}", implementation="redispy", max_connections=CONNECTIONS)
    try:
        ours: dict[str, float] = {}
        theirs: dict[str, float] = {}
        for tasks in TASKS:
            for _ in range(ROUNDS):
                for results, decide in (
                    (ours, castiel_decision(redis)),
                    (theirs, library_decision(storage)),
                ):
                    results[str(tasks)] = max(results.get(str(tasks), 0.0), await rate(decide, tasks))
                # The library's lists grow with every call: each round starts without them, to its advantage.
                await redis.flushdb()
        return {
            "decisions_per_s": {tasks: round(value) for tasks, value in ours.items()},
            "limits_decisions_per_s": {tasks: round(value) for tasks, value in theirs.items()},
            "ratio": {tasks: round(ours[tasks] / theirs[tasks], 2) for tasks in ours},
            **await key_sizes(redis, storage),
        }
    finally:
        await redis.aclose()
        await redis.connection_pool.disconnect()
        await storage.bridge.storage.aclose()


async def key_sizes(redis: Redis, storage: RedisStorage) -> dict[str, Any]:
    """Bytes of one level's key, filled to its limit."""
    limiter, library = RedisRateLimits(redis), MovingWindowRateLimiter(storage)
    ours: dict[str, int] = {}
    theirs: dict[str, int] = {}
    for limit in FILLED:
        request = LimitRequest((LimitCheck(f"{{filled}}:{limit}", limit),))
        while (await limiter.check(request)).allowed:
            pass
        ours[str(limit)] = await _usage(redis, f"castiel:limit:{{filled}}:{limit}")
        item = RateLimitItemPerMinute(limit)
        while await library.hit(item, f"filled-{limit}"):
            pass
        keys = [key async for key in redis.scan_iter(f"*filled-{limit}/*")]
        theirs[str(limit)] = await _usage(redis, keys[0])
    return {
        "bytes_per_key": max(ours.values()),
        "bytes_per_key_by_limit": ours,
        "limits_bytes_per_key_by_limit": theirs,
    }


async def _usage(redis: Redis, key: str) -> int:
    return int(await redis.execute_command("MEMORY", "USAGE", key, "SAMPLES", "0"))


def run() -> dict[str, Any]:
    """Measure everything. Takes about half a minute."""
    with LocalStack(only=["redis"]) as stack:
        result = asyncio.run(measure(stack.ready("redis")["url"]))
    return {**result, "measured_at": datetime.now(UTC).isoformat(timespec="seconds")}


def main() -> None:
    """Print the table, then the JSON line."""
    result = run()
    print(f"{'three levels, decisions/s':<28}" + "".join(f"{f'{tasks} tasks':>12}" for tasks in TASKS))
    for title, name in (("castiel", "decisions_per_s"), ("limits", "limits_decisions_per_s"), ("×", "ratio")):
        print(f"{title:<28}" + "".join(f"{result[name][str(tasks)]:>12}" for tasks in TASKS))
    print(f"\n{'bytes of a key, filled to':<28}" + "".join(f"{limit:>12}" for limit in FILLED))
    for title, name in (
        ("castiel", "bytes_per_key_by_limit"),
        ("limits", "limits_bytes_per_key_by_limit"),
    ):
        print(f"{title:<28}" + "".join(f"{result[name][str(limit)]:>12}" for limit in FILLED))
    print(json.dumps({"limiter": result}))


if __name__ == "__main__":
    main()
