"""Leases on Redis: whoever can't reach it any more stops before somebody else may begin."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from annotated_types import Le

from castiel.azure.redis_client import FENCE_SECONDS, RedisLeases, build_client
from castiel.errors import LeaseHeld
from castiel.settings import Settings
from infra.local.process import ServerProcess
from infra.local.session import until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with ServerProcess("redis") as server:
        yield str(server.ready["url"])


@asynccontextmanager
async def leases_at(url: str) -> AsyncIterator[RedisLeases]:
    client = build_client(url)
    try:
        yield RedisLeases(client)
    finally:
        await client.aclose()
        await client.connection_pool.disconnect()


class Wire:
    """A way to a server that may fall silent: nothing is refused, nothing arrives."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self.silent = False
        self.url = ""

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._to._replace(netloc=f"127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            back.close()
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.silent:
                writer.write(data)
        writer.close()


async def test_one_holds_it_and_the_next_has_a_higher_fence(redis_url: str) -> None:
    name = uuid.uuid4().hex
    async with leases_at(redis_url) as one, leases_at(redis_url) as other:
        async with one.hold(name, seconds=30) as first:
            with pytest.raises(LeaseHeld):
                async with other.hold(name, seconds=30):
                    pass
        async with other.hold(name, seconds=30) as second:
            assert second.fence > first.fence


async def fence_of(leases: RedisLeases, name: str) -> int:
    """Take the lease for a moment."""
    async with leases.hold(name, seconds=30) as lease:
        return lease.fence


async def test_fences_are_remembered_for_an_hour_and_longer_than_anybody_works(redis_url: str) -> None:
    name = uuid.uuid4().hex
    async with leases_at(redis_url) as leases:
        fence = await fence_of(leases, name)
        [key] = await leases._redis.keys(f"*{name}*")
        assert await leases._redis.get(key) == str(fence)
        assert FENCE_SECONDS - 60 < await leases._redis.ttl(key) <= FENCE_SECONDS == 3600
    longest = sum(
        bound.le
        for setting in ("sync_time_budget_seconds", "sync_lease_seconds")
        for bound in Settings.model_fields[setting].metadata
        if isinstance(bound, Le)
    )
    assert 0 < longest < FENCE_SECONDS


async def test_fences_of_one_moment_and_after_a_clock_was_set_back_go_up_by_one(redis_url: str) -> None:
    name = uuid.uuid4().hex
    async with leases_at(redis_url) as leases:
        before = await fence_of(leases, name)
        [key] = await leases._redis.keys(f"*{name}*")
        ahead = before + 45 * 60 * 1000
        await leases._redis.set(key, ahead, keepttl=True)
        assert [await fence_of(leases, name) for _ in range(50)] == list(range(ahead + 1, ahead + 51))


async def test_fences_go_up_when_the_last_one_is_forgotten(redis_url: str) -> None:
    name = uuid.uuid4().hex
    async with leases_at(redis_url) as leases:
        before = await fence_of(leases, name)
        await leases._redis.delete(*await leases._redis.keys(f"*{name}*"))
        seconds, microseconds = await leases._redis.time()
        clock = seconds * 1000 + microseconds // 1000
        assert before <= clock <= await fence_of(leases, name), "the clock of Redis gives it"


async def test_who_hears_nothing_of_redis_stops_before_the_lease_ends(redis_url: str) -> None:
    name = uuid.uuid4().hex
    async with (
        Wire(redis_url) as wire,
        leases_at(wire.url) as cut_off,
        leases_at(redis_url) as others,
        cut_off.hold(name, seconds=6) as lease,
    ):
        wire.silent = True

        async def is_lost() -> bool:
            return lease.lost

        await until(is_lost, "the lease counts as lost", every=0.02)
        assert await others.is_held(name)
