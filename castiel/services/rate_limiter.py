"""IntegrationRateLimiter: whether a call may be made now, at every level at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from castiel import telemetry
from castiel.domain.connections import Connection
from castiel.domain.limits import (
    ALERT_SHARE,
    INTEGRATION_LIMIT,
    OPERATION_LIMITS,
    QUEUEABLE,
    TENANT_LIMIT,
    WEBHOOK_LIMIT,
    LimitCheck,
    LimitDecision,
    LimitRequest,
    LimitsStatus,
    Line,
    Reason,
    TenantLimits,
    adaptive_multiplier,
)
from castiel.domain.quota import Quota
from castiel.domain.tasks import Priority
from castiel.ports.clock import Clock
from castiel.ports.coordination import RateLimits
from castiel.services.limit_alerts import LimitAlert, LimitAlerts
from castiel.services.limit_overrides import LimitOverrides

logger = logging.getLogger(__name__)

OBSERVED_SECONDS = 30.0
"""A quota that says the same again is passed on no more often than this."""
OBSERVED_CONNECTIONS = 10_000


class IntegrationRateLimiter:
    """Limits per integration, operation and tenant.

    What a provider says, and its breaker, are kept per connection: each is an account with a quota of its own.
    """

    def __init__(
        self,
        limits: RateLimits,
        overrides: LimitOverrides,
        alerts: LimitAlerts,
        clock: Clock,
        *,
        integration_limits: Mapping[str, int],
        tenant_limit: int = TENANT_LIMIT,
        webhook_limit: int = WEBHOOK_LIMIT,
    ) -> None:
        self._limits = limits
        self.overrides = overrides
        self._alerts = alerts
        self._clock = clock
        self._integration_limits = integration_limits
        self._tenant_limit = tenant_limit
        self._webhook_limit = webhook_limit
        self._observed: dict[str, tuple[float, float]] = {}

    async def check_rate_limit(
        self,
        tenant_id: str,
        integration_id: str,
        operation: str,
        connection: Connection | None = None,
        *,
        cost: int = 1,
        work: str | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> LimitDecision:
        """Consume ``cost`` calls of ``operation`` at every level, or none: *allowed*, *queued* or *denied*.

        *queued*: safe to do later, and a place in the line is kept for ``work`` (an id that stays the same when it
        comes back) until ``retry_after`` is over. It is *denied* when 10 000 wait already.
        """
        own = await self.overrides.of(tenant_id)
        levels = self._levels(own, tenant_id, integration_id, (operation,), connection)
        waits = (work or self._clock.new_id()) if operation in QUEUEABLE else None
        request = LimitRequest(
            levels,
            cost,
            provider_key(connection) if connection else None,
            Line(levels[0].key, waits, priority),
        )
        decision = await self._limits.check(request)
        if not decision.allowed:
            telemetry.count("rate_limited", integration=integration_id, operation=operation)
        await self._tell(decision, tenant_id, f"{tenant_id}/{integration_id}", integration_id)
        return decision

    async def check_webhook(
        self, registration_id: str, limit: int | None = None, *, tenant_id: str | None = None
    ) -> LimitDecision:
        """Consume one delivery of a registration: its own limit, else its tenant's, else the default."""
        if limit is None and tenant_id is not None:
            limit = (await self.overrides.of(tenant_id)).webhook
        key = f"{{webhook:{_part(registration_id)}}}"
        request = LimitRequest((LimitCheck(key, limit or self._webhook_limit),))
        decision = await self._limits.check(request)
        await self._tell(decision, tenant_id or "", f"webhooks/{registration_id}", None)
        return decision

    async def observe(self, connection: Connection, quota: Quota) -> None:
        """Adapt to what the provider said of its quota, for every instance."""
        key, now = provider_key(connection), self._clock.monotonic()
        multiplier = adaptive_multiplier(quota.used)
        closes = bool(quota.retry_after) or quota.remaining == 0
        known = self._observed.get(key)
        if not closes and known is not None and known[0] == multiplier and now < known[1]:
            return
        if len(self._observed) >= OBSERVED_CONNECTIONS:
            self._observed.clear()
        self._observed[key] = (multiplier, now + OBSERVED_SECONDS)
        closed_for = await self._limits.observe(key, quota)
        if closes and closed_for:
            await self._alerts.tell(
                LimitAlert.PROVIDER_THROTTLED,
                connection.tenant_id,
                f"{connection.tenant_id}/{connection.integration_id}",
                key=key,
                integrationId=connection.integration_id,
                connectionId=connection.id,
                retryAfter=round(closed_for, 1),
            )

    async def failed(self, connection: Connection) -> None:
        """A call did not come back well: after some in a row the connection is left alone for a while."""
        open_for = await self._limits.failed(provider_key(connection))
        if open_for is not None:
            telemetry.count("circuit_opened", integration=connection.integration_id)
            logger.warning(
                "circuit open",
                extra={
                    "alert": "circuit_open",
                    "tenantId": connection.tenant_id,
                    "connectionId": connection.id,
                    "openSeconds": round(open_for, 1),
                },
            )

    async def succeeded(self, connection: Connection) -> None:
        """A call came back well after others had not."""
        await self._limits.succeeded(provider_key(connection))

    async def status(
        self, tenant_id: str, integration_id: str, connection: Connection | None = None
    ) -> LimitsStatus:
        """Integration, every operation and tenant, what the provider said, and who waits; nothing is consumed."""
        own = await self.overrides.of(tenant_id)
        levels = self._levels(own, tenant_id, integration_id, tuple(OPERATION_LIMITS), connection)
        provider = provider_key(connection) if connection else None
        return await self._limits.status(LimitRequest(levels, 0, provider, Line(levels[0].key)))

    def _levels(
        self,
        own: TenantLimits,
        tenant_id: str,
        integration_id: str,
        operations: tuple[str, ...],
        connection: Connection | None,
    ) -> tuple[LimitCheck, ...]:
        """From the narrowest word to the widest: the connection's, the tenant's, the default."""
        narrow = connection.rate_limits if connection else {}
        default = self._integration_limits.get(integration_id, INTEGRATION_LIMIT)
        integration = narrow.get("integration") or own.integrations.get(integration_id) or default
        # One tenant's keys share a slot of a Redis cluster, since one script touches them together.
        tag = f"{{{_part(tenant_id)}}}"
        key = f"{tag}:{_part(integration_id)}"
        levels = [LimitCheck(key, integration)]
        for operation in operations:
            limit = narrow.get(operation) or own.operations.get(operation) or OPERATION_LIMITS.get(operation)
            if limit is not None:
                levels.append(LimitCheck(f"{key}:{operation}", limit))
        levels.append(LimitCheck(f"{tag}:tenant", narrow.get("tenant") or own.tenant or self._tenant_limit))
        return tuple(levels)

    async def _tell(
        self, decision: LimitDecision, tenant_id: str, subject: str, integration_id: str | None
    ) -> None:
        if decision.allowed:
            if decision.used < ALERT_SHARE * decision.limit:
                return
            alert = LimitAlert.APPROACHING
        elif decision.overflow:
            alert = LimitAlert.QUEUE_OVERFLOW
        elif decision.reason is Reason.LIMIT:
            alert = LimitAlert.EXCEEDED
        else:
            return
        await self._alerts.tell(
            alert,
            tenant_id,
            subject,
            key=decision.level or subject,
            integrationId=integration_id,
            used=decision.used,
            limit=decision.limit,
            retryAfter=None if decision.allowed else round(decision.retry_after, 1),
        )


def provider_key(connection: Connection) -> str:
    """Where a connection's provider state is kept, in its tenant's slot."""
    parts = f"{_part(connection.integration_id)}:{_part(connection.id)}"
    return f"{{{_part(connection.tenant_id)}}}:{parts}"


@lru_cache(maxsize=4096)
def _part(name: str) -> str:
    """A name that can't end its part of a key."""
    return quote(name, safe="")
