"""What a limiter promises, by the local one and by the one in Redis; time is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from castiel.azure.redis_client import build_client
from castiel.domain.limits import LONGEST_CLOSED_SECONDS, Reason, Verdict
from castiel.domain.quota import Quota
from castiel.domain.tasks import Priority
from infra.local.process import ServerProcess
from tests.support.limits import BREAKER, Limits, LocalLimits, RedisLimits, fill, request

WHOLE = 60.25
"""Seconds after which nothing of a slice counts any more."""


@pytest.fixture(scope="module")
def redis_server() -> Iterator[ServerProcess]:
    with ServerProcess("redis") as server:
        yield server


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.stack)])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limits]:
    if request.param == "local":
        yield LocalLimits()
        return
    client = build_client(request.getfixturevalue("redis_server").ready["url"])
    await client.flushall()
    limiter = RedisLimits(client)
    await limiter.wait(0)
    yield limiter
    await client.aclose()
    await client.connection_pool.disconnect()


async def used(limiter: Limits, *limits: int) -> list[int]:
    return [level.used for level in (await limiter.limits.status(request(*limits))).levels]


async def test_all_levels_are_consumed_or_none(limiter: Limits) -> None:
    wanted = request(10, 3, 100)
    answers = await fill(limiter.limits, wanted, 5)
    assert [answer.allowed for answer in answers] == [True] * 3 + [False] * 2
    assert await used(limiter, 10, 3, 100) == [3, 3, 3]
    assert (answers[-1].level, answers[-1].reason) == ("{t}:1", Reason.LIMIT)


async def test_remaining_is_that_of_the_tightest_level_and_the_alert_that_of_the_fullest(
    limiter: Limits,
) -> None:
    answer = (await fill(limiter.limits, request(10, 4, 100), 3))[-1]
    assert (answer.remaining, answer.level, answer.used, answer.limit) == (1, "{t}:1", 3, 4)
    assert answer.reset_at == limiter.clock.now() + timedelta(seconds=WHOLE)
    assert answer.retry_after == 0.0


async def test_a_cost_is_consumed_whole_or_not_at_all(limiter: Limits) -> None:
    assert (await limiter.limits.check(request(10, cost=7))).remaining == 3
    assert not (await limiter.limits.check(request(10, cost=4))).allowed
    assert (await limiter.limits.check(request(10, cost=3))).allowed
    refused = await limiter.limits.check(request(10, cost=11))
    assert (refused.verdict, refused.retry_after > 0) == (Verdict.DENIED, True)


async def test_the_wait_it_names_is_the_shortest_that_is_enough(limiter: Limits) -> None:
    for _ in range(4):
        assert (await limiter.limits.check(request(4))).allowed
        await limiter.wait(7.1)
    refused = await limiter.limits.check(request(4))
    assert refused.reset_at == limiter.clock.now() + timedelta(seconds=refused.retry_after)
    await limiter.wait(refused.retry_after - 0.001)
    assert not (await limiter.limits.check(request(4))).allowed
    await limiter.wait(0.001)
    assert (await limiter.limits.check(request(4))).allowed


async def test_one_tenant_does_not_count_for_another(limiter: Limits) -> None:
    await fill(limiter.limits, request(2, tenant="a"), 2)
    assert not (await limiter.limits.check(request(2, tenant="a"))).allowed
    assert (await limiter.limits.check(request(2, tenant="b"))).allowed


async def test_status_consumes_nothing(limiter: Limits) -> None:
    await fill(limiter.limits, request(5, 9), 2)
    for _ in range(3):
        status = await limiter.limits.status(request(5, 9, provider=True, line=True))
        assert [(level.limit, level.used) for level in status.levels] == [(5, 2), (9, 2)]
    assert (status.provider.multiplier, status.provider.closed_until) == (1.0, None)


async def test_a_charge_counts_whatever_the_limit(limiter: Limits) -> None:
    await limiter.limits.charge({"{t}:0": 9})
    assert await used(limiter, 5) == [9]
    assert not (await limiter.limits.check(request(5))).allowed
    await limiter.wait(WHOLE)
    assert (await limiter.limits.check(request(5))).allowed


@pytest.mark.parametrize(
    ("remaining", "multiplier", "limit"), [(5, 0.5, 4), (20, 0.75, 6), (30, 0.75, 6), (31, 1.0, 8)]
)
async def test_a_quota_shrinks_the_first_level_for_a_while(
    limiter: Limits, remaining: int, multiplier: float, limit: int
) -> None:
    await limiter.limits.observe("{t}:provider", Quota(limit=100, remaining=remaining))
    status = await limiter.limits.status(request(8, 8, provider=True))
    assert status.provider.multiplier == multiplier
    assert [level.limit for level in status.levels] == [limit, 8]
    assert sum(a.allowed for a in await fill(limiter.limits, request(8, 8, provider=True), 9)) == limit
    await limiter.wait(300)
    assert (await limiter.limits.status(request(8, provider=True))).levels[0].limit == 8


async def test_a_multiplier_ends_with_the_provider_s_own_period(limiter: Limits) -> None:
    reset = limiter.clock.now() + timedelta(seconds=20)
    await limiter.limits.observe("{t}:provider", Quota(limit=100, remaining=1, reset_at=reset))
    assert (await limiter.limits.status(request(8, provider=True))).levels[0].limit == 4
    await limiter.wait(20)
    assert (await limiter.limits.status(request(8, provider=True))).levels[0].limit == 8


async def test_a_limit_never_shrinks_to_nothing(limiter: Limits) -> None:
    await limiter.limits.observe("{t}:provider", Quota(limit=100, remaining=1))
    assert (await limiter.limits.check(request(1, provider=True))).allowed


async def test_what_the_provider_closed_stays_closed_until_then(limiter: Limits) -> None:
    assert await limiter.limits.observe("{t}:provider", Quota(retry_after=30)) == 30
    refused = await limiter.limits.check(request(8, provider=True))
    assert (refused.verdict, refused.reason, refused.retry_after) == (Verdict.DENIED, Reason.CLOSED, 30)
    await limiter.wait(10)
    assert await limiter.limits.observe("{t}:provider", Quota(retry_after=5)) == 20, "the longer one stands"
    status = await limiter.limits.status(request(8, provider=True))
    assert status.provider.closed_until == limiter.clock.now() + timedelta(seconds=20)
    assert await used(limiter, 8) == [0]
    await limiter.wait(20)
    assert (await limiter.limits.check(request(8, provider=True))).allowed


async def test_an_empty_quota_is_closed_until_it_is_whole(limiter: Limits) -> None:
    reset = limiter.clock.now() + timedelta(seconds=45)
    await limiter.limits.observe("{t}:provider", Quota(limit=100, remaining=0, reset_at=reset))
    assert (await limiter.limits.check(request(8, provider=True))).reset_at == reset
    await limiter.wait(45)
    assert (await limiter.limits.check(request(8, provider=True))).allowed


@pytest.mark.parametrize("far", [Quota(retry_after=9e8), Quota(limit=100, remaining=0)])
async def test_nobody_is_closed_for_longer_than_a_day(limiter: Limits, far: Quota) -> None:
    """A provider's clock may be years ahead, or its header in another unit."""
    reset = limiter.clock.now() + timedelta(days=30_000)
    closed_for = await limiter.limits.observe("{t}:provider", replace(far, reset_at=reset))
    assert closed_for == LONGEST_CLOSED_SECONDS
    await limiter.wait(LONGEST_CLOSED_SECONDS)
    assert (await limiter.limits.check(request(8, provider=True))).allowed


async def test_failures_in_a_row_open_the_breaker_and_one_call_probes(limiter: Limits) -> None:
    limits, wanted = limiter.limits, request(1000, provider=True, work="w")
    assert [await limits.failed("{t}:provider") for _ in range(3)] == [None, None, 5.0]
    refused = await limits.check(wanted)
    assert (refused.verdict, refused.reason, refused.suspect) == (Verdict.DENIED, Reason.CIRCUIT, True)
    assert await limits.failed("{t}:provider") is None, "of a call that was under way"
    await limiter.wait(5)
    assert [a.allowed for a in await fill(limits, wanted, 3)] == [True, False, False]
    await limiter.wait(BREAKER.probe_seconds)
    assert (await limits.check(wanted)).allowed, "of a probe nothing was heard: another one"
    for seconds in (10.0, 20.0, 20.0):
        assert await limits.failed("{t}:provider") == seconds
        await limiter.wait(seconds)
    assert (await limits.check(wanted)).allowed
    await limits.succeeded("{t}:provider")
    answers = await fill(limits, wanted, 3)
    assert [(a.allowed, a.suspect) for a in answers] == [(True, False)] * 3


async def test_a_success_in_between_forgets_the_failures(limiter: Limits) -> None:
    for _ in range(3):
        await limiter.limits.failed("{t}:provider")
        await limiter.limits.failed("{t}:provider")
        assert (await limiter.limits.check(request(9, provider=True))).suspect
        await limiter.limits.succeeded("{t}:provider")
    assert (await limiter.limits.check(request(9, provider=True))).allowed


async def test_what_waits_has_a_place_and_what_does_not_is_denied(limiter: Limits) -> None:
    await fill(limiter.limits, request(1), 1)
    assert (await limiter.limits.check(request(1))).verdict is Verdict.DENIED
    assert (await limiter.limits.check(request(1, line=True))).verdict is Verdict.DENIED
    queued = [await limiter.limits.check(request(1, work=f"w{n}")) for n in range(3)]
    assert [answer.verdict for answer in queued] == [Verdict.QUEUED] * 3
    waits = [answer.retry_after for answer in queued]
    assert waits == pytest.approx([waits[0], waits[0] + 60, waits[0] + 120])
    again = await limiter.limits.check(request(1, work="w1"))
    assert again.retry_after == pytest.approx(waits[1]), "it keeps its place"
    status = await limiter.limits.status(request(1, line=True))
    assert status.waiting == {Priority.HIGH: 0, Priority.NORMAL: 3, Priority.LOW: 0}


async def test_the_urgent_go_first(limiter: Limits) -> None:
    limits = limiter.limits
    await fill(limits, request(2), 2)
    low = await limits.check(request(2, work="low", priority=Priority.LOW))
    high = await limits.check(request(2, work="high", priority=Priority.HIGH))
    assert high.retry_after <= low.retry_after
    await limiter.wait(high.retry_after)
    assert (await limits.check(request(2, work="later", priority=Priority.HIGH))).allowed
    turned_away = await limits.check(request(2, line=True, priority=Priority.NORMAL))
    assert (turned_away.verdict, turned_away.reason) == (Verdict.DENIED, Reason.TURN)
    assert (await limits.check(request(2, work="high", priority=Priority.HIGH))).allowed


async def test_a_place_nobody_comes_back_for_lapses(limiter: Limits) -> None:
    await fill(limiter.limits, request(1), 1)
    high = await limiter.limits.check(request(1, work="high", priority=Priority.HIGH))
    await limiter.wait(high.retry_after + 5.001)
    assert (await limiter.limits.check(request(1, work="low", priority=Priority.LOW))).allowed
    assert sum((await limiter.limits.status(request(1, line=True))).waiting.values()) == 0


async def test_the_line_is_bounded(limiter: Limits) -> None:
    await fill(limiter.limits, request(1), 1)
    places = [
        await limiter.limits.check(request(1, work=f"w{n}", priority=list(Priority)[n % 3], capacity=6))
        for n in range(6)
    ]
    assert {place.verdict for place in places} == {Verdict.QUEUED}
    too_many = await limiter.limits.check(request(1, work="w6", priority=Priority.HIGH, capacity=6))
    assert (too_many.verdict, too_many.overflow) == (Verdict.DENIED, True)
    back = await limiter.limits.check(request(1, work="w3", priority=Priority.HIGH, capacity=6))
    assert back.verdict is Verdict.QUEUED, "who has a place keeps it"


async def test_ten_thousand_may_wait(limiter: Limits) -> None:
    await fill(limiter.limits, request(1_000_000, cost=1_000_000), 1)
    wanted = [request(1_000_000, work=f"w{n}") for n in range(10_001)]
    answers = []
    for start in range(0, len(wanted), 500):
        answers += await asyncio.gather(*map(limiter.limits.check, wanted[start : start + 500]))
    verdicts = [answer.verdict for answer in answers]
    assert verdicts == [Verdict.QUEUED] * 10_000 + [Verdict.DENIED]
    assert answers[-1].overflow
    assert (await limiter.limits.status(request(1_000_000, line=True))).waiting[Priority.NORMAL] == 10_000


@pytest.mark.parametrize("back", [1.0, 2.0, 10.0, 3600.0])
async def test_a_clock_that_steps_back_neither_opens_a_window_nor_holds_it_for_longer(
    limiter: Limits, back: float
) -> None:
    assert all(a.allowed for a in await fill(limiter.limits, request(3), 3))
    await limiter.wait(-back)
    refused = await limiter.limits.check(request(3))
    assert not refused.allowed
    assert refused.retry_after <= WHOLE + min(back, 2.0)
    for _ in range(6):
        await limiter.wait(refused.retry_after / 6 - 0.01)
        assert not (await limiter.limits.check(request(3))).allowed
    await limiter.wait(0.07)
    assert (await limiter.limits.check(request(3))).allowed
