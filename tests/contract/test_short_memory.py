"""Claims and the memory of full passes: what they promise, in memory and on Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from castiel.azure.redis_client import build_client
from castiel.azure.redis_memory import RedisClaims, RedisSeenRecords
from castiel.errors import CacheUnavailable
from castiel.ports.clock import SystemClock
from castiel.ports.short_memory import Claims, SeenRecords
from infra.local.process import ServerProcess
from tests.support.fakes.short_memory import MemoryClaims, MemorySeenRecords


@dataclass(frozen=True)
class Memory:
    claims: Claims
    seen: SeenRecords


@pytest.fixture(scope="module")
def redis_server() -> Iterator[ServerProcess]:
    with ServerProcess("redis") as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.stack)])
async def memory(request: pytest.FixtureRequest) -> AsyncIterator[Memory]:
    if request.param == "memory":
        clock = SystemClock()
        yield Memory(MemoryClaims(clock), MemorySeenRecords(clock))
        return
    client = build_client(request.getfixturevalue("redis_server").ready["url"])
    yield Memory(RedisClaims(client), RedisSeenRecords(client))
    await client.aclose()
    await client.connection_pool.disconnect()


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


async def test_the_first_claim_stands(memory: Memory, name: str) -> None:
    claim = memory.claims.claim
    assert await claim(name, {"a": ["k1", "k2"], "b": ["k2", "k3"]}, seconds=10) == {"a": set(), "b": set()}
    assert await claim(name, {"c": ["k0", "k1"], "d": ["k4"]}, seconds=10) == {"c": {"a"}, "d": set()}
    assert await claim(name, {"e": ["k0", "k3"]}, seconds=10) == {"e": {"b", "c"}}
    assert await claim(name, {"a": ["k1"]}, seconds=10) == {"a": set()}
    assert await claim(f"{name}-other", {"x": ["k1"]}, seconds=10) == {"x": set()}
    assert await claim(name, {"y": []}, seconds=10) == {"y": set()}


async def test_of_two_at_once_exactly_one_is_first(memory: Memory, name: str) -> None:
    keys = [f"k{n}" for n in range(12)]
    for attempt in range(20):
        one, other = await asyncio.gather(
            memory.claims.claim(f"{name}-{attempt}", {"a": keys}, seconds=10),
            memory.claims.claim(f"{name}-{attempt}", {"b": keys[::-1]}, seconds=10),
        )
        assert sorted([one["a"], other["b"]], key=len) in ([set(), {"a"}], [set(), {"b"}])


async def test_a_claim_ends(memory: Memory, name: str) -> None:
    await memory.claims.claim(name, {"a": ["k"]}, seconds=0.05)
    deadline = asyncio.get_running_loop().time() + 5
    while await memory.claims.claim(name, {"b": ["k"]}, seconds=5) != {"b": set()}:
        assert asyncio.get_running_loop().time() < deadline


async def test_what_was_seen_is_never_unseen(memory: Memory, name: str) -> None:
    ids = [f"id-{n}" for n in range(3000)]
    await memory.seen.begin(name, expected=3000, seconds=10)
    for start in range(0, 3000, 500):
        assert await memory.seen.add(name, ids[start : start + 500], seconds=10)
    assert await memory.seen.unseen(name, ids, seconds=10) == set()
    others = [f"other-{n}" for n in range(3000)]
    unseen = await memory.seen.unseen(name, others, seconds=10)
    assert unseen is not None
    assert len(unseen) > 2950  # one in hundreds may be taken for seen


async def test_without_any_id_nothing_was_seen(memory: Memory, name: str) -> None:
    await memory.seen.begin(name, expected=0, seconds=10)
    assert await memory.seen.add(name, [], seconds=10)
    assert await memory.seen.unseen(name, ["ünïcode", "b"], seconds=10) == {"ünïcode", "b"}


async def test_a_memory_that_is_gone_says_so_and_does_not_begin_again_by_itself(
    memory: Memory, name: str
) -> None:
    assert not await memory.seen.add(name, ["a"], seconds=10)
    assert await memory.seen.unseen(name, ["a"], seconds=10) is None
    await memory.seen.begin(name, expected=10, seconds=10)
    await memory.seen.add(name, ["a"], seconds=10)
    await memory.seen.forget(name)
    assert not await memory.seen.add(name, ["b"], seconds=10)
    assert await memory.seen.unseen(name, ["a"], seconds=10) is None


async def test_begun_again_it_is_empty(memory: Memory, name: str) -> None:
    await memory.seen.begin(name, expected=10, seconds=10)
    await memory.seen.add(name, ["a"], seconds=10)
    await memory.seen.begin(name, expected=10, seconds=10)
    assert await memory.seen.unseen(name, ["a"], seconds=10) == {"a"}


@pytest.mark.stack
async def test_redis_gone_is_castiels_own_error(redis_server: ServerProcess) -> None:
    client = build_client("redis://127.0.0.1:1")
    with pytest.raises(CacheUnavailable):
        await RedisClaims(client).claim("s", {"a": ["k"]}, seconds=1)
    with pytest.raises(CacheUnavailable):
        await RedisSeenRecords(client).begin("s", expected=1, seconds=1)
    await client.aclose()
    await client.connection_pool.disconnect()
