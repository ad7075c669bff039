"""Claims and seen records in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from castiel.ports.clock import Clock


class MemoryClaims:
    """:class:`~castiel.ports.short_memory.Claims`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, tuple[str, float]] = {}

    async def claim(
        self, scope: str, wanted: Mapping[str, Sequence[str]], *, seconds: float
    ) -> dict[str, set[str]]:
        now = self._clock.monotonic()
        others: dict[str, set[str]] = {owner: set() for owner in wanted}
        for owner, keys in wanted.items():
            for key in keys:
                holder, until = self._held.get(f"{scope}:{key}", ("", 0.0))
                if until <= now:
                    self._held[f"{scope}:{key}"] = (owner, now + seconds)
                elif holder not in wanted:
                    others[owner].add(holder)
        return others


class MemorySeenRecords:
    """:class:`~castiel.ports.short_memory.SeenRecords`, exact."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, set[str]] = {}
        self._until: dict[str, float] = {}

    async def begin(self, name: str, *, expected: int, seconds: float) -> None:
        self._seen[name] = set()
        self._until[name] = self._clock.monotonic() + seconds

    async def add(self, name: str, ids: Collection[str], *, seconds: float) -> bool:
        if not self._kept(name, seconds):
            return False
        self._seen[name] |= set(ids)
        return True

    async def unseen(self, name: str, ids: Sequence[str], *, seconds: float) -> set[str] | None:
        return set(ids) - self._seen[name] if self._kept(name, seconds) else None

    async def forget(self, name: str) -> None:
        self._seen.pop(name, None)

    def _kept(self, name: str, seconds: float) -> bool:
        if name not in self._seen or self._until[name] <= self._clock.monotonic():
            return False
        self._until[name] = self._clock.monotonic() + seconds
        return True
