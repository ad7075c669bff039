"""The limiter over a Redis server: several processes at once, restarts in the middle, and without it for a while."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from castiel.azure.redis_client import build_client
from castiel.azure.redis_limits import RedisRateLimits
from castiel.domain.connections import Connection
from castiel.domain.limits import LimitRequest, Reason
from castiel.domain.quota import Quota
from castiel.services.failover_limits import LONGEST_HOLD_OFF_SECONDS, FailoverRateLimits
from castiel.services.local_limits import LocalRateLimits
from castiel.services.rate_limiter import IntegrationRateLimiter
from infra.local.process import ServerProcess
from tests.support.clock import FakeClock
from tests.support.fakes.coordination import YieldingClock
from tests.support.limits import START_MS, request
from tests.support.rate_limiter import rate_limiter

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]
PROCESSES, LIMIT = 3, 20


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess("redis") as server:
        yield server


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Redis]:
    client = build_client(server.ready["url"])
    yield client
    await client.aclose()
    await client.connection_pool.disconnect()


@pytest.mark.slow
async def test_several_processes_share_one_limit(server: ServerProcess, client: Redis) -> None:
    await client.set("tests:now", START_MS)
    command = [sys.executable, "-m", "tests.support.limit_hammer", server.ready["url"], str(LIMIT)]
    processes = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    try:
        chance, now = random.Random(3), START_MS
        for _ in range(60):
            asked = int(await client.get("tests:decisions") or 0)
            while int(await client.get("tests:decisions") or 0) < asked + 2 * LIMIT:
                assert all(process.returncode is None for process in processes)
                await asyncio.sleep(0.002)
            now += chance.choice((100, 250, 1_000, 7_500, 30_000, 60_000))
            await client.set("tests:now", now)
        await client.set("tests:stop", "1")
        outputs = [(await process.communicate())[0] for process in processes]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    each = [json.loads(output) for output in outputs]
    times = sorted(time for found in each for time in found)
    windows = [sum(begin <= time < begin + 60_000 for time in times) for begin in times]
    assert max(windows) == LIMIT, "full, and never more than that"
    assert all(each), "every process had its part"


class Instance:
    """A process's limiter: the shared one in Redis, and its own for when that is gone."""

    def __init__(self, client: Redis, share: float = 1.0) -> None:
        self.clock = FakeClock(chance=0.5)
        self.limits = FailoverRateLimits(
            RedisRateLimits(client), LocalRateLimits(self.clock, share=share), self.clock
        )

    async def let_through(self, wanted: LimitRequest, asked: int) -> int:
        """Of so many who ask at once."""
        answers = await asyncio.gather(*(self.limits.check(wanted) for _ in range(asked)))
        return sum(answer.allowed for answer in answers)


async def test_without_redis_it_goes_on_and_hands_out_no_minute_twice(
    server: ServerProcess, client: Redis
) -> None:
    instance, wanted = Instance(client), request(50, 60)
    assert await instance.let_through(wanted, 20) == 20
    server.kill()
    assert await instance.let_through(wanted, 20) == 20
    assert instance.limits.degraded
    server.start()
    assert await instance.let_through(wanted, 2) == 2, "still locally: Redis is left alone for a while"
    instance.clock.advance(LONGEST_HOLD_OFF_SECONDS)
    assert await instance.let_through(wanted, 1) == 1
    assert not instance.limits.degraded
    assert await instance.let_through(wanted, 64) == 7, "50 in all, though Redis came back empty"
    shared = await RedisRateLimits(client).status(wanted)
    assert [level.used for level in shared.levels] == [50, 50]


async def test_a_restart_between_two_calls_opens_no_window(server: ServerProcess, client: Redis) -> None:
    instance, wanted = Instance(client), request(50)
    assert await instance.let_through(wanted, 50) == 50
    for _ in range(3):
        server.kill()
        server.start()
        assert await instance.let_through(wanted, 64) == 0
        instance.clock.advance(2)
        assert await instance.let_through(wanted, 64) == 0


async def test_every_instance_tells_an_emptied_redis_what_it_knows(client: Redis) -> None:
    wanted, one, other = request(50, provider=True), Instance(client), Instance(client)
    assert (await one.let_through(wanted, 20), await other.let_through(wanted, 20)) == (20, 20)
    await client.flushall()
    # Many tasks learn of it at once; what they know is charged once.
    assert await one.let_through(wanted, 5) == 5
    assert await other.let_through(wanted, 5) == 5
    assert await one.let_through(wanted, 64) == 0
    await one.limits.observe("{t}:provider", Quota(retry_after=30))
    await client.flushall()
    refused = await one.limits.check(wanted)
    assert (refused.reason, refused.used) == (Reason.CLOSED, 25), "all that this one knows"


async def test_a_caller_that_is_cancelled_takes_nobody_down_with_it(client: Redis) -> None:
    instance, wanted = Instance(client), request(50, 60)
    for _ in range(20):
        first = asyncio.create_task(instance.limits.check(wanted))
        others = [asyncio.create_task(instance.limits.check(request(9, tenant="u"))) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, *others, return_exceptions=True)
        assert first.cancelled()
        assert not instance.limits.degraded, "Redis is as well as ever"


async def test_the_local_limiter_is_more_careful(server: ServerProcess, client: Redis) -> None:
    server.kill()
    instance = Instance(client, share=0.1)
    assert await instance.let_through(request(50), 64) == 5


async def test_a_closed_window_and_a_breaker_are_every_instance_s(client: Redis) -> None:
    one, other = RedisRateLimits(client), RedisRateLimits(client)
    await one.observe("{t}:provider", Quota(retry_after=30))
    assert (await other.check(request(9, provider=True))).reason is Reason.CLOSED
    for _ in range(5):
        await one.failed("{u}:provider")
    assert (await other.check(request(9, tenant="u", provider=True))).reason is Reason.CIRCUIT


async def test_a_tenant_s_keys_share_a_slot_of_a_cluster(client: Redis) -> None:
    for tenant in ("tenant-1", "ten}ant{2", "{}", "a:b"):
        await client.flushall()
        clock = YieldingClock()
        limiter: IntegrationRateLimiter = rate_limiter(RedisRateLimits(client), clock)[0]
        connection = Connection(
            id="c", tenant_id=tenant, integration_id="slack", credential_id="x", rate_limits={"fetch": 1}
        )
        await limiter.observe(connection, Quota(limit=10, remaining=1))
        for _ in range(3):
            await limiter.check_rate_limit(tenant, "slack", "fetch", connection)
        keys = await client.keys("castiel:*")
        assert len(keys) == 6
        assert len({key_slot(key.encode()) for key in keys}) == 1
