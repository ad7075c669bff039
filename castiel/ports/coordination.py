"""What several workers share for a short time: leases, limits, marks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from castiel.domain.limits import LimitDecision, LimitRequest, LimitsStatus
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
    """Sliding windows, closed windows, breakers and lines, decided atomically across all levels of a request.

    Raises :class:`~castiel.errors.CacheUnavailable` when Redis is gone.
    :meth:`check` and :meth:`charge` raise :class:`~castiel.errors.CacheEmptied`, once, when it came back without what
    it knew of a tenant: who knows what was let through charges it, and asks again.
    """

    async def check(self, request: LimitRequest) -> LimitDecision:
        """Consume the request's cost at every level, or at none.

        ``queued`` says that its work has a place in the line, and when its turn will come.
        """

    async def charge(self, counts: Mapping[str, int]) -> None:
        """Count, by level's key, what was let through without asking here. The levels are one tenant's."""

    async def observe(self, key: str, quota: Quota) -> float:
        """Adapt to what a provider said: the multiplier, or a closed window for everybody.

        Returns for how many seconds it is closed now.
        """

    async def failed(self, key: str) -> float | None:
        """A provider's call failed. Returns the seconds its breaker opened for, if this opened it."""

    async def succeeded(self, key: str) -> None:
        """A provider's call succeeded: its breaker closes, its failures are forgotten."""

    async def status(self, request: LimitRequest) -> LimitsStatus:
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
