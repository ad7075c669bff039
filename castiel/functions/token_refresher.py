"""TokenRefresher: no token may lapse before the next run."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from castiel import telemetry
from castiel.domain.credentials import Credential, refresh_horizon
from castiel.domain.results import RefreshAudit, RefreshResult
from castiel.domain.retry import backoff
from castiel.errors import CastielError, ProviderRateLimited, ReauthRequired
from castiel.ports.clock import Clock
from castiel.ports.stores import CredentialStore, RefreshAuditStore
from castiel.services.credentials import SecureCredentialService

logger = logging.getLogger(__name__)

RATE_LIMITED_SECONDS = 60.0
CONCURRENCY = 8


class TokenRefresher:
    """Refreshes what expires before the next run, several at a time; one bad credential never stops the run."""

    def __init__(
        self,
        credentials: CredentialStore,
        service: SecureCredentialService,
        audit: RefreshAuditStore,
        clock: Clock,
        *,
        threshold: timedelta,
        interval: timedelta,
        max_retries: int,
    ) -> None:
        self._credentials = credentials
        self._service = service
        self._audit = audit
        self._clock = clock
        self._threshold = threshold
        self._interval = interval
        self._max_retries = max_retries

    async def run(self) -> RefreshAudit:
        """One run, with its audit record stored."""
        started = self._clock.monotonic()
        now = self._clock.now()
        results: list[RefreshResult] = []
        due: asyncio.Queue[Credential | None] = asyncio.Queue(maxsize=CONCURRENCY * 2)
        with telemetry.log_context(function="TokenRefresher"):
            async with asyncio.TaskGroup() as group:
                for _ in range(CONCURRENCY):
                    group.create_task(self._worker(due, results))
                horizon = refresh_horizon(now, self._threshold, self._interval)
                async for credential in self._credentials.expiring(horizon):
                    if not credential.needs_reauth:
                        await due.put(credential)
                for _ in range(CONCURRENCY):
                    await due.put(None)
            audit = RefreshAudit(
                id=f"refresh-{self._clock.new_id()}",
                executed_at=now,
                total_attempted=len(results),
                successful=sum(r.success for r in results),
                failed=sum(not r.success for r in results),
                results=results,
                duration=int((self._clock.monotonic() - started) * 1000),
            )
            await self._audit.put(audit)
            logger.info(
                "token refresh run",
                extra={
                    "attempted": audit.total_attempted,
                    "successful": audit.successful,
                    "failures": audit.failed,
                },
            )
        return audit

    async def _worker(self, due: asyncio.Queue[Credential | None], results: list[RefreshResult]) -> None:
        while (credential := await due.get()) is not None:
            results.append(await self._refresh(credential))

    async def _refresh(self, credential: Credential) -> RefreshResult:
        started = self._clock.monotonic()
        attempt = 0
        error: CastielError | None = None
        expiry = None
        while True:
            try:
                stored = await self._service.refresh_due(
                    credential.tenant_id, credential.id, credential.expiry_time
                )
                expiry, error = stored.credential.expiry_time, None
                break
            except CastielError as caught:
                error = caught
            if not error.retryable or attempt >= self._max_retries:
                break
            wait = error.retry_after or (
                RATE_LIMITED_SECONDS
                if isinstance(error, ProviderRateLimited)
                else backoff(attempt, self._clock.random)
            )
            attempt += 1
            logger.info("token refresh again", extra={"credentialId": credential.id, "attempt": attempt})
            await self._clock.sleep(wait)
        duration = (self._clock.monotonic() - started) * 1000
        self._tell(credential, error, duration)
        return RefreshResult(
            credential_id=credential.id,
            tenant_id=credential.tenant_id,
            integration_id=credential.integration_id,
            success=error is None,
            new_expiry_time=expiry,
            duration=int(duration),
            error_code=error.code if error else None,
            needs_reauth=True if isinstance(error, ReauthRequired) else None,
            attempts=attempt + 1 if attempt else None,
        )

    def _tell(self, credential: Credential, error: CastielError | None, duration: float) -> None:
        telemetry.record("token_refresh_duration_ms", duration, integration=credential.integration_id)
        if error is None:
            telemetry.count("token_refresh_success", integration=credential.integration_id)
            return
        telemetry.count("token_refresh_failure", integration=credential.integration_id, reason=error.code)
        logger.error(
            "token refresh failed: %s",
            error,
            extra={
                "function": "TokenRefresher",
                "credentialId": credential.id,
                "tenantId": credential.tenant_id,
            },
        )
