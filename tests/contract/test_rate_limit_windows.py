"""In no 60-second window are more let through than the limit: thousands of random schedules against a plain model.

The script of Redis runs a whole schedule inside Redis: the same text, with the time as an argument in place of the
server's clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from redis import Redis

from castiel.azure import limit_scripts as scripts
from castiel.domain.limits import LimitDecision
from castiel.domain.sliding_window import SLICE_MS
from castiel.services.local_limits import LocalRateLimits
from infra.local.process import ServerProcess
from tests.support.limits import START_MS, MillisecondClock, request

WINDOW_MS = 60_000
SCHEDULES = 3_000
STEPS = 60

RUN_ALL = f"""
local function decide(KEYS, ARGV, NOW)
{scripts.decide("NOW")}
end
local answers = {{}}
for step in ARGV[1]:gmatch('[^;]+') do
  local now, numbers = step:match('^(%d+) (.+)$')
  answers[#answers + 1] = decide(KEYS, {{numbers, '', '', 'memory'}}, tonumber(now))
end
return answers
"""


@dataclass(frozen=True)
class Schedule:
    """Calls at one or two levels: when (ms, in order) and at what cost."""

    limits: tuple[int, ...]
    calls: tuple[tuple[int, int], ...]


def schedule(chance: random.Random) -> Schedule:
    """Bursts, trickles and pauses around the length of a window, so that its edges are met often."""
    limits = tuple(chance.choice((1, 2, 3, 7, 20)) for _ in range(chance.choice((1, 1, 2))))
    pauses = (0, 0, 0, 1, 17, 249, 250, 251, 1_000, 9_999, 29_875, 59_749, 59_999, 60_000, 60_250, 61_000)
    now, calls = START_MS + chance.randrange(60_000), []
    for _ in range(STEPS):
        now += chance.choice(pauses) if chance.random() < 0.7 else chance.randrange(5_000)
        calls.append((now, chance.choice((1, 1, 1, 1, 2, 5))))
    return Schedule(limits, tuple(calls))


def check_model(planned: Schedule, allowed: Sequence[bool]) -> None:
    """The plain model: add up every window that begins with a call."""
    let_through = [call for call, passed in zip(planned.calls, allowed, strict=True) if passed]
    for begin, _ in let_through:
        inside = sum(cost for at, cost in let_through if begin <= at < begin + WINDOW_MS)
        assert inside <= min(planned.limits)
    # And nothing is refused that fits, but for the slice that a call may count for longer.
    past: list[tuple[int, int]] = []
    for (at, cost), passed in zip(planned.calls, allowed, strict=True):
        counted = sum(each for when, each in past if when > at - WINDOW_MS - SLICE_MS)
        assert passed or counted + cost > min(planned.limits)
        if passed:
            past.append((at, cost))


async def run_locally(planned: Schedule) -> list[LimitDecision]:
    clock = MillisecondClock()
    limits = LocalRateLimits(clock)
    answers = []
    for at, cost in planned.calls:
        clock.milliseconds = at
        answers.append(await limits.check(request(*planned.limits, cost=cost)))
    return answers


def run_in_redis(run_all: object, client: Redis, planned: Schedule) -> list[list[str]]:
    client.flushdb()
    limits = " ".join(map(str, planned.limits))
    steps = ";".join(f"{at} {cost} {len(planned.limits)} 0 30000 0 0 {limits}" for at, cost in planned.calls)
    keys = [f"window-{number}" for number in range(len(planned.limits))]
    answers = run_all(keys=[*keys, "memory"], args=[steps])  # type: ignore[operator]
    return [answer.split(" ") for answer in answers]


@pytest.fixture(scope="module")
def client() -> Iterator[Redis]:
    with (
        ServerProcess("redis") as server,
        Redis.from_url(server.ready["url"], decode_responses=True) as client,
    ):
        yield client


async def test_no_window_holds_more_than_the_limit() -> None:
    chance = random.Random(20251210)
    for _ in range(SCHEDULES):
        planned = schedule(chance)
        check_model(planned, [answer.allowed for answer in await run_locally(planned)])


@pytest.mark.stack
@pytest.mark.slow
async def test_redis_decides_number_for_number_as_the_local_limiter(client: Redis) -> None:
    chance = random.Random(7)
    run_all = client.register_script(RUN_ALL)
    let_through = refused = 0
    for _ in range(SCHEDULES):
        planned = schedule(chance)
        in_redis = run_in_redis(run_all, client, planned)
        check_model(planned, [answer[0] == "0" for answer in in_redis])
        locally = await run_locally(planned)
        for answer, decision in zip(in_redis, locally, strict=True):
            wait = round(decision.retry_after * 1000)
            numbers = (wait, decision.remaining, decision.limit)
            assert (int(answer[0]), int(answer[3]), int(answer[6])) == numbers
            if decision.allowed:
                assert int(answer[5]) == decision.used
                let_through += 1
            else:
                refused += 1
    assert min(let_through, refused) > SCHEDULES, "the schedules meet their limits, and not always"


@pytest.mark.stack
def test_a_key_takes_the_same_memory_at_any_limit(client: Redis) -> None:
    run_all, sizes = client.register_script(RUN_ALL), set()
    for limit in (10, 1_000, 100_000):
        calls = tuple((START_MS + SLICE_MS * n, max(1, limit // 240)) for n in range(240))
        answers = run_in_redis(run_all, client, Schedule((limit,), calls))
        assert answers[5][0] == "0"
        sizes.add(client.memory_usage("window-0"))
    assert max(sizes) <= 1_200, sizes
