"""Sync tasks: a standing or one-off order to sync a connection, and how far it has come."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import Field

from castiel.domain.model import Document, Model, UtcDatetime, UtcSecond


class TaskStatus(StrEnum):
    """``pending → queued → processing → completed | failed``."""

    PENDING = "pending"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class TaskType(StrEnum):
    """What asked for the sync."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    WEBHOOK = "webhook"


class SyncMode(StrEnum):
    """Which way records travel, seen from Castiel."""

    PULL = "pull"
    PUSH = "push"
    BIDIRECTIONAL = "bidirectional"


class Priority(StrEnum):
    """The order in which the scheduler serves what is due."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Schedule(Model):
    """When a task runs again: a cron expression (five fields, UTC) or an interval, exactly one of them."""

    cron: str | None = None
    interval_seconds: int | None = Field(default=None, ge=60)


class FullPass(Model):
    """A fetch that shows every record there is, under way or just over. ``id`` names what it has seen."""

    id: str
    started_at: UtcDatetime
    seen: int = 0


class EntityCheckpoint(Model):
    """How far one entity has come. ``cursor`` is the adapter's own; ``None`` means from the beginning.

    ``ended``: the fetch that gave the cursor was complete. ``full_pass``: every page of it so far belonged to a
    full pass. ``shard_type``: what the records became.
    """

    cursor: dict[str, Any] | None = None
    ended: bool = False
    full_pass: FullPass | None = None
    full_pass_started_at: UtcDatetime | None = None
    shard_type: str | None = None
    updated_at: UtcDatetime | None = None

    def covers(self, shard_type: str) -> bool:
        """Whether it says how far these have come: an entity that gets another shard type begins anew."""
        return self.shard_type in (None, shard_type)


class RecordError(Model):
    """One record that failed, without its values."""

    entity: str
    external_id: str
    code: str
    message: str
    field: str | None = None


MAX_RESULT_ERRORS = 50
"""A result names this many failed records; the rest are only counted."""


class Progress(Model):
    """What an execution has done so far; saved with each checkpoint, so that a restart goes on counting."""

    records_processed: int = 0
    records_created: int = 0
    records_updated: int = 0
    records_deleted: int = 0
    records_unchanged: int = 0
    records_failed: int = 0
    conflicts_detected: int = 0
    conflicts_resolved: int = 0
    shards_written: int = 0
    pages: int = 0
    records_announced: int = 0
    entities_done: list[str] = Field(default_factory=list)
    errors: list[RecordError] = Field(default_factory=list)
    request_charge: float = 0.0
    deletions: dict[str, Any] = Field(default_factory=dict)
    """Per entity: what became of the shards that a full pass did not see."""

    def add(self, other: Progress) -> None:
        """Count what a page did."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors = (self.errors + other.errors)[:MAX_RESULT_ERRORS]
        self.deletions = {**self.deletions, **other.deletions}


_COUNTS = tuple(
    name for name in Progress.model_fields if name not in ("entities_done", "errors", "deletions")
)


class TaskFailure(Model):
    """Why the last execution failed."""

    code: str
    message: str
    at: UtcDatetime
    attempt: int = 0


class SyncTask(Document):
    """A document of the ``sync-tasks`` container."""

    integration_id: str
    tenant_id: str
    connection_id: str
    sync_mode: SyncMode
    priority: Priority = Priority.NORMAL
    status: TaskStatus = TaskStatus.PENDING
    next_scheduled: UtcSecond | None = None
    enabled: bool = True
    type: TaskType = TaskType.SCHEDULED
    schedule: Schedule | None = None
    entities: list[str] = Field(default_factory=list)
    execution_id: str | None = None
    queued_at: UtcSecond | None = None
    started_at: UtcSecond | None = None
    completed_at: UtcSecond | None = None
    heartbeat_at: UtcSecond | None = None
    resumes_at: UtcSecond | None = None
    fence: int | None = None
    write_id: str | None = None
    """Names the last write of a worker, so that it knows its own when the answer was lost."""
    progress: Progress | None = None
    checkpoints: dict[str, EntityCheckpoint] = Field(default_factory=dict)
    last_result_id: str | None = None
    last_failure: TaskFailure | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether the scheduler should queue it: pending, or its time has come and nothing works on it."""
        if not self.enabled or self.status in (TaskStatus.QUEUED, TaskStatus.PROCESSING):
            return False
        if self.status is TaskStatus.PENDING:
            return True
        return self.next_scheduled is not None and self.next_scheduled <= now

    def queue(self, execution_id: str, now: datetime) -> None:
        """``→ queued``: a new execution begins."""
        self.status = TaskStatus.QUEUED
        self.execution_id = execution_id
        self.queued_at = now.replace(microsecond=0)
        self.started_at = self.completed_at = self.resumes_at = None
        self.progress = None

    def give_back(self) -> None:
        """``→ pending``: the message that would have announced the execution can't have arrived."""
        self.status = TaskStatus.PENDING
        self.execution_id = None
        self.queued_at = self.resumes_at = None

    def begin(self, fence: int, now: datetime) -> None:
        """``→ processing``, or a take-over of an execution whose worker is gone."""
        moment = now.replace(microsecond=0)
        self.status = TaskStatus.PROCESSING
        self.started_at = self.started_at or moment
        self.heartbeat_at = moment
        self.resumes_at = None
        self.fence = fence
        self.progress = self.progress or Progress()

    def rest(self, now: datetime, until: datetime) -> None:
        """A sign of life: the execution goes on by a message that is delivered at ``until``."""
        self.heartbeat_at = now.replace(microsecond=0)
        self.resumes_at = until.replace(microsecond=0)

    def finish(self, status: TaskStatus, now: datetime, next_scheduled: datetime | None) -> None:
        """``→ completed | failed``, with the time of the next execution where there is a schedule."""
        self.status = status
        self.completed_at = now.replace(microsecond=0)
        self.resumes_at = None
        self.next_scheduled = next_scheduled


def task_is_stuck(task: SyncTask, now: datetime, *, queued_for: timedelta, silent_for: timedelta) -> bool:
    """Whether a task waits for something that can no longer come.

    ``queued`` for longer than its message could live, or ``processing`` without a sign of life. A continuation that
    is to come later (a provider's Retry-After may be hours) is counted from when it comes.
    """
    if task.status is TaskStatus.QUEUED:
        return task.queued_at is None or task.queued_at + queued_for < now
    if task.status is TaskStatus.PROCESSING:
        signs = [moment for moment in (task.heartbeat_at, task.resumes_at) if moment is not None]
        return not signs or max(signs) + silent_for < now
    return False
