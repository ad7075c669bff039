"""From a connection to its adapter, with token, limiter and HTTP in place."""

from __future__ import annotations

from castiel.adapters.base import Adapter, Provider
from castiel.adapters.http import ApiClient, HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.tasks import Priority
from castiel.errors import ConnectionPaused
from castiel.ports.clock import Clock
from castiel.services.credentials import CredentialAuthorizer, SecureCredentialService
from castiel.services.provider_gate import ProviderGate
from castiel.services.rate_limiter import IntegrationRateLimiter


class Integrations:
    """Builds adapters. They are cheap; the HTTP connections behind them are shared."""

    def __init__(
        self,
        providers: ProviderRegistry,
        http: HttpPool,
        credentials: SecureCredentialService,
        limiter: IntegrationRateLimiter,
        clock: Clock,
    ) -> None:
        self._providers = providers
        self._http = http
        self._credentials = credentials
        self._limiter = limiter
        self._clock = clock

    def provider(self, integration_id: str) -> Provider:
        """The provider of that name."""
        return self._providers.get(integration_id)

    def adapter(
        self,
        connection: Connection,
        *,
        patience: float = 5.0,
        work: str | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> Adapter:
        """The connection's adapter. Raises :class:`ConnectionPaused` when no work may be done on it.

        ``patience``: seconds one call may wait for the rate limiter before :class:`RateLimited` is raised.
        ``work`` and ``priority``: its place among what waits for this integration, see :class:`ProviderGate`.
        """
        if connection.status is not ConnectionStatus.ACTIVE:
            raise ConnectionPaused(f"connection {connection.id}: {connection.status.value}")
        provider = self._providers.get(connection.integration_id)
        api = ApiClient(
            self._http,
            connection,
            provider.adapter.dialect,
            CredentialAuthorizer(self._credentials, connection),
            ProviderGate(
                self._limiter, connection, self._clock, patience=patience, work=work, priority=priority
            ),
        )
        return provider.adapter(connection, api)
