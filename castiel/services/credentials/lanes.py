"""A lane per provider: its own workers and its own pace, so that one slow provider never holds up another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType

from castiel.domain.credentials import Credential
from castiel.ports.clock import Clock

FAILURES_TO_CLOSE = 20


class Pace:
    """At most so many starts per second, evenly."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._interval = 1.0 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next start."""
        now = self._clock.monotonic()
        slot = max(now, self._next)
        self._next = slot + self._interval
        if slot > now:
            await self._clock.sleep(slot - now)

    def hold(self, seconds: float) -> None:
        """No start for so long: somebody was asked to slow down."""
        self._next = max(self._next, self._clock.monotonic() + seconds)


class Lane:
    """One provider's credentials. It closes when too many in a row fail because the provider is away."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.waiting: deque[Credential] = deque()
        self.closed = False
        self._failures = 0

    def succeeded(self) -> None:
        """The provider answers."""
        self._failures = 0

    def unavailable(self) -> None:
        """The provider did not answer for a credential, after all tries."""
        self._failures += 1
        self.closed = self.closed or self._failures >= FAILURES_TO_CLOSE


class Lanes:
    """``async with Lanes(…) as lanes: lanes.put(due)``; leaving the block waits until all is done, or left.

    ``work`` must not raise. Work that was not begun by ``deadline`` (on the clock's monotonic time) is left, as
    is what waits in a lane that closed; ``left`` counts it.
    """

    def __init__(
        self,
        clock: Clock,
        work: Callable[[Credential, Lane], Awaitable[None]],
        *,
        deadline: float,
        workers: int,
        per_second: float,
    ) -> None:
        self._clock = clock
        self._work = work
        self._deadline = deadline
        self._workers = workers
        self._per_second = per_second
        self._lanes: dict[str, Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._more = asyncio.Condition()
        self._complete = False
        self.left = 0

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self._clock.monotonic() >= self._deadline

    async def put(self, due: Credential) -> None:
        """Add work; the lane is made when its provider is first met."""
        lane = self._lanes.get(due.integration_id)
        if lane is None:
            lane = self._lanes[due.integration_id] = Lane(Pace(self._clock, self._per_second))
            self._tasks += [asyncio.create_task(self._run(lane)) for _ in range(self._workers)]
        lane.waiting.append(due)
        async with self._more:
            self._more.notify_all()

    async def __aenter__(self) -> Lanes:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._more:
            self._complete = True
            self._more.notify_all()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
        self.left += sum(len(lane.waiting) for lane in self._lanes.values())

    async def _run(self, lane: Lane) -> None:
        while (due := await self._take(lane)) is not None:
            await self._work(due, lane)

    async def _take(self, lane: Lane) -> Credential | None:
        async with self._more:
            await self._more.wait_for(lambda: lane.waiting or self._complete or lane.closed)
        if lane.closed or self.expired or not lane.waiting:
            return None
        due = lane.waiting.popleft()
        await lane.pace.turn()
        if lane.closed or self.expired:
            lane.waiting.appendleft(due)
            return None
        return due
