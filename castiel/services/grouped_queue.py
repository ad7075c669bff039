"""A queue for many senders at once: one batch for what arrives together, and no waiting for a queue that is down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from castiel.errors import CastielError, QueueUnavailable
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage
from castiel.services.group_commit import GroupCommit

logger = logging.getLogger(__name__)

MAX_SENDERS = 100
SEND_SECONDS = 4.0
"""A sender that has to answer somebody waits no longer for one batch."""
HOLD_OFF_SECONDS = 5.0


class GroupedQueue:
    """:class:`~castiel.ports.messaging.Queue` over another one.

    After a failure it refuses at once for a while, then one send tries again. A send that takes too long counts as
    failed although it may still arrive: message ids tell duplicates apart.
    """

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self.name = queue.name
        self._queue = queue
        self._clock = clock
        self._groups: GroupCommit[Sequence[QueueMessage]] = GroupCommit(self._send, max_items=MAX_SENDERS)
        self._late: asyncio.Task[None] | None = None
        self._failed = False
        self._try_at = 0.0

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        if not messages:
            return
        if self._failed and self._clock.monotonic() < self._try_at:
            raise QueueUnavailable(f"queue {self.name}: it failed a moment ago")
        await self._groups.add(messages)

    async def _send(self, groups: Sequence[Sequence[QueueMessage]]) -> None:
        if self._failed and self._clock.monotonic() < self._try_at:
            raise QueueUnavailable(f"queue {self.name}: it failed a moment ago")
        try:
            await self._in_time([message for group in groups for message in group])
        except CastielError as error:
            if error.retryable:
                self._fail(error)
            raise
        if self._failed:
            self._failed = False
            logger.info("queue answers again", extra={"queue": self.name})

    async def _in_time(self, messages: Sequence[QueueMessage]) -> None:
        if self._late is not None and not self._late.done():
            raise QueueUnavailable(f"queue {self.name}: an earlier send is still under way")
        task = asyncio.create_task(self._queue.send(messages))
        # Not cancelled when it is late: the link would be left half-way through a transfer.
        done, _ = await asyncio.wait({task}, timeout=SEND_SECONDS)
        if not done:
            self._late = task
            task.add_done_callback(_look_at)
            raise QueueUnavailable(f"queue {self.name}: no answer within {SEND_SECONDS:g} s")
        task.result()

    def _fail(self, error: CastielError) -> None:
        if not self._failed:
            logger.error("queue does not take messages: %s", error, extra={"alert": "queue_unavailable"})
        self._failed = True
        self._try_at = self._clock.monotonic() + HOLD_OFF_SECONDS


def _look_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("a late send failed: %s", error)
