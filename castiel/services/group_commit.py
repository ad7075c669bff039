"""What arrives together is committed together: items that come while a write is under way go out as the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from castiel.errors import CastielError

GATHERING_TURNS = 4
"""Turns of the event loop that a group is left open for those who are a step away from joining: microseconds."""

T = TypeVar("T")
_Waiting = tuple[T, "asyncio.Future[None]"]


class GroupCommit(Generic[T]):
    """Writes items in groups. Nobody waits for a group to fill: alone, an item is written almost at once.

    A group that is refused for good is written item by item, so that one bad item fails alone; what may pass
    later fails for the whole group.
    """

    def __init__(
        self, write: Callable[[Sequence[T]], Awaitable[None]], *, max_items: int, at_once: int = 1
    ) -> None:
        self._write = write
        self._max_items = max_items
        self._at_once = at_once
        self._waiting: deque[_Waiting[T]] = deque()
        self._writing = 0
        self._writers: set[asyncio.Task[None]] = set()

    async def add(self, item: T) -> None:
        """Returns when the item's group is written; raises what writing it raised."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._writing < self._at_once:
            self._writing += 1
            writer = asyncio.create_task(self._run())
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                for _ in range(GATHERING_TURNS):
                    await asyncio.sleep(0)
                group = [self._waiting.popleft() for _ in range(min(self._max_items, len(self._waiting)))]
                # Whoever gave up waiting wants nothing written any more.
                await self._commit([entry for entry in group if not entry[1].done()])
        finally:
            # Here, and not when the task is done: what is added in between would wait for nobody.
            self._writing -= 1

    async def _commit(self, group: Sequence[_Waiting[T]]) -> None:
        if not group:
            return
        try:
            await self._write([item for item, _ in group])
        except CastielError as error:
            if error.retryable or len(group) == 1:
                _fail(group, error)
                return
            for entry in group:
                await self._commit([entry])
        except BaseException as error:
            _fail(group, error)
            if not isinstance(error, Exception):
                raise
        else:
            for _, future in group:
                if not future.done():
                    future.set_result(None)


def _fail(group: Sequence[_Waiting[T]], error: BaseException) -> None:
    for _, future in group:
        if future.done():
            continue
        if isinstance(error, Exception):
            future.set_exception(error)
        else:
            future.cancel()
