"""What workers remember together for a while, in Redis: claims of keys, and what a full pass has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from redis.asyncio import Redis

from castiel.azure.redis_client import guarded

_CLAIM = """
local holders = {}
for i = 1, #KEYS do
  local holder = redis.call('GET', KEYS[i])
  if holder then
    holders[i] = holder
  else
    redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1])
    holders[i] = ''
  end
end
return holders
"""


class RedisClaims:
    """:class:`~castiel.ports.short_memory.Claims`: one key per claim, all of a scope in one slot of a cluster."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_CLAIM)

    async def claim(
        self, scope: str, wanted: Mapping[str, Sequence[str]], *, seconds: float
    ) -> dict[str, set[str]]:
        pairs = [(owner, key) for owner, keys in wanted.items() for key in keys]
        if not pairs:
            return {owner: set() for owner in wanted}
        names = [f"castiel:claim:{{{scope}}}:{key}" for _, key in pairs]
        arguments: list[str | int] = [int(seconds * 1000), *(owner for owner, _ in pairs)]
        holders = await guarded(self._script(keys=names, args=arguments))
        others: dict[str, set[str]] = {owner: set() for owner in wanted}
        for (owner, _), holder in zip(pairs, holders, strict=True):
            if holder and holder not in wanted:
                others[owner].add(holder)
        return others


_BITS_PER_ID = 16
"""With the five hashes that the scripts count to, one unseen id in 700 is taken for a seen one: (1 - e^(-5/16))^5."""
_LEAST_BITS, _MOST_BITS = 1 << 17, 1 << 28

# The string is one byte longer than its bits, so that its length says how many there are.
_ADD = """
local size = redis.call('STRLEN', KEYS[1])
if size == 0 then return 0 end
local bits = (size - 1) * 8
for i = 2, #ARGV, 2 do
  local at, step = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  for n = 0, 4 do redis.call('SETBIT', KEYS[1], (at + n * step) % bits, 1) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
_UNSEEN = """
local size = redis.call('STRLEN', KEYS[1])
if size == 0 then return false end
local bits = (size - 1) * 8
local unseen = {}
for i = 2, #ARGV, 2 do
  local at, step = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  for n = 0, 4 do
    if redis.call('GETBIT', KEYS[1], (at + n * step) % bits) == 0 then
      unseen[#unseen + 1] = i / 2 - 1
      break
    end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return unseen
"""


class RedisSeenRecords:
    """:class:`~castiel.ports.short_memory.SeenRecords` as a Bloom filter: two bytes for each id expected.

    B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM 13(7), 1970; two hashes stand in
    for five (Kirsch and Mitzenmacher, "Less hashing, same performance", 2006).
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._add = redis.register_script(_ADD)
        self._unseen = redis.register_script(_UNSEEN)

    async def begin(self, name: str, *, expected: int, seconds: float) -> None:
        wanted = 1 << (expected * _BITS_PER_ID).bit_length()
        bits = min(max(wanted, _LEAST_BITS), _MOST_BITS)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(_key(name))
            pipe.setbit(_key(name), bits, 1)
            pipe.pexpire(_key(name), int(seconds * 1000))
            await guarded(pipe.execute())

    async def add(self, name: str, ids: Collection[str], *, seconds: float) -> bool:
        return bool(await guarded(self._add(keys=[_key(name)], args=_arguments(ids, seconds))))

    async def unseen(self, name: str, ids: Sequence[str], *, seconds: float) -> set[str] | None:
        positions = await guarded(self._unseen(keys=[_key(name)], args=_arguments(ids, seconds)))
        return None if positions is None else {ids[int(position)] for position in positions}

    async def forget(self, name: str) -> None:
        await guarded(self._redis.delete(_key(name)))


def _key(name: str) -> str:
    return f"castiel:seen:{name}"


def _arguments(ids: Collection[str], seconds: float) -> list[int]:
    arguments = [int(seconds * 1000)]
    for external_id in ids:
        digest = hashlib.blake2b(external_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        # An odd step meets all bits of a power of two.
        arguments += [int.from_bytes(digest[:4]), int.from_bytes(digest[4:]) | 1]
    return arguments
