"""Keys with a time each, asked for in the order of their times."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Key = TypeVar("Key", int, bytes)


class Deadlines(Generic[Key]):
    """At most one time per key. Setting, discarding and taking what is due cost O(log n).

    Replaced and discarded entries stay in the heap until they reach its top or outnumber the live ones.
    """

    def __init__(self) -> None:
        self._times: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    def set(self, key: Key, time: float) -> None:
        """Give ``key`` this time, in place of any it had."""
        self._times[key] = time
        heapq.heappush(self._heap, (time, key))
        if len(self._heap) > 2 * len(self._times) + 64:
            self._heap = [(time, key) for key, time in self._times.items()]
            heapq.heapify(self._heap)

    def discard(self, key: Key) -> None:
        """Forget ``key``, if it is there."""
        self._times.pop(key, None)

    def next(self) -> float | None:
        """The earliest time, or None."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> Key | None:
        """Take the key with the earliest time if that has come, else None."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, key = heapq.heappop(self._heap)
        del self._times[key]
        return key

    def _drop_stale(self) -> None:
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
