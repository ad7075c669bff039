"""One script, asked for by many tasks at once: what piles up while a batch is on its way goes out as the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from castiel.azure.redis_client import guarded
from castiel.errors import CacheUnavailable

MAX_BATCH = 128

_Call = tuple[Sequence[str], Sequence[str | int], "asyncio.Future[Any]"]


class ScriptBatches:
    """Runs of one Lua script. ``timeout``: seconds that a batch may take, connecting included."""

    def __init__(self, redis: Redis, script: str, *, timeout: float) -> None:
        self._redis = redis
        self._script = redis.register_script(script)
        self._timeout = timeout
        self._waiting: deque[_Call] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def run(self, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """One run. Raises :class:`CacheUnavailable`; whether it took effect is not known then."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, args, future))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await future

    async def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            # Whoever gave up waiting must not consume any more.
            batch = [call for call in batch if not call[2].done()]
            try:
                answers = await self._execute(batch) if batch else []
            except CacheUnavailable as error:
                self._refuse(batch, error)
                continue
            for (_, _, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, RedisError):
                    future.set_exception(CacheUnavailable(f"Redis: {type(answer).__name__}"))
                else:
                    future.set_result(answer)

    def _refuse(self, batch: list[_Call], error: CacheUnavailable) -> None:
        """Those who came meanwhile would only wait for the same silence."""
        for _, _, future in (*batch, *self._waiting):
            if not future.done():
                future.set_exception(CacheUnavailable(str(error)))
        self._waiting.clear()

    async def _execute(self, batch: list[_Call]) -> list[Any]:
        answers = await self._pipeline(batch)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # Redis restarted, or another one took over: nothing of these ran.
            await self._timed(self._redis.script_load(self._script.script))
            for index, answer in zip(unknown, await self._pipeline([batch[i] for i in unknown]), strict=True):
                answers[index] = answer
        return answers

    async def _pipeline(self, batch: list[_Call]) -> list[Any]:
        sha = self._script.sha
        if len(batch) == 1:
            keys, args, _ = batch[0]
            try:
                call: Any = self._redis.evalsha(sha, len(keys), *keys, *args)
                return [await self._timed(call)]
            except CacheUnavailable as error:
                if isinstance(error.__cause__, NoScriptError):
                    return [error.__cause__]
                raise
        async with self._redis.pipeline(transaction=False) as pipe:
            for keys, args, _ in batch:
                pipe.evalsha(sha, len(keys), *keys, *args)
            answers: list[Any] = await self._timed(pipe.execute(raise_on_error=False))
        return answers

    async def _timed(self, call: Any) -> Any:
        async def in_time() -> Any:
            async with asyncio.timeout(self._timeout):
                return await call

        return await guarded(in_time())
