"""A process that dies at a named point: nothing after it runs, no lease is given back."""

from __future__ import annotations


class Crash(BaseException):
    """The process is gone."""


class CrashPoints:
    """Raises :class:`Crash` when the awaited point is reached, once."""

    def __init__(self) -> None:
        self.at: str | None = None
        self.reached: list[str] = []

    def reach(self, point: str) -> None:
        self.reached.append(point)
        if self.at == point:
            self.at = None
            raise Crash(point)
