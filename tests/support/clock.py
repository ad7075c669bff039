"""A clock that tests move by hand."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta


class FakeClock:
    """:class:`~castiel.ports.clock.Clock`: sleeping moves it, nothing else does."""

    def __init__(self, now: datetime | None = None, *, chance: float | None = None, seed: int = 1) -> None:
        self._now = now or datetime(2025, 12, 10, 13, 0, tzinfo=UTC)
        self._monotonic = 0.0
        self._chance = chance
        self._random = random.Random(seed)
        self._ids = 0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def random(self) -> float:
        return self._random.random() if self._chance is None else self._chance

    def new_id(self) -> str:
        self._ids += 1
        return f"id{self._ids:04d}"

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
