"""Redis: one client per process, its failures as Castiel's errors, leases and marks."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from castiel.errors import CacheUnavailable, LeaseHeld
from castiel.ports.coordination import Lease

logger = logging.getLogger(__name__)


def build_client(url: str, *, max_connections: int = 50, credential_provider: Any = None) -> Redis:
    """The client of this process. A blocking pool: a burst waits for a connection instead of failing."""
    extra = {"credential_provider": credential_provider} if credential_provider else {}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=5,
        socket_connect_timeout=3,
        socket_timeout=5,
        decode_responses=True,
        health_check_interval=30,
        **extra,
    )
    return Redis(connection_pool=pool)


async def guarded(call: Any) -> Any:
    """Await a Redis call (the client types them as sync or async); raise Castiel's error instead of the client's."""
    try:
        return await call
    except (RedisError, OSError, TimeoutError) as error:
        raise CacheUnavailable(f"Redis: {type(error).__name__}") from error


FENCE_SECONDS = 3600
"""How long a lease's last fence is remembered: longer than anybody may hold the lease.

A fence is the time of Redis' clock in milliseconds, and one more than the last where that is known: a lease taken twice
within a millisecond, or after the clock was set back, still gets a higher number. The number is compared with the fence
in a task's document, which may be a year old, so no memory of it would be long enough; growing beyond it is the clock's
part. What remembers the last fence ends by that same clock: once it is gone, the clock is past the fence by the whole
hour. A number can be given twice, or a lower one, only if the clock is set back by more than that: a machine's is
corrected, and differs from its replica's, by seconds. A Redis that lost its data has had the clock alone all along.
"""

_ACQUIRE = f"""
local fence = redis.call('GET', KEYS[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local next = math.max(now, (tonumber(fence) or 0) + 1)
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  redis.call('SET', KEYS[2], string.format('%.0f', next), 'EX', {FENCE_SECONDS})
  return string.format('%.0f', next)
end
return false
"""
_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisLeases:
    """:class:`~castiel.ports.coordination.Leases` on Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    @asynccontextmanager
    async def hold(self, name: str, *, seconds: float) -> AsyncIterator[Lease]:
        async with self.hold_many([name], seconds=seconds) as held:
            if not held:
                raise LeaseHeld(retry_after=seconds / 3)
            yield held[name]

    @asynccontextmanager
    async def hold_many(self, names: Collection[str], *, seconds: float) -> AsyncIterator[dict[str, Lease]]:
        owner, asked_at = uuid.uuid4().hex, asyncio.get_running_loop().time()
        fences = await self._each(self._acquire, names, [owner, int(seconds * 1000)], both_keys=True)
        held = {name: Lease(name, int(fence)) for name, fence in fences.items() if fence}
        renewal = asyncio.create_task(self._keep(held, owner, seconds, asked_at))
        try:
            yield held
        finally:
            renewal.cancel()
            with suppress(asyncio.CancelledError):
                await renewal
            try:
                await self._each(self._release, held, [owner])
            except CacheUnavailable:
                logger.info("leases left to expire", extra={"leases": len(held)})

    async def _each(
        self, script: AsyncScript, names: Collection[str], args: list[Any], *, both_keys: bool = False
    ) -> dict[str, Any]:
        """The script's answer for each name, in one round trip."""
        if not names:
            return {}
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                keys = _lease_keys(name)
                await script(keys=keys if both_keys else keys[:1], args=args, client=pipe)
            answers = await guarded(pipe.execute())
        return dict(zip(names, answers, strict=True))

    async def _keep(self, held: Mapping[str, Lease], owner: str, seconds: float, asked_at: float) -> None:
        """Renew at a third of the life; a lease whose renewals fail until it is almost over is lost.

        A renewal waits no longer than that for its answer: by then somebody else may have the lease.
        """
        loop = asyncio.get_running_loop()
        safe_until = asked_at + seconds * 5 / 6
        pause = seconds / 3
        while live := [name for name, lease in held.items() if not lease.lost]:
            await asyncio.sleep(max(0.0, min(pause, safe_until - loop.time())))
            asked_at = loop.time()
            try:
                async with asyncio.timeout_at(max(safe_until, asked_at + seconds / 12)):
                    kept = await self._each(self._renew, live, [owner, int(seconds * 1000)])
                safe_until, pause = asked_at + seconds * 5 / 6, seconds / 3
                gone = [name for name, answer in kept.items() if not answer]
            except (CacheUnavailable, TimeoutError):
                gone, pause = (live if loop.time() >= safe_until else []), seconds / 12
            for name in gone:
                held[name].lost = True
                logger.warning("lease lost", extra={"lease": name})

    async def is_held(self, name: str) -> bool:
        return bool(await guarded(self._redis.exists(_lease_keys(name)[0])))


def _lease_keys(name: str) -> list[str]:
    # The braces keep both keys in one slot of a cluster.
    return [f"castiel:lease:{{{name}}}", f"castiel:lease:{{{name}}}:fence"]


class RedisMarks:
    """:class:`~castiel.ports.coordination.Marks` on Redis."""

    def __init__(self, redis: Redis, prefix: str = "castiel:mark:") -> None:
        self._redis = redis
        self._prefix = prefix

    async def put(self, key: str, value: str, *, seconds: float) -> None:
        await guarded(self._redis.set(self._prefix + key, value, px=int(seconds * 1000)))

    async def put_many(self, values: Mapping[str, str], *, seconds: float) -> None:
        if not values:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for key, value in values.items():
                pipe.set(self._prefix + key, value, px=int(seconds * 1000))
            await guarded(pipe.execute())

    async def get_many(self, keys: Sequence[str]) -> dict[str, str]:
        if not keys:
            return {}
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.get(self._prefix + key)
            values = await guarded(pipe.execute())
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    async def put_if_absent(self, key: str, value: str, *, seconds: float) -> bool:
        return bool(
            await guarded(self._redis.set(self._prefix + key, value, px=int(seconds * 1000), nx=True))
        )

    async def claim_many(self, keys: Collection[str], *, seconds: float) -> set[str]:
        if not keys:
            return set()
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.set(self._prefix + key, "1", px=int(seconds * 1000), nx=True)
            answers = await guarded(pipe.execute())
        return {key for key, answer in zip(keys, answers, strict=True) if answer}

    async def delete(self, key: str) -> None:
        await guarded(self._redis.delete(self._prefix + key))

    async def delete_many(self, keys: Collection[str]) -> None:
        if keys:
            await guarded(self._redis.delete(*(self._prefix + key for key in keys)))

    async def now(self) -> datetime:
        seconds, microseconds = await guarded(self._redis.time())
        return datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(microseconds))
