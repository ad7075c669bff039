"""Which message ids a queue has accepted lately, and which sequence numbers it has given out."""

from __future__ import annotations

from collections import OrderedDict

from infra.local.servicebus.journal import Journal

_RESERVE = 1000
_FORGET_EVERY_SECONDS = 5.0


class DuplicateHistory:
    """Message ids seen within a window.

    https://learn.microsoft.com/azure/service-bus-messaging/duplicate-detection: a message whose id was logged
    during the window is reported as accepted but instantly ignored and dropped.
    """

    def __init__(self, queue: str, window_seconds: float, journal: Journal) -> None:
        self._queue = queue
        self._window = window_seconds
        self._journal = journal
        self._seen: OrderedDict[str, float] = OrderedDict(journal.remembered(queue))
        self._forgot_at = 0.0

    def is_duplicate(self, message_id: str, now: float) -> bool:
        """Whether the id was seen within the window; if not, it counts as seen now."""
        self._forget(now - self._window, now)
        if message_id in self._seen:
            return True
        self._seen[message_id] = now
        self._journal.remember(self._queue, message_id, now)
        return False

    def _forget(self, horizon: float, now: float) -> None:
        while self._seen and next(iter(self._seen.values())) < horizon:
            self._seen.popitem(last=False)
        if now - self._forgot_at > _FORGET_EVERY_SECONDS:
            self._forgot_at = now
            self._journal.forget_before(self._queue, horizon)


class SequenceNumbers:
    """Ever-growing numbers that are never given out twice, not even after a crash: blocks are reserved ahead."""

    def __init__(self, queue: str, journal: Journal) -> None:
        self._queue = queue
        self._journal = journal
        self._last = self._reserved = journal.reserved_sequence(queue)

    def next(self) -> int:
        """The next number."""
        self._last += 1
        if self._last > self._reserved:
            self._reserved += _RESERVE
            self._journal.reserve_sequences(self._queue, self._reserved)
        return self._last
