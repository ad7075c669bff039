"""Events told in the background: whoever causes one does not wait for it, and a flood is cut, not stored up."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from castiel.ports.messaging import Event, EventPublisher

logger = logging.getLogger(__name__)

CAPACITY = 1_000
AT_ONCE = 100


class BackgroundEvents:
    """:class:`~castiel.ports.messaging.EventPublisher` over another one.

    At most :data:`CAPACITY` events wait; what comes on top is dropped and counted in a log line. Nothing depends
    on these events, and what they tell of is stored elsewhere.
    """

    def __init__(self, events: EventPublisher) -> None:
        self._events = events
        self._waiting: deque[Event] = deque()
        self._teller: asyncio.Task[None] | None = None
        self._dropped = 0

    async def publish(self, event: Event) -> None:
        self.tell(event)

    async def publish_many(self, events: Sequence[Event]) -> None:
        for event in events:
            self.tell(event)

    def tell(self, event: Event) -> None:
        """Have an event published soon."""
        if len(self._waiting) >= CAPACITY:
            self._dropped += 1
            return
        self._waiting.append(event)
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._run())

    async def drained(self) -> None:
        """Wait until nothing waits: for the end of a command or a test."""
        if self._teller is not None:
            await self._teller

    async def _run(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            await self._events.publish_many(batch)
            if self._dropped:
                logger.warning("events dropped: more than can wait", extra={"dropped": self._dropped})
                self._dropped = 0
