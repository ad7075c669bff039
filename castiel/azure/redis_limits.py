"""The sliding window in Redis: one script decides every level at once, by Redis' own clock.

A minute is 60 slices of a second. What is counted is every slice that overlaps the last 60 seconds, so the
count is never too low and no 60-second window holds more than the limit; a key's memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from castiel.azure.redis_client import guarded
from castiel.domain.limits import LimitCheck, LimitDecision, LimitStatus, Verdict, adaptive_multiplier
from castiel.domain.quota import Quota

_DECIDE = """
local time = redis.call('TIME')
local second = tonumber(time[1])
local cost = tonumber(ARGV[1])
local tightest, wait, level = nil, 0, 0
local counts = {}
for i = 1, #KEYS / 2 do
  local key, state = KEYS[2 * i - 1], KEYS[2 * i]
  local limit = tonumber(ARGV[2 * i])
  if ARGV[2 * i + 1] == '1' then
    local adapted = redis.call('HMGET', state, 'multiplier', 'closed_until')
    limit = math.max(1, math.floor(limit * (tonumber(adapted[1]) or 1)))
    local closed = (tonumber(adapted[2]) or 0) - second
    if closed > 0 and closed > wait then wait, level = closed, i end
  end
  local slices = redis.call('HGETALL', key)
  local used, oldest = 0, {}
  for j = 1, #slices, 2 do
    local at = tonumber(slices[j])
    if at >= second - 60 then
      used = used + tonumber(slices[j + 1])
      oldest[#oldest + 1] = {at, tonumber(slices[j + 1])}
    else
      redis.call('HDEL', key, slices[j])
    end
  end
  counts[i] = used
  if tightest == nil or limit - used < tightest then tightest = limit - used end
  if cost > 0 and used + cost > limit then
    table.sort(oldest, function(a, b) return a[1] < b[1] end)
    local freed, until_free = 0, 61
    for _, slice in ipairs(oldest) do
      freed = freed + slice[2]
      if used - freed + cost <= limit then until_free = slice[1] + 61 - second break end
    end
    if until_free > wait then wait, level = until_free, i end
  end
end
if wait == 0 and cost > 0 then
  for i = 1, #KEYS / 2 do
    redis.call('HINCRBY', KEYS[2 * i - 1], second, cost)
    redis.call('EXPIRE', KEYS[2 * i - 1], 62)
  end
end
return {wait, level, math.max(0, tightest or 0), second, counts}
"""


class RedisRateLimits:
    """:class:`~castiel.ports.coordination.RateLimits` on Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._decide = redis.register_script(_DECIDE)

    async def check(self, checks: Sequence[LimitCheck], *, cost: int = 1) -> LimitDecision:
        wait, level, remaining, second, _ = await self._run(checks, cost)
        reset_at = datetime.fromtimestamp(second, UTC) + timedelta(seconds=max(wait, 60))
        if wait == 0:
            return LimitDecision(Verdict.ALLOWED, max(0, remaining - cost), reset_at)
        return LimitDecision(
            Verdict.DENIED, 0, reset_at, float(wait), checks[level - 1].key if level else None
        )

    async def observe(self, key: str, quota: Quota) -> None:
        now = datetime.now(UTC)
        state = _state_key(key)
        closed_for = quota.retry_after
        if closed_for is None and quota.remaining == 0 and quota.reset_at is not None:
            closed_for = max(0.0, (quota.reset_at - now).total_seconds())
        mapping: dict[Any, Any] = {}
        if quota.used is not None:
            mapping["multiplier"] = str(adaptive_multiplier(quota.used))
        if closed_for:
            seconds, _ = await guarded(self._redis.time())
            mapping["closed_until"] = str(int(seconds) + int(closed_for) + 1)
        if mapping:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(state, mapping=mapping)
                pipe.expire(state, int(max(300, (closed_for or 0) + 60)))
                await guarded(pipe.execute())

    async def status(self, checks: Sequence[LimitCheck]) -> Sequence[LimitStatus]:
        _, _, _, _, counts = await self._run(checks, 0)
        statuses = []
        for check, used in zip(checks, counts, strict=True):
            multiplier, closed = await guarded(
                self._redis.hmget(_state_key(check.key), ["multiplier", "closed_until"])
            )
            statuses.append(
                LimitStatus(
                    check.key,
                    check.limit,
                    int(used),
                    float(multiplier or 1.0),
                    datetime.fromtimestamp(int(closed), UTC) if closed else None,
                )
            )
        return statuses

    async def _run(self, checks: Sequence[LimitCheck], cost: int) -> tuple[int, int, int, int, list[int]]:
        keys = [key for check in checks for key in (_window_key(check.key), _state_key(check.key))]
        levels = [value for check in checks for value in (check.limit, int(check.adaptive))]
        result = await guarded(self._decide(keys=keys, args=[cost, *levels]))
        return tuple(result)


def _window_key(key: str) -> str:
    return f"castiel:limit:{key}"


def _state_key(key: str) -> str:
    return f"castiel:limit:{key}:provider"
