"""IntegrationRateLimiter over the local limiter: whose limit holds, what is told, and how a caller waits."""

from __future__ import annotations

import asyncio

import pytest

from castiel.domain.connections import Connection
from castiel.domain.limits import LimitCheck, LimitRequest, Line, Reason, Verdict
from castiel.domain.quota import Quota
from castiel.domain.tasks import Priority
from castiel.errors import CircuitOpen, InvalidInput, RateLimited
from castiel.services.local_limits import LocalRateLimits
from castiel.services.provider_gate import JITTER, ProviderGate
from castiel.services.rate_limiter import IntegrationRateLimiter
from tests.support.fakes.coordination import MemoryEvents, YieldingClock
from tests.support.rate_limiter import MemoryLimits, rate_limiter

TENANT = "tenant-1"


class Bench:
    """One limiter."""

    def __init__(self, chance: float | None = None) -> None:
        self.clock = YieldingClock(chance=chance)
        self.limits = LocalRateLimits(self.clock)
        parts: tuple[IntegrationRateLimiter, MemoryEvents, MemoryLimits] = rate_limiter(
            self.limits, self.clock
        )
        self.limiter, self.events, self.store = parts

    async def let_through(self, operation: str, asked: int, of: Connection | None = None) -> int:
        answers = [
            await self.limiter.check_rate_limit(TENANT, "slack", operation, of, work="w")
            for _ in range(asked)
        ]
        return sum(answer.allowed for answer in answers)

    def told(self) -> list[str]:
        return [str(event.data["alert"]) for event in self.events.published]


def connection(**rate_limits: int) -> Connection:
    return Connection(
        id="conn-1",
        tenant_id=TENANT,
        integration_id="slack",
        credential_id="cred-1",
        rate_limits=rate_limits,
    )


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("integration", "operation", "limit"),
    [
        ("slack", "fetch", 60),
        ("github", "delete", 50),
        ("github", "create", 100),
        ("unheard-of", "fetch", 60),
    ],
)
async def test_the_defaults_are_the_brief_s(
    bench: Bench, integration: str, operation: str, limit: int
) -> None:
    answers = [
        await bench.limiter.check_rate_limit(TENANT, integration, operation, work="w")
        for _ in range(limit + 1)
    ]
    assert [answer.allowed for answer in answers] == [True] * limit + [False]
    safe_later = operation in ("fetch", "create")
    assert answers[-1].verdict is (Verdict.QUEUED if safe_later else Verdict.DENIED)


async def test_a_tenant_s_limit_holds_across_its_integrations(bench: Bench) -> None:
    await bench.limiter.overrides.set(TENANT, "tenant", 3)
    for integration in ("slack", "github", "slack"):
        assert (await bench.limiter.check_rate_limit(TENANT, integration, "fetch")).allowed
    assert not (await bench.limiter.check_rate_limit(TENANT, "github", "update")).allowed
    assert (await bench.limiter.check_rate_limit("tenant-2", "github", "update")).allowed


async def test_an_override_takes_effect_without_a_restart_and_is_taken_back(bench: Bench) -> None:
    limiter = bench.limiter
    assert await bench.let_through("fetch", 1) == 1
    # Another instance writes it; this one looks again after 30 s.
    other = rate_limiter(bench.limits, bench.clock, bench.store)[0]
    await other.overrides.set(TENANT, "slack", 5)
    assert (await limiter.status(TENANT, "slack")).levels[0].limit == 60
    bench.clock.advance(31)
    assert (await limiter.status(TENANT, "slack")).levels[0].limit == 5
    assert (await other.status(TENANT, "slack")).levels[0].limit == 5, "whoever wrote it knows at once"
    await limiter.overrides.reset(TENANT, "slack")
    assert (await limiter.status(TENANT, "slack")).levels[0].limit == 60


async def test_the_narrowest_word_counts(bench: Bench) -> None:
    await bench.limiter.overrides.set(TENANT, "slack", 50)
    await bench.limiter.overrides.set(TENANT, "fetch", 40)
    status = await bench.limiter.status(TENANT, "slack", connection(fetch=7, tenant=9))
    limits = {level.key.rsplit(":", 1)[1]: level.limit for level in status.levels}
    assert limits == {"slack": 50, "fetch": 7, "update": 150, "create": 100, "delete": 50, "tenant": 9}
    await bench.limiter.overrides.reset(TENANT)
    status = await bench.limiter.status(TENANT, "slack")
    assert {level.limit for level in status.levels} == {60, 200, 150, 100, 50, 5000}


async def test_overrides_survive_a_race_and_a_store_that_is_down(bench: Bench) -> None:
    bench.store.conflicts = 2
    await bench.limiter.overrides.set(TENANT, "webhook", 5)
    bench.clock.advance(31)
    bench.store.down = True
    answers = [await bench.limiter.check_webhook("wh-1", tenant_id=TENANT) for _ in range(6)]
    assert [answer.allowed for answer in answers] == [True] * 5 + [False]


async def test_those_who_come_while_a_tenant_s_limits_are_first_read_get_no_default(bench: Bench) -> None:
    await rate_limiter(bench.limits, bench.clock, bench.store)[0].overrides.set(TENANT, "slack", 5)
    answers = await asyncio.gather(
        *(bench.limiter.check_rate_limit(TENANT, "slack", "delete") for _ in range(20))
    )
    assert sum(answer.allowed for answer in answers) == 5
    assert bench.store.reads == 2, "one of them was by whoever set it"


async def test_the_store_is_read_once_in_thirty_seconds(bench: Bench) -> None:
    for _ in range(50):
        await bench.let_through("delete", 1)
    assert bench.store.reads == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("slack", 0, "from 1 on"), ("slack", 10_000_001, "from 1 on"), ("nobody", 5, "'nobody'")],
)
async def test_an_override_that_is_none_is_refused(bench: Bench, name: str, value: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        await bench.limiter.overrides.set(TENANT, name, value)


async def test_a_limit_is_told_of_at_80_percent_and_when_it_is_met_once_a_minute(bench: Bench) -> None:
    assert await bench.let_through("fetch", 47) == 47
    assert bench.told() == []
    assert await bench.let_through("fetch", 20) == 13
    assert bench.told() == ["rate_limit_approaching", "rate_limit_exceeded"]
    event = bench.events.published[1]
    assert (event.type, event.subject, event.tenant_id) == (
        "castiel.ratelimit.alert",
        "limits/tenant-1/slack",
        TENANT,
    )
    assert (event.data["used"], event.data["limit"]) == (60, 60)
    bench.clock.advance(61)
    await bench.let_through("fetch", 61)
    assert bench.told().count("rate_limit_exceeded") == 2


async def test_an_overflowing_line_and_a_throttling_provider_are_told_of(bench: Bench) -> None:
    account = connection(integration=1)
    await bench.limiter.observe(account, Quota(retry_after=12.0))
    await bench.limiter.observe(account, Quota(retry_after=12.0))
    assert bench.told() == ["rate_limit_provider_throttled"]
    assert bench.events.published[0].data["retryAfter"] == 12.0
    bench.clock.advance(13)
    assert await bench.let_through("fetch", 1, account) == 1
    for number in range(10_000):
        await bench.limits.check(_place(f"other-{number}"))
    assert await bench.let_through("fetch", 1, account) == 0
    assert "rate_limit_queue_overflow" in bench.told()


def _place(work: str) -> LimitRequest:
    key = "{tenant-1}:slack"
    return LimitRequest((LimitCheck(key, 1),), 1, None, Line(key, work))


async def test_a_quota_that_says_the_same_again_is_not_passed_on(bench: Bench) -> None:
    calls: list[str] = []
    observe = bench.limits.observe

    async def counted(key: str, quota: Quota) -> float:
        calls.append(key)
        return await observe(key, quota)

    bench.limits.observe = counted  # type: ignore[method-assign]
    for remaining in (80, 79, 78):
        await bench.limiter.observe(connection(), Quota(limit=100, remaining=remaining))
    assert len(calls) == 1
    await bench.limiter.observe(connection(), Quota(limit=100, remaining=5))
    await bench.limiter.observe(connection(), Quota(retry_after=1.0))
    bench.clock.advance(31)
    await bench.limiter.observe(connection(), Quota(limit=100, remaining=5))
    assert len(calls) == 4


def gate(bench: Bench, *, patience: float = 5.0, work: str | None = None, **limits: int) -> ProviderGate:
    return ProviderGate(
        bench.limiter, connection(**limits), bench.clock, patience=patience, work=work, priority=Priority.HIGH
    )


async def test_a_short_wait_is_waited_for(bench: Bench) -> None:
    await bench.limiter.observe(connection(), Quota(retry_after=3.0))
    await gate(bench).acquire("fetch")
    assert sum(bench.clock.slept) == pytest.approx(3.0, rel=JITTER)


async def test_a_long_wait_is_the_caller_s_to_decide(bench: Bench) -> None:
    await bench.limiter.observe(connection(), Quota(retry_after=30.0))
    with pytest.raises(RateLimited) as caught:
        await gate(bench).acquire("fetch")
    assert 30.0 <= (caught.value.retry_after or 0) <= 30.0 * (1 + JITTER)
    assert bench.clock.slept == []


async def test_those_who_wait_for_the_same_moment_do_not_wake_together() -> None:
    waits = set()
    for chance in (0.0, 0.25, 0.5, 0.99):
        bench = Bench(chance)
        await bench.limiter.observe(connection(), Quota(retry_after=4.0))
        await gate(bench).acquire("fetch")
        waits.add(bench.clock.slept[0])
    assert min(waits) == 4.0, "never before the provider wants it"
    assert len(waits) == 4


async def test_a_broken_connection_costs_the_others_nothing(bench: Bench) -> None:
    broken = gate(bench)
    for _ in range(5):
        await broken.acquire("fetch")
        await broken.failed()
    with pytest.raises(CircuitOpen) as caught:
        await broken.acquire("fetch")
    assert (caught.value.retry_after or 0) > 0
    other = Connection(id="conn-2", tenant_id=TENANT, integration_id="slack", credential_id="c")
    healthy = ProviderGate(bench.limiter, other, bench.clock)
    await healthy.acquire("fetch")
    bench.clock.advance(6)
    await broken.acquire("fetch")
    await broken.succeeded()
    for _ in range(4):
        await broken.failed()
    await broken.acquire("fetch")


async def test_another_gate_s_success_closes_the_breaker_too(bench: Bench) -> None:
    for _ in range(3):
        await gate(bench).failed()
    fresh = gate(bench)
    await fresh.acquire("fetch")
    await fresh.succeeded()
    status = await bench.limiter.status(TENANT, "slack", connection())
    assert status.provider.failures == 0


async def test_a_webhook_s_own_limit_goes_before_its_tenant_s(bench: Bench) -> None:
    await bench.limiter.overrides.set(TENANT, "webhook", 4)
    own = [await bench.limiter.check_webhook("wh-1", 2, tenant_id=TENANT) for _ in range(3)]
    other = [await bench.limiter.check_webhook("wh-2", tenant_id=TENANT) for _ in range(5)]
    default = [await bench.limiter.check_webhook("wh-3") for _ in range(101)]
    assert [sum(a.allowed for a in answers) for answers in (own, other, default)] == [2, 4, 100]
    assert own[-1].reason is Reason.LIMIT
    assert own[-1].retry_after > 0
