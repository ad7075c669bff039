"""TokenRefresher: no token may lapse before the next run."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from castiel import telemetry, tracing
from castiel.domain.credentials import Credential, refresh_horizon
from castiel.domain.refresh_runs import KIND, RefreshMessage, attempted_since, parse_refresh, split_audit
from castiel.domain.results import RefreshAudit, RefreshResult
from castiel.domain.retry import backoff
from castiel.errors import (
    CastielError,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
    ReauthRequired,
)
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage, ReceivedMessage
from castiel.ports.stores import CredentialStore, RefreshAuditStore
from castiel.services.credentials import SecureCredentialService
from castiel.services.credentials.lanes import Lane, Lanes, Pace
from castiel.services.credentials.webhook_secrets import SecretRotation

logger = logging.getLogger(__name__)

RATE_LIMITED_SECONDS = 60.0
PROVIDER_PER_SECOND = 20.0
CONTINUE_AFTER = timedelta(seconds=5)
CONTINUE_AFTER_OUTAGE = timedelta(minutes=10)
MAX_INVOCATIONS = 30
"""Of one run: with the pause after an outage they reach to the next run."""


@dataclass
class _Run:
    """One invocation."""

    message: RefreshMessage
    now: datetime
    started: float
    deadline: float
    vault_pace: Pace
    results: list[RefreshResult] = field(default_factory=list)
    left: int = 0
    broken: bool = False
    """The list of what is due broke off, or a provider is away."""


class TokenRefresher:
    """Refreshes what expires before the next run, each provider at its own pace; one bad credential never stops the
    rest. What the time budget does not allow is done by a continuation on ``sync-inbound``."""

    def __init__(
        self,
        credentials: CredentialStore,
        service: SecureCredentialService,
        audit: RefreshAuditStore,
        rotation: SecretRotation,
        continuations: Queue,
        clock: Clock,
        *,
        threshold: timedelta,
        interval: timedelta,
        keep_alive: timedelta,
        max_retries: int,
        time_budget_seconds: float,
        per_second: float,
        concurrency: int = 8,
        provider_per_second: float = PROVIDER_PER_SECOND,
    ) -> None:
        """``per_second``: refreshes of all providers together, which is what the vault takes.

        ``keep_alive``: a refresh token that nothing else uses is used at least so often.
        """
        self._credentials = credentials
        self._service = service
        self._audit = audit
        self._rotation = rotation
        self._continuations = continuations
        self._clock = clock
        self._threshold = threshold
        self._interval = interval
        self._keep_alive = keep_alive
        self._max_retries = max_retries
        self._budget = time_budget_seconds
        self._per_second = per_second
        self._concurrency = concurrency
        self._provider_per_second = provider_per_second

    async def run(self) -> RefreshAudit:
        """The timer's run: refresh, rotate, audit. Its audit record is stored when it returns."""
        now = self._clock.now()
        horizon = refresh_horizon(now, self._threshold, self._interval)
        run_id = f"refresh-{self._clock.new_id()}"
        return await self._invoke(RefreshMessage(run_id=run_id, number=0, started_at=now, horizon=horizon))

    async def go_on(self, received: ReceivedMessage) -> RefreshAudit:
        """Continue a run whose time was over. Raises :class:`~castiel.errors.InvalidMessage`."""
        return await self._invoke(parse_refresh(received.body), received.trace)

    async def _invoke(self, message: RefreshMessage, trace: tracing.Carrier | None = None) -> RefreshAudit:
        started = self._clock.monotonic()
        run = _Run(
            message,
            self._clock.now(),
            started,
            started + self._budget,
            Pace(self._clock, self._per_second),
        )
        with (
            telemetry.log_context(function="TokenRefresher", correlationId=message.run_id),
            tracing.span("TokenRefresher", parent=trace),
        ):
            await self._refresh_all(run)
            if message.number == 0:
                await self._rotation.run()
            await self._continue(run)
            audit = await self._write_audit(run)
        await telemetry.flush()
        return audit

    # What is due ---------------------------------------------------------------------------------------

    async def _refresh_all(self, run: _Run) -> None:
        async with Lanes(
            self._clock,
            lambda due, lane: self._work(run, due, lane),
            deadline=run.deadline,
            workers=self._concurrency,
            per_second=self._provider_per_second,
        ) as lanes:
            try:
                async for credential in self._due(run):
                    if lanes.expired:
                        run.left += 1
                        break
                    await lanes.put(credential)
            except CastielError as error:
                run.broken = True
                logger.error("the list of due credentials broke off: %s", error, extra={"error": error.code})
        run.left += lanes.left

    async def _due(self, run: _Run) -> AsyncIterator[Credential]:
        """What expires before the next run, soonest first; then what has to be used to stay alive."""
        async for credential in self._credentials.expiring(run.message.horizon):
            if not credential.needs_reauth and not attempted_since(credential, run.message.started_at):
                yield credential
        async for credential in self._credentials.unexpiring(run.message.started_at - self._keep_alive):
            if not credential.needs_reauth and not attempted_since(credential, run.message.started_at):
                yield credential

    # One credential ------------------------------------------------------------------------------------

    async def _work(self, run: _Run, due: Credential, lane: Lane) -> None:
        await run.vault_pace.turn()
        started = self._clock.monotonic()
        expiry, error, attempts = await self._refresh(run, due, lane)
        if error is None:
            lane.succeeded()
        elif isinstance(error, ProviderUnavailable):
            lane.unavailable()
            run.broken = run.broken or lane.closed
        if error is not None and not isinstance(error, ProviderError):
            await self._service.refreshing.journal.note_failure(due.tenant_id, due.id, _code(error))
        duration = (self._clock.monotonic() - started) * 1000
        self._tell(due, error, duration)
        run.results.append(
            RefreshResult(
                credential_id=due.id,
                tenant_id=due.tenant_id,
                integration_id=due.integration_id,
                success=error is None,
                new_expiry_time=expiry,
                duration=int(duration),
                error_code=_code(error) if error else None,
                needs_reauth=True if isinstance(error, ReauthRequired) else None,
                attempts=attempts if attempts > 1 else None,
            )
        )

    async def _refresh(
        self, run: _Run, due: Credential, lane: Lane
    ) -> tuple[datetime | None, Exception | None, int]:
        """The new expiry or the last error, and how many tries it took."""
        for attempt in range(self._max_retries + 1):
            try:
                stored = await self._service.refresh_due(due)
            except CastielError as error:
                wait = self._wait(error, attempt, lane)
                over = self._clock.monotonic() + wait >= run.deadline
                if not error.retryable or attempt == self._max_retries or over:
                    return None, error, attempt + 1
                logger.info("token refresh again", extra={"credentialId": due.id, "attempt": attempt + 1})
                await self._clock.sleep(wait)
            except Exception as error:
                # A bug or a surprise with one credential: said aloud, and the others go on.
                logger.exception("token refresh failed unexpectedly", extra=_dimensions(due))
                return None, error, attempt + 1
            else:
                return stored.credential.expiry_time, None, attempt + 1
        raise AssertionError("unreachable")

    def _wait(self, error: CastielError, attempt: int, lane: Lane) -> float:
        if isinstance(error, ProviderRateLimited):
            wait = error.retry_after or RATE_LIMITED_SECONDS
            lane.pace.hold(wait)
            return wait
        return max(error.retry_after or 0.0, backoff(attempt, self._clock.random))

    def _tell(self, due: Credential, error: Exception | None, duration: float) -> None:
        telemetry.record("token_refresh_duration_ms", duration, integration=due.integration_id)
        if error is None:
            telemetry.count("token_refresh_success", integration=due.integration_id)
            return
        telemetry.count("token_refresh_failure", integration=due.integration_id, reason=_code(error))
        if isinstance(error, CastielError):
            logger.error("token refresh failed: %s", error, extra=_dimensions(due))

    # The end of an invocation --------------------------------------------------------------------------

    async def _continue(self, run: _Run) -> None:
        """Queue what is left. When even that fails, the next run finds it, and every use refreshes its own."""
        if not (run.left or run.broken):
            return
        following = run.message.next()
        if following.number >= MAX_INVOCATIONS:
            logger.error("token refresh run given up", extra={"left": run.left, "alert": "refresh_backlog"})
            return
        pause = CONTINUE_AFTER_OUTAGE if run.broken else CONTINUE_AFTER
        message = QueueMessage(
            f"{following.run_id}:{following.number}",
            following.to_json_text(),
            following.run_id,
            due=self._clock.now() + pause,
            time_to_live=self._interval,
            properties={"kind": KIND, "correlationId": following.run_id},
        )
        try:
            await self._continuations.send([message])
        except CastielError as error:
            logger.error("token refresh run not continued: %s", error, extra={"left": run.left})

    async def _write_audit(self, run: _Run) -> RefreshAudit:
        number = run.message.number
        audit = RefreshAudit(
            id=f"{run.message.run_id}-{number}" if number else run.message.run_id,
            executed_at=run.now,
            total_attempted=len(run.results),
            successful=sum(result.success for result in run.results),
            failed=sum(not result.success for result in run.results),
            results=run.results,
            duration=int((self._clock.monotonic() - run.started) * 1000),
            correlation_id=run.message.run_id,
            left=run.left or None,
        )
        logger.info(
            "token refresh run: %d attempted, %d refreshed, %d in trouble, %d left",
            audit.total_attempted,
            audit.successful,
            audit.failed,
            run.left,
            extra={
                "attempted": audit.total_attempted,
                "successful": audit.successful,
                "failures": audit.failed,
                "left": run.left,
                "invocation": number,
            },
        )
        try:
            for document in split_audit(audit):
                await self._audit.put(document)
        except CastielError as error:
            logger.error("token refresh audit not written: %s", error, extra={"error": error.code})
        return audit


def _code(error: Exception) -> str:
    return error.code if isinstance(error, CastielError) else type(error).__name__


def _dimensions(due: Credential) -> dict[str, str]:
    return {"function": "TokenRefresher", "credentialId": due.id, "tenantId": due.tenant_id}
