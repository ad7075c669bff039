"""Rate limits as values: the levels a call is checked at, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

WINDOW_SECONDS = 60.0

OPERATION_LIMITS: Mapping[str, int] = {"fetch": 200, "update": 150, "create": 100, "delete": 50}
TENANT_LIMIT = 5_000
WEBHOOK_LIMIT = 100

QUEUEABLE = frozenset({"fetch", "create"})
"""Operations that are safe to do later."""


class Verdict(StrEnum):
    """``queued``: not now, but safe to do later. ``denied``: not now, and the caller decides."""

    ALLOWED = "allowed"
    QUEUED = "queued"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """One level: its key (shared by everybody who counts together), its limit per minute.

    ``adaptive``: the provider's own answers shrink and close it.
    """

    key: str
    limit: int
    adaptive: bool = False


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """``remaining``: at the tightest level. ``retry_after``: seconds until one call would be let through."""

    verdict: Verdict
    remaining: int
    reset_at: datetime
    retry_after: float = 0.0
    level: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether the call may be made now."""
        return self.verdict is Verdict.ALLOWED


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One level as it stands. ``closed_until``: no calls at all before then."""

    key: str
    limit: int
    used: int
    multiplier: float = 1.0
    closed_until: datetime | None = None


def adaptive_multiplier(used: float | None) -> float:
    """From the share of its quota that a provider says is used: above 90 % → 0.5, from 70 % → 0.75, else 1."""
    if used is None:
        return 1.0
    if used > 0.9:
        return 0.5
    return 0.75 if used >= 0.7 else 1.0
