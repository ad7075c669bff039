"""A window of the last minute in a bounded number of slices.

Calls are counted by the slice of time in which they were let through. A slice counts until it lies wholly
outside the last 60 seconds, so the count is never too low: no 60-second window holds more than the limit,
wherever it begins. What it costs: a call counts for up to one slice longer than it must, which is at most
0.25 s in 60.25 s, 0.4 % of the limit under constant pressure. Memory: at most 241 counters.

The script in :mod:`castiel.azure.limit_scripts` keeps the same window in Redis; a test holds them together.
"""

from __future__ import annotations

from collections import deque

from castiel.domain.limits import WINDOW_SECONDS

SLICE_MS = 250
SLOTS = int(WINDOW_SECONDS * 1000) // SLICE_MS
"""Whole slices in a window; the present one comes on top."""
BACKWARD_SLICES = 8
"""A clock that steps back by no more is waited for; beyond, what is counted counts as let through just now."""


class SlidingWindow:
    """What was let through at one level. Times are milliseconds of any clock."""

    __slots__ = ("_slices", "total")

    def __init__(self) -> None:
        self._slices: deque[list[int]] = deque()
        self.total = 0

    def advance(self, now: int) -> None:
        """Forget what is older than a window."""
        present = now // SLICE_MS
        slices = self._slices
        if not slices:
            return
        if slices[-1][0] > present + BACKWARD_SLICES:
            slices.clear()
            slices.append([present, self.total])
        while slices and slices[0][0] < present - SLOTS:
            self.total -= slices.popleft()[1]

    def add(self, now: int, cost: int) -> None:
        """Count. :meth:`advance` was called with the same time."""
        present = now // SLICE_MS
        slices = self._slices
        if slices and slices[-1][0] >= present:
            slices[-1][1] += cost
        else:
            slices.append([present, cost])
        self.total += cost

    def until_room(self, now: int, excess: int) -> int:
        """Milliseconds until ``excess`` of what is counted is forgotten; a whole window if less is counted."""
        for number, count in self._slices:
            excess -= count
            if excess <= 0:
                return (number + SLOTS + 1) * SLICE_MS - now
        present = now // SLICE_MS
        newest = max(self._slices[-1][0], present) if self._slices else present
        return (newest + SLOTS + 1) * SLICE_MS - now
