"""The local Redis server: what Castiel needs of it, kept across a kill, and ended with its keeper."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis

from infra.local.process import ServerFailedError, ServerProcess

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("redis") as started:
        yield started


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[redis.Redis]:
    async with redis.from_url(server.ready["url"], decode_responses=True) as connected:
        yield connected


async def test_scripts_run_with_the_servers_clock_and_json(client: redis.Redis) -> None:
    script = client.register_script("return cjson.encode({redis.call('TIME')[1], KEYS[1], ARGV[1]})")
    answer = await script(keys=["key"], args=["value"])
    assert answer.endswith('"key","value"]')
    assert abs(int(answer.split('"')[1]) - time.time()) < 5


async def test_keys_expire(client: redis.Redis) -> None:
    await client.set("short", "lived", px=30)
    deadline = time.monotonic() + 2
    while await client.get("short") is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    with ServerProcess("redis", data=tmp_path) as kept:
        async with redis.from_url(kept.ready["url"]) as before:
            await asyncio.gather(*(before.incr("count") for _ in range(50)))
        kept.kill()
        kept.restart()
        async with redis.from_url(kept.ready["url"]) as after:
            assert await after.get("count") == b"50"


def test_the_server_ends_when_its_keeper_is_killed() -> None:
    keeper = ServerProcess("redis")
    keeper.start()
    assert keeper.pid is not None
    os.kill(keeper.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _listens(keeper.port):
        assert time.monotonic() < deadline, "the Redis server outlived its keeper"
        time.sleep(0.02)
    keeper.stop()


def test_an_existing_server_is_used_and_left_running(server: ServerProcess) -> None:
    with ServerProcess("redis", arguments=["--existing", server.ready["url"]]) as stand_in:
        assert stand_in.ready["url"] == server.ready["url"]
    assert _listens(server.port)


def test_an_existing_server_that_is_not_there_is_said() -> None:
    stand_in = ServerProcess("redis", arguments=["--existing", "redis://127.0.0.1:1/0"])
    with pytest.raises(ServerFailedError, match="no Redis answers"):
        stand_in.start()


def _listens(port: int) -> bool:

    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
