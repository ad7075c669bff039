"""What gives access to the providers: their limits, the tenants' credentials, the adapters."""

from __future__ import annotations

from dataclasses import dataclass

from castiel.azure.redis_limits import RedisRateLimits
from castiel.services.credentials import SecureCredentialService
from castiel.services.credentials.authorisation import AuthorizationService
from castiel.services.failover_limits import FailoverRateLimits
from castiel.services.integrations import Integrations
from castiel.services.limit_alerts import LimitAlerts
from castiel.services.limit_overrides import LimitOverrides
from castiel.services.local_limits import LocalRateLimits
from castiel.services.rate_limiter import IntegrationRateLimiter
from castiel.wiring.outside import Outside


@dataclass(frozen=True)
class Access:
    """What a provider is called with."""

    limiter: IntegrationRateLimiter
    credentials: SecureCredentialService
    authorization: AuthorizationService
    integrations: Integrations


def build_access(outside: Outside) -> Access:
    """Limits and credentials first: every adapter asks them before it calls."""
    stores, clock = outside.stores, outside.clock
    limiter = _limiter(outside)
    credentials = SecureCredentialService(
        stores.credentials,
        stores.connections,
        stores.registrations,
        outside.vault,
        outside.leases,
        outside.providers,
        outside.http,
        outside.events,
        clock,
    )
    authorization = AuthorizationService(
        stores.connections,
        stores.credentials,
        credentials.refreshing,
        outside.marks,
        outside.providers,
        outside.http,
        clock,
    )
    integrations = Integrations(outside.providers, outside.http, credentials, limiter, clock)
    return Access(limiter, credentials, authorization, integrations)


def _limiter(outside: Outside) -> IntegrationRateLimiter:
    settings, clock = outside.settings, outside.clock
    integration_limits = {p.integration_id: p.rate_limit_per_minute for p in outside.providers}
    return IntegrationRateLimiter(
        FailoverRateLimits(
            RedisRateLimits(outside.clients.redis),
            LocalRateLimits(clock, share=1 / settings.rate_limiter_expected_instances),
            clock,
        ),
        LimitOverrides(outside.stores.limits, clock, integrations=integration_limits),
        LimitAlerts(outside.events, outside.marks, clock),
        clock,
        integration_limits=integration_limits,
        tenant_limit=settings.tenant_rate_limit_per_minute,
        webhook_limit=settings.webhook_rate_limit_per_minute,
    )
