"""IntegrationRateLimiter: whether a call may be made now, at every level at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from castiel import telemetry
from castiel.domain.connections import Connection
from castiel.domain.limits import (
    OPERATION_LIMITS,
    QUEUEABLE,
    TENANT_LIMIT,
    WEBHOOK_LIMIT,
    LimitCheck,
    LimitDecision,
    Verdict,
)
from castiel.domain.quota import Quota
from castiel.errors import CacheUnavailable, RateLimited
from castiel.ports.clock import Clock
from castiel.ports.coordination import RateLimits

logger = logging.getLogger(__name__)


class IntegrationRateLimiter:
    """Limits per integration, operation and tenant. ``fallback`` decides while Redis is gone, more carefully."""

    def __init__(
        self,
        limits: RateLimits,
        fallback: RateLimits,
        *,
        integration_limits: Mapping[str, int],
        tenant_limit: int = TENANT_LIMIT,
        webhook_limit: int = WEBHOOK_LIMIT,
    ) -> None:
        self._limits = limits
        self._fallback = fallback
        self._integration_limits = integration_limits
        self._tenant_limit = tenant_limit
        self._webhook_limit = webhook_limit

    async def check_rate_limit(
        self, tenant_id: str, integration_id: str, operation: str, connection: Connection | None = None
    ) -> LimitDecision:
        """Consume one call of ``operation`` at every level, or none: *allowed*, *queued* (safe later) or *denied*."""
        checks = self._checks(tenant_id, integration_id, operation, connection)
        decision = await self._decide(checks)
        if decision.allowed:
            return decision
        telemetry.count("rate_limited", integration=integration_id, operation=operation)
        if operation in QUEUEABLE:
            return replace(decision, verdict=Verdict.QUEUED)
        return decision

    async def check_webhook(self, registration_id: str, limit: int | None = None) -> LimitDecision:
        """Consume one delivery of a registration."""
        key = f"{{webhook:{registration_id}}}"
        return await self._decide([LimitCheck(key, limit or self._webhook_limit)])

    async def observe(self, connection: Connection, quota: Quota) -> None:
        """Adapt to what the provider said of its quota, for every instance."""
        try:
            await self._limits.observe(
                _integration_key(connection.tenant_id, connection.integration_id), quota
            )
        except CacheUnavailable:
            await self._fallback.observe(
                _integration_key(connection.tenant_id, connection.integration_id), quota
            )

    async def _decide(self, checks: list[LimitCheck]) -> LimitDecision:
        try:
            return await self._limits.check(checks)
        except CacheUnavailable:
            logger.warning("rate limiter works without Redis", extra={"alert": "rate_limiter_fallback"})
            return await self._fallback.check(checks)

    def _checks(
        self, tenant_id: str, integration_id: str, operation: str, connection: Connection | None
    ) -> list[LimitCheck]:
        own = connection.rate_limits if connection else {}
        integration = own.get("integration", self._integration_limits.get(integration_id, 60))
        checks = [LimitCheck(_integration_key(tenant_id, integration_id), integration, adaptive=True)]
        limit = own.get(operation, OPERATION_LIMITS.get(operation))
        if limit is not None:
            checks.append(LimitCheck(f"{{{tenant_id}}}:{integration_id}:{operation}", limit))
        checks.append(LimitCheck(f"{{{tenant_id}}}:tenant", own.get("tenant", self._tenant_limit)))
        return checks


def _integration_key(tenant_id: str, integration_id: str) -> str:
    # One tenant's keys share a slot of a Redis cluster, since one script touches them together.
    return f"{{{tenant_id}}}:{integration_id}"


class ProviderGate:
    """One connection's gate before each provider call: waits where that is short, else raises.

    ``patience``: seconds it may wait for one call.
    """

    def __init__(
        self, limiter: IntegrationRateLimiter, connection: Connection, clock: Clock, *, patience: float = 5.0
    ) -> None:
        self._limiter = limiter
        self._connection = connection
        self._clock = clock
        self._patience = patience

    async def acquire(self, operation: str) -> None:
        """One call, now or after a short wait. Raises :class:`RateLimited` with the time to wait."""
        waited = 0.0
        while True:
            decision = await self._limiter.check_rate_limit(
                self._connection.tenant_id, self._connection.integration_id, operation, self._connection
            )
            if decision.allowed:
                return
            # Jitter: those who wait for the same window do not wake together.
            wait = decision.retry_after * (1.0 + 0.2 * self._clock.random())
            if waited + wait > self._patience:
                raise RateLimited(f"{decision.verdict.value}: {operation}", retry_after=wait)
            await self._clock.sleep(wait)
            waited += wait

    async def observe(self, quota: Quota) -> None:
        """Pass on what the provider said."""
        await self._limiter.observe(self._connection, quota)
