"""An IntegrationRateLimiter over fakes for all but its limits."""

from __future__ import annotations

import asyncio

from castiel.domain.limits import TenantLimits
from castiel.errors import Conflict, StoreUnavailable
from castiel.ports.clock import Clock
from castiel.ports.coordination import RateLimits
from castiel.services.limit_alerts import LimitAlerts
from castiel.services.limit_overrides import LimitOverrides
from castiel.services.rate_limiter import IntegrationRateLimiter
from tests.support.fakes.coordination import MemoryEvents, MemoryMarks

INTEGRATIONS = {"slack": 60, "github": 360}


class MemoryLimits:
    """:class:`~castiel.ports.stores.LimitStore`: another instance may write in between, or it may be down."""

    def __init__(self) -> None:
        self.stored: dict[str, TenantLimits] = {}
        self.reads = 0
        self.down = False
        self.conflicts = 0

    async def get(self, tenant_id: str) -> TenantLimits | None:
        if self.down:
            raise StoreUnavailable("Cosmos DB: down")
        self.reads += 1
        await asyncio.sleep(0)
        found = self.stored.get(tenant_id)
        return found.copy_of() if found else None

    async def put(self, limits: TenantLimits) -> TenantLimits:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("changed meanwhile")
        self.stored[limits.tenant_id] = limits.copy_of()
        return limits


def rate_limiter(
    limits: RateLimits, clock: Clock, store: MemoryLimits | None = None
) -> tuple[IntegrationRateLimiter, MemoryEvents, MemoryLimits]:
    """The limiter, what it told of, and where overrides are stored."""
    events, store = MemoryEvents(), store or MemoryLimits()
    limiter = IntegrationRateLimiter(
        limits,
        LimitOverrides(store, clock, integrations=INTEGRATIONS),
        LimitAlerts(events, MemoryMarks(clock), clock),
        clock,
        integration_limits=INTEGRATIONS,
    )
    return limiter, events, store
