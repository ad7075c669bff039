"""SyncInboundWorker: one connection's records, page by page, each page stored before its cursor is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from castiel import telemetry, tracing
from castiel.adapters.base import Adapter, Page
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.messages import SyncMessage, parse_inbound
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.retry import RetryIn
from castiel.domain.tasks import EntityCheckpoint, Progress, SyncMode, SyncTask
from castiel.errors import (
    CastielError,
    ConnectionPaused,
    CursorExpired,
    LeaseHeld,
    LeaseLost,
    NotFound,
    ProviderRateLimited,
    RateLimited,
)
from castiel.ports.clock import Clock
from castiel.ports.coordination import Lease, Leases
from castiel.ports.messaging import Event, EventPublisher, Queue, ReceivedMessage
from castiel.ports.stores import ConnectionStore, ResultStore
from castiel.services.deletion_guard import DeletionGuard
from castiel.services.drafts import PullContext
from castiel.services.entity_pulls import EntityPulls
from castiel.services.integrations import Integrations
from castiel.services.prefetch import prefetch
from castiel.services.push_task import PushTaskService
from castiel.services.refetch import as_it_is_now
from castiel.services.retries import Retries, message_json
from castiel.services.sync_engine import BidirectionalSyncEngine
from castiel.services.sync_tasks import SyncTaskService, connection_lease
from castiel.services.time_budget import TimeBudgetSpent

logger = logging.getLogger(__name__)


@dataclass
class _Run:
    """One invocation's work on one execution."""

    message: SyncMessage
    connection: Connection
    lease: Lease
    deadline: float
    task: SyncTask
    pages: int = 0


class SyncInboundWorker:
    """Handles a message of ``sync-inbound``. What it can't finish it continues by a message of its own."""

    def __init__(
        self,
        tasks: SyncTaskService,
        connections: ConnectionStore,
        integrations: Integrations,
        engine: BidirectionalSyncEngine,
        deletions: DeletionGuard,
        results: ResultStore,
        leases: Leases,
        queue: Queue,
        retries: Retries,
        events: EventPublisher,
        clock: Clock,
        *,
        entity_pulls: EntityPulls,
        push_tasks: PushTaskService,
        lease_seconds: float,
        time_budget_seconds: float,
    ) -> None:
        self._tasks = tasks
        self._connections = connections
        self._integrations = integrations
        self._engine = engine
        self._deletions = deletions
        self._results = results
        self._leases = leases
        self._queue = queue
        self._retries = retries
        self._events = events
        self._clock = clock
        self._entity_pulls = entity_pulls
        self._push_tasks = push_tasks
        self._lease_seconds = lease_seconds
        self._budget = time_budget_seconds

    async def handle(self, received: ReceivedMessage) -> None:
        """Raises :class:`~castiel.errors.InvalidMessage`, and what is unexpected: the host then abandons it."""
        message = parse_inbound(received.body)
        with (
            telemetry.log_context(
                function="SyncInboundWorker",
                correlationId=message.correlation_id,
                tenantId=message.tenant_id,
                connectionId=message.connection_id,
                integrationId=message.integration_id,
                taskId=message.task_id,
            ),
            tracing.span("SyncInboundWorker", parent=received.trace),
        ):
            name = connection_lease(message.tenant_id, message.connection_id)
            try:
                async with self._leases.hold(name, seconds=self._lease_seconds) as lease:
                    await self._work(received, message, lease)
            except LeaseHeld as error:
                await self._put_back(
                    received, error.retry_after or self._lease_seconds, received.attempt, "lease_held"
                )
            except CastielError as error:
                await self._retry_or_raise(received, error)

    async def _retry_or_raise(self, received: ReceivedMessage, error: CastielError) -> None:
        """What failed outside of an execution: our own stores, mostly. A limit of our own is no failed try."""
        if isinstance(error, RateLimited):
            await self._put_back(received, error.retry_after or 1.0, received.attempt, error.code)
            return
        decision = self._retries.decide(error, received.attempt)
        if not isinstance(decision, RetryIn):
            raise error
        await self._put_back(received, decision.delay, decision.attempt, error.code)

    async def _work(self, received: ReceivedMessage, message: SyncMessage, lease: Lease) -> None:
        if message.task_id is None and message.external_ids:
            await self._pull_targeted(received, message)
            return
        if message.task_id is None:
            execution = await self._entity_pulls.execution(message)
            if execution is None:
                return
            message = execution
        task = await self._tasks.begin(message, lease.fence)
        if task is None:
            return
        deadline = self._clock.monotonic() + self._budget
        try:
            connection = await self._connections.get(message.tenant_id, message.connection_id)
        except NotFound:
            await self._finish(
                received, task, ConnectionPaused(f"connection {message.connection_id}: it is gone")
            )
            return
        run = _Run(message, connection, lease, deadline, task)
        try:
            await self._pull_all(run)
        except TimeBudgetSpent:
            await self._tasks.rest(run.task, 0.0)
            await self._put_back(received, 0.0, received.attempt, "time_budget")
        except (RateLimited, ProviderRateLimited, LeaseLost) as error:
            await self._continue_later(received, run, error)
        except CastielError as error:
            await self._fail(received, run, error)
        else:
            await self._finish(received, run.task, None)

    async def _pull_all(self, run: _Run) -> None:
        adapter = self._integrations.adapter(run.connection)
        for entity in _entities(run.connection, run.task):
            if entity.entity in (run.task.progress or Progress()).entities_done:
                continue
            deletions = await self._pull_entity(run, adapter, entity)
            run.task = await self._tasks.entity_done(run.task, entity.entity, deletions)
        if run.task.sync_mode is SyncMode.BIDIRECTIONAL:
            run.task = await self._push_tasks.announce_changed(
                run.task, run.connection, run.message.correlation_id, run.lease, run.deadline
            )

    async def _pull_entity(self, run: _Run, adapter: Adapter, entity: EntitySync) -> Progress:
        """All pages that are left, then what a full pass did not see. Returns what that came to."""
        context = await self._engine.context(run.connection, entity, run.message.correlation_id)
        checkpoint = run.task.checkpoints.get(entity.entity) or EntityCheckpoint()
        if not _pages_are_done(checkpoint, context):
            try:
                checkpoint = await self._pull_pages(run, adapter, context, checkpoint)
            except CursorExpired:
                logger.warning("cursor expired: full pass", extra={"entity": entity.entity})
                checkpoint = await self._pull_pages(run, adapter, context, EntityCheckpoint())
        if not checkpoint.ended or checkpoint.full_pass is None:
            return Progress()
        done, complete = await self._deletions.end(
            context, checkpoint.full_pass, lambda: self._time_left(run)
        )
        if not complete:
            run.task = await self._tasks.checkpoint(run.task, entity.entity, checkpoint, done)
            raise TimeBudgetSpent
        return done

    def _time_left(self, run: _Run) -> bool:
        _ensure_lease(run.lease)
        return self._clock.monotonic() < run.deadline

    async def _pull_pages(
        self, run: _Run, adapter: Adapter, context: PullContext, checkpoint: EntityCheckpoint
    ) -> EntityCheckpoint:
        entity = context.entity.entity
        begins = checkpoint.cursor is None or checkpoint.ended
        full_pass = None if begins else checkpoint.full_pass
        async with aclosing(prefetch(self._dated(adapter.fetch(entity, checkpoint.cursor)))) as pages:
            async for page, read_at in pages:
                _ensure_lease(run.lease)
                if begins and page.full_pass:
                    full_pass = await self._deletions.begin(context, read_at)
                begins = False
                stored = (run.task.progress or Progress()).pages
                done = await self._engine.pull(replace(context, page=stored, read_at=read_at), page.records)
                done.pages = 1
                if full_pass is not None:
                    whole = page.full_pass
                    full_pass = await self._deletions.saw(full_pass, page.records) if whole else None
                _ensure_lease(run.lease)
                checkpoint = EntityCheckpoint(cursor=page.cursor, ended=page.last, full_pass=full_pass)
                run.task = await self._tasks.checkpoint(run.task, entity, checkpoint, done)
                run.pages += 1
                telemetry.count(
                    "inbound_records", done.records_processed, integration=run.message.integration_id
                )
                if not page.last and self._clock.monotonic() >= run.deadline:
                    raise TimeBudgetSpent
        return checkpoint

    async def _dated(self, pages: AsyncIterator[Page]) -> AsyncGenerator[tuple[Page, datetime], None]:
        """Each page with the moment it was asked for."""
        read_at = self._clock.now()
        try:
            async for page in pages:
                yield page, read_at
                read_at = self._clock.now()
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()

    async def _pull_targeted(self, received: ReceivedMessage, message: SyncMessage) -> None:
        """A targeted pull. No task tells of it, so that one which is given up leaves a result with its message."""
        try:
            connection = await self._connections.get(message.tenant_id, message.connection_id)
        except NotFound:
            logger.info("message dropped: the connection is gone")
            return
        try:
            await self._pull_records(message, connection)
        except CastielError as error:
            if isinstance(error, RateLimited) or isinstance(
                self._retries.decide(error, received.attempt), RetryIn
            ):
                raise
            logger.error("targeted pull failed: %s", error, extra={"error": error.code})
            telemetry.count("inbound_worker_failure", integration=message.integration_id)
            await self._results.put(self._given_up(received, message, error))

    async def _pull_records(self, message: SyncMessage, connection: Connection) -> None:
        """These records, as they are now."""
        entity = connection.entity(message.entity or "")
        if entity is None or not entity.pulls:
            logger.info("message dropped: the connection doesn't pull this entity")
            return
        adapter = self._integrations.adapter(connection)
        found = await adapter.get(entity.entity, message.external_ids)
        records = [
            record
            for key in message.external_ids
            if (record := as_it_is_now(entity.entity, key, found.get(key), message.deletions.get(key)))
        ]
        context = await self._engine.context(connection, entity, message.correlation_id)
        await self._engine.pull(context, records)

    async def _continue_later(self, received: ReceivedMessage, run: _Run, error: CastielError) -> None:
        """A limit, not a failure: what was done is saved, the rest waits. It counts as a try only without progress."""
        if isinstance(error, LeaseLost):
            # Whoever has the lease now goes on with the execution; this message looks again later.
            await self._put_back(received, self._lease_seconds, received.attempt, error.code)
            return
        if isinstance(error, RateLimited) or run.pages:
            delay = max(error.retry_after or 0.0, 1.0)
            run.task = await self._tasks.rest(run.task, delay)
            await self._put_back(received, delay, 0 if run.pages else received.attempt, error.code)
            return
        await self._fail(received, run, error)

    async def _fail(self, received: ReceivedMessage, run: _Run, error: CastielError) -> None:
        attempt = 0 if run.pages else received.attempt
        decision = self._retries.decide(error, attempt)
        if isinstance(decision, RetryIn):
            run.task = await self._tasks.rest(run.task, decision.delay)
            await self._put_back(received, decision.delay, decision.attempt, error.code)
            return
        await self._finish(received, run.task, error)

    async def _finish(self, received: ReceivedMessage, task: SyncTask, error: CastielError | None) -> None:
        result = self._result(received, task, error)
        await self._results.put(result)
        await self._tasks.finish(task, result.id, error, received.attempt)
        outcome = "inbound_worker_failure" if error else "inbound_worker_success"
        telemetry.count(outcome, integration=task.integration_id)
        telemetry.record("inbound_worker_duration_ms", result.duration, integration=task.integration_id)
        log = logger.error if error else logger.info
        log(
            "sync %s: %d records, %d failed, %d ms%s",
            result.status.value,
            result.records_processed,
            result.records_failed,
            result.duration,
            f": {error.code}: {error}" if error else "",
            extra={"taskId": task.id, "resultId": result.id, "recordsProcessed": result.records_processed},
        )
        await self._events.publish(
            Event(
                "castiel.sync.failed" if error else "castiel.sync.completed",
                f"tasks/{task.id}",
                {"taskId": task.id, "resultId": result.id, "status": result.status.value},
                task.tenant_id,
                task.execution_id,
            )
        )

    def _result(self, received: ReceivedMessage, task: SyncTask, error: CastielError | None) -> SyncResult:
        """One per execution: its id and date follow from the execution, so writing it again replaces it."""
        progress = task.progress or Progress()
        started = task.started_at or self._clock.now()
        if error is not None:
            status = SyncStatus.FAILED
        else:
            status = SyncStatus.PARTIAL if progress.records_failed else SyncStatus.SUCCESS
        return SyncResult(
            id=f"result-{task.execution_id}",
            integration_id=task.integration_id,
            tenant_id=task.tenant_id,
            connection_id=task.connection_id,
            task_id=task.id,
            correlation_id=task.execution_id,
            status=status,
            records_processed=progress.records_processed,
            records_created=progress.records_created,
            records_updated=progress.records_updated,
            records_deleted=progress.records_deleted,
            records_unchanged=progress.records_unchanged,
            records_failed=progress.records_failed,
            conflicts_detected=progress.conflicts_detected,
            conflicts_resolved=progress.conflicts_resolved,
            errors=progress.errors,
            duration=max(0, int((self._clock.now() - started).total_seconds() * 1000)),
            executed_at=started,
            metadata={
                "pages": progress.pages,
                "shardsWritten": progress.shards_written,
                "requestCharge": round(progress.request_charge, 2),
                "requestChargePerRecord": round(progress.request_charge / max(1, _looked_at(progress)), 2),
                **({"deletions": progress.deletions} if progress.deletions else {}),
                **({"announced": progress.records_announced} if progress.records_announced else {}),
            },
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            retryable=error.retryable if error else None,
            attempt=received.attempt if error else None,
            given_up_message=message_json(received) if error else None,
        )

    def _given_up(self, received: ReceivedMessage, message: SyncMessage, error: CastielError) -> SyncResult:
        """One per message: its id and date follow from the message, so writing it again replaces it."""
        return SyncResult(
            id=f"result-{hashlib.sha256(received.root.encode()).hexdigest()[:32]}",
            integration_id=message.integration_id,
            tenant_id=message.tenant_id,
            connection_id=message.connection_id,
            correlation_id=message.correlation_id,
            status=SyncStatus.FAILED,
            executed_at=message.enqueued_at,
            error_code=error.code,
            error_message=str(error),
            retryable=error.retryable,
            attempt=received.attempt,
            given_up_message=message_json(received),
        )

    async def _put_back(self, received: ReceivedMessage, delay: float, attempt: int, reason: str) -> None:
        await self._retries.put_back(self._queue, received, delay=delay, attempt=attempt, reason=reason)


def _entities(connection: Connection, task: SyncTask) -> list[EntitySync]:
    return [e for e in connection.entities if e.pulls and (not task.entities or e.entity in task.entities)]


def _looked_at(progress: Progress) -> int:
    """The records that were brought in or found as they were."""
    return progress.records_processed + progress.records_unchanged


def _pages_are_done(checkpoint: EntityCheckpoint, context: PullContext) -> bool:
    """Whether this very execution has stored the last page of a full pass, and only what follows it is left."""
    ours = checkpoint.full_pass is not None and checkpoint.full_pass.id.startswith(f"{context.execution_id}:")
    return checkpoint.ended and ours


def _ensure_lease(lease: Lease) -> None:
    if lease.lost:
        raise LeaseLost
