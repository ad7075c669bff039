"""The limiter's memory in Redis: one script decides every level at once, by Redis' own clock."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from redis.asyncio import Redis

from castiel.azure import limit_scripts as scripts
from castiel.azure.redis_batch import LuaScript, ScriptBatches
from castiel.azure.redis_client import guarded
from castiel.domain.limits import (
    LONGEST_CLOSED_SECONDS,
    WINDOW_SECONDS,
    BreakerPolicy,
    LimitDecision,
    LimitRequest,
    LimitsStatus,
    LimitStatus,
    Line,
    ProviderStatus,
    Reason,
    Verdict,
    adaptive_multiplier,
    effective_limit,
    tag_of,
)
from castiel.domain.quota import Quota
from castiel.domain.sliding_window import SLICE_MS
from castiel.domain.tasks import Priority
from castiel.errors import CacheEmptied

TIMEOUT_SECONDS = 1.0
"""A limiter that answers later than this is as good as none."""
MULTIPLIER_SECONDS = 300.0
"""How long a multiplier holds where the provider names no end of its period."""
KNOWN_MEMORIES = 10_000

_BY_URGENCY = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
_RANK = {priority: number for number, priority in enumerate(_BY_URGENCY, 1)}
_WHOLE_AGAIN = WINDOW_SECONDS + SLICE_MS / 1000


class RedisRateLimits:
    """:class:`~castiel.ports.coordination.RateLimits` on Redis.

    A check raises :class:`CacheEmptied`, once, when Redis has lost what it knew of a tenant. ``clock``: a Lua expression for the time in milliseconds. It is Redis' own but in tests of time itself.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        breaker: BreakerPolicy | None = None,
        timeout: float = TIMEOUT_SECONDS,
        clock: str = scripts.REDIS_TIME,
    ) -> None:
        self._redis = redis
        self._breaker = breaker or BreakerPolicy()
        self._probe_ms = int(self._breaker.probe_seconds * 1000)
        self._scripts = ScriptBatches(redis, timeout=timeout)
        self._decide = LuaScript(scripts.decide(clock))
        self._charge = LuaScript(scripts.charge(clock))
        self._count = LuaScript(scripts.count(clock))
        self._observe = LuaScript(scripts.observe(clock))
        self._failed = LuaScript(scripts.failed(clock))
        self._succeeded = LuaScript(scripts.succeeded())
        self._memories: dict[str, str] = {}
        self._proposal = uuid.uuid4().hex

    async def check(self, request: LimitRequest) -> LimitDecision:
        levels, line = request.levels, request.line
        keys = [_window_key(level.key) for level in levels]
        if request.provider:
            keys.append(_provider_key(request.provider))
        if line:
            keys += _line_keys(line.key)
        limits = " ".join([str(level.limit) for level in levels])
        numbers = (
            f"{request.cost} {len(levels)} {int(request.provider is not None)} {self._probe_ms}"
            f" {line.capacity if line else 0} {_RANK[line.priority] if line else 0} {limits}"
        )
        answer = await self._remembered(
            self._decide, tag_of(levels[0].key), keys, [numbers, (line.work or "") if line else ""]
        )
        if answer is None:
            # Another task was told first; what it charges is on its way before this.
            return await self.check(request)
        return _decision(request, answer)

    async def charge(self, counts: Mapping[str, int]) -> None:
        if not counts:
            return
        keys = [_window_key(key) for key in counts]
        tag = tag_of(next(iter(counts)))
        if await self._remembered(self._charge, tag, keys, list(counts.values())) is None:
            await self.charge(counts)

    async def _remembered(
        self, script: LuaScript, tag: str, keys: list[str], args: list[str | int]
    ) -> list[str] | None:
        """The script's answer, or ``None`` when nothing was done because another call was told of a loss first.

        Raises :class:`CacheEmptied` when this call is the first.
        """
        known = self._memories.get(tag, "")
        asked = [*args, known, self._proposal]
        text = await self._scripts.run(script, [*keys, f"castiel:memory:{tag}"], asked)
        answer: list[str] = text.split(" ")
        if answer[0] == "lost":
            if self._memories.get(tag) == answer[1]:
                return None
            self._remember(tag, answer[1])
            raise CacheEmptied("Redis: its data is gone")
        if not known:
            self._remember(tag, answer[-1])
        return answer

    def _remember(self, tag: str, memory: str) -> None:
        if len(self._memories) >= KNOWN_MEMORIES:
            self._memories.clear()
        self._memories[tag] = memory
        if memory == self._proposal:
            # The next one must differ, or a second loss would not be seen.
            self._proposal = uuid.uuid4().hex

    async def observe(self, key: str, quota: Quota) -> float:
        multiplier = "" if quota.used is None else str(adaptive_multiplier(quota.used))
        reset_at = int(quota.reset_at.timestamp() * 1000) if quota.reset_at else 0
        closed_ms = int(min(quota.retry_after or 0.0, LONGEST_CLOSED_SECONDS) * 1000)
        closed_until = reset_at if quota.remaining == 0 else 0
        args: list[str | int] = [
            multiplier,
            int(MULTIPLIER_SECONDS * 1000),
            reset_at,
            closed_ms,
            closed_until,
        ]
        return int(await self._scripts.run(self._observe, [_provider_key(key)], args)) / 1000

    async def failed(self, key: str) -> float | None:
        policy = self._breaker
        openings = [int(policy.open_for(times) * 1000) for times in range(16)]
        open_ms, opened = await self._scripts.run(
            self._failed, [_provider_key(key)], [policy.threshold, *openings]
        )
        return int(open_ms) / 1000 if opened else None

    async def succeeded(self, key: str) -> None:
        await self._scripts.run(self._succeeded, [_provider_key(key)], [])

    async def status(self, request: LimitRequest) -> LimitsStatus:
        now, *counts = await self._scripts.run(
            self._count, [_window_key(level.key) for level in request.levels], []
        )
        provider = await self._provider(request.provider, int(now)) if request.provider else ProviderStatus()
        multipliers = [provider.multiplier, *[1.0] * (len(request.levels) - 1)]
        return LimitsStatus(
            tuple(
                LimitStatus(level.key, effective_limit(level.limit, multiplier), int(count))
                for level, multiplier, count in zip(request.levels, multipliers, counts, strict=True)
            ),
            provider,
            await self._waiting(request.line, int(now)) if request.line else {},
        )

    async def _provider(self, key: str, now: int) -> ProviderStatus:
        names = ["multiplier", "multiplier_until", "closed_until", "failures", "open_until"]
        values = await _all_of(self._redis, [("HMGET", _provider_key(key), *names)])
        multiplier, until, closed, failures, open_until = values[0]
        return ProviderStatus(
            float(multiplier) if until and int(until) > now else 1.0,
            _moment(closed, now),
            int(failures or 0),
            _moment(open_until, now),
        )

    async def _waiting(self, line: Line, now: int) -> dict[Priority, int]:
        counts = await _all_of(
            self._redis, [("ZCOUNT", key, str(now), "+inf") for key in _line_keys(line.key)]
        )
        return {priority: int(count) for priority, count in zip(_BY_URGENCY, counts, strict=True)}


async def _all_of(redis: Redis, commands: list[tuple[str, ...]]) -> list[Any]:
    """Several commands in one go. Raises :class:`~castiel.errors.CacheUnavailable`."""
    async with redis.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        answers: list[Any] = await guarded(pipe.execute())
    return answers


def _decision(request: LimitRequest, answer: list[str]) -> LimitDecision:
    reason = answer[2]
    wait, level = int(answer[0]), int(answer[1])
    remaining, now, used, limit, line, suspect = map(int, answer[3:9])
    moment = datetime.fromtimestamp(now / 1000, UTC)
    key = request.levels[level - 1].key
    if not wait:
        whole = moment + timedelta(seconds=_WHOLE_AGAIN)
        return LimitDecision(
            Verdict.ALLOWED, remaining, whole, 0.0, key, None, used, limit, suspect=bool(suspect)
        )
    return LimitDecision(
        Verdict.QUEUED if line == 1 else Verdict.DENIED,
        0,
        moment + timedelta(milliseconds=wait),
        wait / 1000,
        key,
        Reason(reason),
        used,
        limit,
        overflow=line == 2,
        suspect=bool(suspect),
    )


def _moment(milliseconds: str | None, now: int) -> datetime | None:
    if milliseconds is None or int(milliseconds) <= now:
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _window_key(key: str) -> str:
    return f"castiel:limit:{key}"


def _provider_key(key: str) -> str:
    return f"castiel:provider:{key}"


@lru_cache(maxsize=4096)
def _line_keys(key: str) -> tuple[str, ...]:
    return tuple(f"castiel:line:{key}:{priority.value}" for priority in _BY_URGENCY)
