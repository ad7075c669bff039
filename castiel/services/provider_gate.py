"""ProviderGate: what stands between a connection's calls and its provider."""

from __future__ import annotations

from castiel.domain.connections import Connection
from castiel.domain.limits import Reason
from castiel.domain.quota import Quota
from castiel.domain.tasks import Priority
from castiel.errors import CircuitOpen, RateLimited
from castiel.ports.clock import Clock
from castiel.services.rate_limiter import IntegrationRateLimiter

JITTER = 0.2
"""Those who wait for the same moment do not wake together."""


class ProviderGate:
    """One connection's gate before each provider call: waits where that is short, else raises.

    ``patience``: seconds it may wait for one call. ``work``: what waits in line, by an id that stays the same
    when it is tried again; ``priority``: before whom.
    """

    def __init__(
        self,
        limiter: IntegrationRateLimiter,
        connection: Connection,
        clock: Clock,
        *,
        patience: float = 5.0,
        work: str | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        self._limiter = limiter
        self._connection = connection
        self._clock = clock
        self._patience = patience
        self._work = work or clock.new_id()
        self._priority = priority
        self._suspect = False

    async def acquire(self, operation: str) -> None:
        """One call, now or after a short wait.

        Raises :class:`RateLimited` or :class:`CircuitOpen`, with the time to wait.
        """
        waited = 0.0
        while True:
            decision = await self._limiter.check_rate_limit(
                self._connection.tenant_id,
                self._connection.integration_id,
                operation,
                self._connection,
                work=self._work,
                priority=self._priority,
            )
            self._suspect = self._suspect or decision.suspect
            if decision.allowed:
                return
            wait = decision.retry_after * (1.0 + JITTER * self._clock.random())
            if decision.reason is Reason.CIRCUIT:
                raise CircuitOpen(f"connection {self._connection.id} failed too often", retry_after=wait)
            if waited + wait > self._patience:
                raise RateLimited(f"{decision.verdict.value}: {operation}", retry_after=wait)
            await self._clock.sleep(wait)
            waited += wait

    async def observe(self, quota: Quota) -> None:
        """Pass on what the provider said."""
        await self._limiter.observe(self._connection, quota)

    async def failed(self) -> None:
        """The provider did not answer, or could not."""
        self._suspect = True
        await self._limiter.failed(self._connection)

    async def succeeded(self) -> None:
        """The provider answered. Only after failures is that news."""
        if self._suspect:
            self._suspect = False
            await self._limiter.succeeded(self._connection)
