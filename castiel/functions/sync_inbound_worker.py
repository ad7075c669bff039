"""SyncInboundWorker: one connection's records, page by page, each page stored before its cursor is."""

from __future__ import annotations

import logging

from castiel import telemetry, tracing
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.messages import SyncMessage, parse_inbound
from castiel.domain.retry import RetryIn
from castiel.domain.tasks import Progress, SyncMode, SyncTask
from castiel.errors import (
    CastielError,
    ConnectionPaused,
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
from castiel.services.entity_pulls import EntityPulls
from castiel.services.integrations import Integrations
from castiel.services.page_pulls import PagePulls, PullRun
from castiel.services.pull_results import execution_result
from castiel.services.push_task import PushTaskService
from castiel.services.retries import Retries
from castiel.services.sync_engine import BidirectionalSyncEngine
from castiel.services.sync_tasks import SyncTaskService, connection_lease
from castiel.services.targeted_pulls import TargetedPulls
from castiel.services.time_budget import TimeBudgetSpent

logger = logging.getLogger(__name__)


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
        self._pages = PagePulls(tasks, engine, deletions, clock)
        self._targeted = TargetedPulls(connections, integrations, engine, results, retries)

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
            await self._targeted.pull(received, message)
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
        run = PullRun(message, connection, lease, deadline, task)
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

    async def _pull_all(self, run: PullRun) -> None:
        adapter = self._integrations.adapter(run.connection)
        for entity in _entities(run.connection, run.task):
            if entity.entity in (run.task.progress or Progress()).entities_done:
                continue
            deletions = await self._pages.pull(run, adapter, entity)
            run.task = await self._tasks.entity_done(run.task, entity.entity, deletions)
        if run.task.sync_mode is SyncMode.BIDIRECTIONAL:
            run.task = await self._push_tasks.announce_changed(
                run.task, run.connection, run.message.correlation_id, run.lease, run.deadline
            )

    async def _continue_later(self, received: ReceivedMessage, run: PullRun, error: CastielError) -> None:
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

    async def _fail(self, received: ReceivedMessage, run: PullRun, error: CastielError) -> None:
        attempt = 0 if run.pages else received.attempt
        decision = self._retries.decide(error, attempt)
        if isinstance(decision, RetryIn):
            run.task = await self._tasks.rest(run.task, decision.delay)
            await self._put_back(received, decision.delay, decision.attempt, error.code)
            return
        await self._finish(received, run.task, error)

    async def _finish(self, received: ReceivedMessage, task: SyncTask, error: CastielError | None) -> None:
        result = execution_result(received, task, error, self._clock.now())
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

    async def _put_back(self, received: ReceivedMessage, delay: float, attempt: int, reason: str) -> None:
        await self._retries.put_back(self._queue, received, delay=delay, attempt=attempt, reason=reason)


def _entities(connection: Connection, task: SyncTask) -> list[EntitySync]:
    return [e for e in connection.entities if e.pulls and (not task.entities or e.entity in task.entities)]
