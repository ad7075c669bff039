"""What a provider says about its quota, in one form for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Quota:
    """A provider's own account of its limits, as its response headers told it.

    ``used``: share of the quota that is used, 0..1. ``reset_at``: when it is whole again.
    ``retry_after``: seconds for which the provider wants no calls at all.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_at: datetime | None = None
    retry_after: float | None = None
    resource: str | None = None

    @property
    def used(self) -> float | None:
        """Share used, 0..1, or ``None`` where the provider doesn't say."""
        if not self.limit or self.remaining is None:
            return None
        return min(1.0, max(0.0, 1.0 - self.remaining / self.limit))
