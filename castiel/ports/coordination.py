"""What several workers share for a short time: leases, limits, marks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from castiel.domain.limits import LimitCheck, LimitDecision, LimitStatus
from castiel.domain.quota import Quota


@dataclass(slots=True)
class Lease:
    """A lease we hold. ``fence`` grows with every lease on the same name, whoever gets it.

    ``lost`` turns true when it could not be renewed in time: stop writing.
    """

    name: str
    fence: int
    lost: bool = False


class Leases(Protocol):
    """One holder at a time per name. Raises :class:`~castiel.errors.CacheUnavailable` when Redis is gone."""

    def hold(self, name: str, *, seconds: float) -> AbstractAsyncContextManager[Lease]:
        """Hold a lease while the block runs; renewed in the background, given up at its end.

        Raises :class:`~castiel.errors.LeaseHeld` when somebody else has it.
        """

    def hold_many(
        self, names: Collection[str], *, seconds: float
    ) -> AbstractAsyncContextManager[dict[str, Lease]]:
        """Hold those of the leases that nobody else has, in one round trip; the others are missing from the answer."""

    async def is_held(self, name: str) -> bool:
        """Whether anybody has it now."""


class RateLimits(Protocol):
    """Sliding windows and closed windows, decided atomically across all levels."""

    async def check(self, checks: Sequence[LimitCheck], *, cost: int = 1) -> LimitDecision:
        """Consume ``cost`` at every level, or at none."""

    async def observe(self, key: str, quota: Quota) -> None:
        """Adapt to what a provider said: the multiplier, or a closed window for everybody."""

    async def status(self, checks: Sequence[LimitCheck]) -> Sequence[LimitStatus]:
        """How much of each level is used, without consuming any."""


class Marks(Protocol):
    """Small values that disappear by themselves: the write ledger, seen deliveries."""

    async def put(self, key: str, value: str, *, seconds: float) -> None: ...
    async def put_many(self, values: Mapping[str, str], *, seconds: float) -> None: ...
    async def get_many(self, keys: Sequence[str]) -> dict[str, str]: ...
    async def put_if_absent(self, key: str, value: str, *, seconds: float) -> bool:
        """Whether it was absent, and now is not."""

    async def claim_many(self, keys: Collection[str], *, seconds: float) -> set[str]:
        """Put the keys that are absent; returns those. What somebody else has put stays theirs."""

    async def delete(self, key: str) -> None: ...
    async def delete_many(self, keys: Collection[str]) -> None: ...
    async def now(self) -> datetime:
        """The shared clock."""
