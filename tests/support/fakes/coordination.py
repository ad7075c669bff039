"""Leases, marks, queues and events in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime

from castiel.errors import CacheUnavailable, LeaseHeld
from castiel.ports.clock import Clock
from castiel.ports.coordination import Lease
from castiel.ports.messaging import Event, QueueMessage
from tests.support.clock import FakeClock
from tests.support.fakes.crash import Crash


class YieldingClock(FakeClock):
    """Sleeping lets the others run, too."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0)


class MemoryLeases:
    """:class:`~castiel.ports.coordination.Leases`. A crashed holder keeps its lease until it expires."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._fence = 0
        self.down = False

    @asynccontextmanager
    async def hold(self, name: str, *, seconds: float) -> AsyncIterator[Lease]:
        if self.down:
            raise CacheUnavailable("Redis: ConnectionError")
        if self._until.get(name, -1.0) > self._clock.monotonic():
            raise LeaseHeld(retry_after=seconds / 3)
        self._until[name] = self._clock.monotonic() + seconds
        self._fence += 1
        try:
            yield Lease(name, self._fence)
        except Crash:
            raise
        except BaseException:
            del self._until[name]
            raise
        else:
            del self._until[name]

    @asynccontextmanager
    async def hold_many(self, names: Collection[str], *, seconds: float) -> AsyncIterator[dict[str, Lease]]:
        async with AsyncExitStack() as stack:
            held: dict[str, Lease] = {}
            for name in names:
                with suppress(LeaseHeld):
                    held[name] = await stack.enter_async_context(self.hold(name, seconds=seconds))
            yield held

    async def is_held(self, name: str) -> bool:
        return self._until.get(name, -1.0) > self._clock.monotonic()


class MemoryMarks:
    """:class:`~castiel.ports.coordination.Marks`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.values: dict[str, tuple[str, float]] = {}

    async def put(self, key: str, value: str, *, seconds: float) -> None:
        self.values[key] = (value, self._clock.monotonic() + seconds)

    async def put_many(self, values: Mapping[str, str], *, seconds: float) -> None:
        for key, value in values.items():
            await self.put(key, value, seconds=seconds)

    async def get_many(self, keys: Sequence[str]) -> dict[str, str]:
        now = self._clock.monotonic()
        return {key: self.values[key][0] for key in keys if key in self.values and self.values[key][1] > now}

    async def put_if_absent(self, key: str, value: str, *, seconds: float) -> bool:
        if await self.get_many([key]):
            return False
        await self.put(key, value, seconds=seconds)
        return True

    async def claim_many(self, keys: Collection[str], *, seconds: float) -> set[str]:
        return {key for key in keys if await self.put_if_absent(key, "1", seconds=seconds)}

    async def delete_many(self, keys: Collection[str]) -> None:
        for key in keys:
            await self.delete(key)

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)

    async def now(self) -> datetime:
        return self._clock.now()


class MemoryQueue:
    """:class:`~castiel.ports.messaging.Queue`."""

    def __init__(self, name: str = "queue") -> None:
        self.name = name
        self.sent: list[QueueMessage] = []

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        self.sent.extend(messages)


class MemoryEvents:
    """:class:`~castiel.ports.messaging.EventPublisher`."""

    def __init__(self) -> None:
        self.published: list[Event] = []

    async def publish(self, event: Event) -> None:
        self.published.append(event)

    async def publish_many(self, events: Sequence[Event]) -> None:
        self.published.extend(events)
