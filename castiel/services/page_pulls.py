"""An entity's pages: each is stored before its cursor is, and a full pass deletes what it did not see."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from castiel import telemetry
from castiel.adapters.base import Adapter, Page
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.messages import SyncMessage
from castiel.domain.tasks import EntityCheckpoint, Progress, SyncTask
from castiel.errors import CursorExpired, LeaseLost
from castiel.ports.clock import Clock
from castiel.ports.coordination import Lease
from castiel.services.deletion_guard import DeletionGuard
from castiel.services.drafts import PullContext
from castiel.services.prefetch import prefetch
from castiel.services.sync_engine import BidirectionalSyncEngine
from castiel.services.sync_tasks import SyncTaskService
from castiel.services.time_budget import TimeBudgetSpent

logger = logging.getLogger(__name__)


@dataclass
class PullRun:
    """One invocation's work on one execution: ``task`` is the newest state, ``deadline`` on the monotonic clock."""

    message: SyncMessage
    connection: Connection
    lease: Lease
    deadline: float
    task: SyncTask
    pages: int = 0


class PagePulls:
    """Pulls an execution's entities, the next page being fetched while one is stored."""

    def __init__(
        self,
        tasks: SyncTaskService,
        engine: BidirectionalSyncEngine,
        deletions: DeletionGuard,
        clock: Clock,
    ) -> None:
        self._tasks = tasks
        self._engine = engine
        self._deletions = deletions
        self._clock = clock

    async def pull(self, run: PullRun, adapter: Adapter, entity: EntitySync) -> Progress:
        """All pages that are left, then what a full pass did not see. Returns what that came to.

        ``run.task`` is kept up to date. Raises :class:`TimeBudgetSpent` and :class:`LeaseLost` with what was done saved,
        and what the adapter raises.
        """
        context = await self._engine.context(run.connection, entity, run.message.correlation_id)
        checkpoint = run.task.checkpoints.get(entity.entity)
        if checkpoint is None or not checkpoint.covers(entity.shard_type):
            checkpoint = EntityCheckpoint()
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

    def _time_left(self, run: PullRun) -> bool:
        _ensure_lease(run.lease)
        return self._clock.monotonic() < run.deadline

    async def _pull_pages(
        self, run: PullRun, adapter: Adapter, context: PullContext, checkpoint: EntityCheckpoint
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
                checkpoint = EntityCheckpoint(
                    cursor=page.cursor,
                    ended=page.last,
                    full_pass=full_pass,
                    shard_type=context.entity.shard_type,
                )
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


def _pages_are_done(checkpoint: EntityCheckpoint, context: PullContext) -> bool:
    """Whether this very execution has stored the last page of a full pass, and only what follows it is left."""
    ours = checkpoint.full_pass is not None and checkpoint.full_pass.id.startswith(f"{context.execution_id}:")
    return checkpoint.ended and ours


def _ensure_lease(lease: Lease) -> None:
    if lease.lost:
        raise LeaseLost
