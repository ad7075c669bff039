"""Scripts asked for by many tasks at once: what piles up while a batch is on its way goes out as the next one."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from castiel.errors import CacheUnavailable

MAX_BATCH = 128
HELD_SECONDS = 1.0
"""A connection is given back to its pool after this long, where it is checked, and its credential renewed."""


@dataclass(frozen=True)
class LuaScript:
    """A script and the name Redis knows it by."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


@dataclass(eq=False)
class _Call:
    script: LuaScript
    command: tuple[str | int, ...]
    future: asyncio.Future[Any]


class ScriptBatches:
    """Runs Lua scripts on one connection. ``timeout``: seconds that a batch may take, connecting included."""

    def __init__(self, redis: Redis, *, timeout: float) -> None:
        self._pool = redis.connection_pool
        self._timeout = timeout
        self._waiting: deque[_Call] = deque()
        self._busy = False
        self._sending: asyncio.Task[None] | None = None
        self._held: AbstractConnection | None = None
        self._held_until = 0.0

    async def run(self, script: LuaScript, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """One run. Raises :class:`CacheUnavailable`; whether it took effect is not known then."""
        loop = asyncio.get_running_loop()
        call = _Call(script, ("EVALSHA", script.sha, len(keys), *keys, *args), loop.create_future())
        if self._busy:
            self._waiting.append(call)
            return await call.future
        # Without anybody to share a batch with, there is no need for a task that sends it.
        self._busy = True
        try:
            await self._send([call])
        except BaseException:
            if call.future.done():
                call.future.exception()  # Heard, so that asyncio does not complain of it.
            raise
        finally:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._sending = asyncio.create_task(self._send_waiting())
        return call.future.result()

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                # Whoever gave up waiting must not consume any more.
                await self._send([call for call in batch if not call.future.done()])
        finally:
            self._busy = False

    async def _send(self, batch: list[_Call]) -> None:
        """Give each call its answer; when there is none, refuse these and all who wait."""
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._execute(batch)
        except (RedisError, OSError, TimeoutError) as error:
            # Those who came meanwhile would only wait for the same silence.
            _refuse([*batch, *self._waiting], f"Redis: {type(error).__name__}")
            self._waiting.clear()
            return
        except BaseException:
            # Cancelled: that says nothing of Redis, and those who wait are sent for by themselves.
            _refuse(batch, "Redis: given up")
            raise
        for call, answer in zip(batch, answers, strict=True):
            if call.future.done():
                continue
            if isinstance(answer, ResponseError):
                call.future.set_exception(CacheUnavailable(f"Redis: {type(answer).__name__}"))
            else:
                call.future.set_result(answer)

    async def _execute(self, batch: list[_Call]) -> list[Any]:
        answers = await self._exchange([call.command for call in batch])
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # Redis restarted, or another one took over: nothing of these ran.
            scripts = {batch[i].script for i in unknown}
            await self._exchange([("SCRIPT", "LOAD", script.text) for script in scripts])
            for index, answer in zip(
                unknown, await self._exchange([batch[i].command for i in unknown]), strict=True
            ):
                answers[index] = answer
        return answers

    async def _exchange(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Send all, then read all the answers; an error of one command is its answer."""
        connection = await self._connection()
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await _answer(connection) for _ in commands]
        except BaseException:
            # What is still to come on it would be taken for other commands' answers.
            self._held = None
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
            raise

    async def _connection(self) -> AbstractConnection:
        now = asyncio.get_running_loop().time()
        if self._held is not None and now < self._held_until:
            return self._held
        if self._held is not None:
            held, self._held = self._held, None
            await self._pool.release(held)
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        self._held, self._held_until = connection, now + HELD_SECONDS
        return connection


def _refuse(calls: Sequence[_Call], reason: str) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(CacheUnavailable(reason))


async def _answer(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
