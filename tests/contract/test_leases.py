"""Leases on Redis: whoever can't reach it any more stops before somebody else may begin."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from castiel.azure.redis_client import RedisLeases, build_client
from castiel.errors import LeaseHeld
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
