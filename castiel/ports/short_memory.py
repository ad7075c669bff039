"""What workers remember together for a while: who is about to create what, and what a full pass has seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol


class Claims(Protocol):
    """Who announced first that it is about to create something with a key.

    Raises :class:`~castiel.errors.CacheUnavailable` when Redis is gone.
    """

    async def claim(
        self, scope: str, wanted: Mapping[str, Sequence[str]], *, seconds: float
    ) -> dict[str, set[str]]:
        """Claim each owner's keys, all in one atomic step, as far as nobody has them.

        Returns, for each owner, which others claimed any of its keys before. Owners of one call don't count
        as others. A claim ends by itself after ``seconds``.
        """


class SeenRecords(Protocol):
    """Which ids a full pass has seen: bounded memory, shared by all workers, kept over a crash.

    It may take an unseen id for a seen one (rarely), never a seen one for an unseen one. ``False`` and ``None`` say
    that the memory is gone, and with it the right to delete anything.
    Raises :class:`~castiel.errors.CacheUnavailable` when Redis is gone.
    """

    async def begin(self, name: str, *, expected: int, seconds: float) -> None:
        """Start an empty memory for about so many ids."""

    async def add(self, name: str, ids: Collection[str], *, seconds: float) -> bool:
        """Remember ids, and the memory for ``seconds`` more. Returns whether it was still there."""

    async def unseen(self, name: str, ids: Sequence[str], *, seconds: float) -> set[str] | None:
        """Those of the ids that were never added, or ``None`` when the memory is gone. Keeps it ``seconds`` more."""

    async def forget(self, name: str) -> None:
        """Drop the memory."""
