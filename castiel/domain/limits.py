"""Rate limits as values: the levels a call is checked at, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from castiel.domain.model import Document, UtcDatetime
from castiel.domain.tasks import Priority

WINDOW_SECONDS = 60.0

OPERATION_LIMITS: Mapping[str, int] = {"fetch": 200, "update": 150, "create": 100, "delete": 50}
INTEGRATION_LIMIT = 60
"""Of an integration that names none."""
TENANT_LIMIT = 5_000
WEBHOOK_LIMIT = 100

QUEUEABLE = frozenset({"fetch", "create"})
"""Operations that are safe to do later."""

LINE_CAPACITY = 10_000
"""How much work may wait per tenant and integration."""
LINE_GRACE_SECONDS = 5.0
"""How long a place in the line is kept after the time at which its work was told to come back."""
LINE_WAIT_SECONDS = 900.0
"""The longest wait a place in the line is given; whoever is further behind asks again then."""

LONGEST_CLOSED_SECONDS = 86_400.0
"""A provider that asks for more is asked again after a day: its clock may be wrong."""

ALERT_SHARE = 0.8
"""A level this full is told of before it is met."""


class Verdict(StrEnum):
    """``queued``: not now, but safe to do later. ``denied``: not now, and the caller decides."""

    ALLOWED = "allowed"
    QUEUED = "queued"
    DENIED = "denied"


class Reason(StrEnum):
    """What stops a call: a window is full, more urgent work is due first, the provider wants none, or its breaker is open."""

    LIMIT = "limit"
    TURN = "turn"
    CLOSED = "closed"
    CIRCUIT = "circuit"


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """One level: its key (shared by everybody who counts together), its limit per minute."""

    key: str
    limit: int


@dataclass(frozen=True, slots=True)
class Line:
    """Where work waits, more urgent work first. Without ``work`` nothing waits, but the urgent still goes first."""

    key: str
    work: str | None = None
    priority: Priority = Priority.NORMAL
    capacity: int = LINE_CAPACITY


@dataclass(frozen=True, slots=True)
class LimitRequest:
    """All levels of one decision; their keys live in one slot of a Redis cluster.

    ``provider``: the key of what a provider said, and of its breaker; it shrinks the first level, and closes it.
    """

    levels: tuple[LimitCheck, ...]
    cost: int = 1
    provider: str | None = None
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """``remaining``: at the tightest level. ``retry_after``: seconds until the call would be let through.

    ``reset_at``: when the window is whole again, or, not allowed, when ``retry_after`` is over.
    ``level``: the key of what stopped the call, or of the fullest level; ``used`` of ``limit`` are its own.
    ``overflow``: it can't even wait, so many do. ``suspect``: the provider failed lately, so a success is news.
    """

    verdict: Verdict
    remaining: int
    reset_at: datetime
    retry_after: float = 0.0
    level: str | None = None
    reason: Reason | None = None
    used: int = 0
    limit: int = 0
    overflow: bool = False
    suspect: bool = False

    @property
    def allowed(self) -> bool:
        """Whether the call may be made now."""
        return self.verdict is Verdict.ALLOWED


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One level as it stands: ``used`` in the last minute, of the ``limit`` that holds now."""

    key: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """What a provider said, and how it does. ``open_until``: its breaker lets nothing through before then."""

    multiplier: float = 1.0
    closed_until: datetime | None = None
    failures: int = 0
    open_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LimitsStatus:
    """Everything about one decision's levels, without consuming any."""

    levels: tuple[LimitStatus, ...]
    provider: ProviderStatus = field(default_factory=ProviderStatus)
    waiting: Mapping[Priority, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """After ``threshold`` failures in a row a breaker opens for ``open_seconds``, doubled each time in a row.

    Then one call probes; ``probe_seconds`` later another one may, if nothing was heard of it.
    """

    threshold: int = 5
    open_seconds: float = 5.0
    max_open_seconds: float = 300.0
    probe_seconds: float = 30.0

    def open_for(self, times_opened: int) -> float:
        """Seconds it stays open, after it opened so many times without a success in between."""
        return float(min(self.max_open_seconds, self.open_seconds * 2.0 ** min(times_opened, 32)))


def adaptive_multiplier(used: float | None) -> float:
    """From the share of its quota that a provider says is used: above 90 % → 0.5, from 70 % → 0.75, else 1."""
    if used is None:
        return 1.0
    if used > 0.9:
        return 0.5
    return 0.75 if used >= 0.7 else 1.0


def tag_of(key: str) -> str:
    """The part of a key that decides its slot in a Redis cluster, braces included: ``{tenant}``."""
    return key[: key.index("}") + 1]


def effective_limit(limit: int, multiplier: float) -> int:
    """A limit under a multiplier: rounded down, but never nothing."""
    return max(1, int(limit * multiplier))


PositiveLimit = Annotated[int, Field(ge=1, le=10_000_000)]


class TenantLimits(Document):
    """One tenant's own limits per minute; what is absent has the default. A document of the ``connections`` container.

    A connection's ``rate_limits`` (``integration``, ``tenant`` or an operation) go before these.
    """

    id: str = "limits"
    tenant_id: str
    tenant: PositiveLimit | None = None
    webhook: PositiveLimit | None = None
    integrations: dict[str, PositiveLimit] = Field(default_factory=dict)
    operations: dict[str, PositiveLimit] = Field(default_factory=dict)
    updated_at: UtcDatetime | None = None
