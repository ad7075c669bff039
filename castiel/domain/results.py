"""What one execution did: inbound per task execution, outbound per record."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from castiel.domain.messages import Operation
from castiel.domain.model import Document, Model, UtcSecond, utc_date
from castiel.domain.tasks import RecordError
from castiel.errors import CastielError

RESULT_TTL_SECONDS = 2_592_000
"""30 days."""


class SyncStatus(StrEnum):
    """``partial``: some records failed, the rest is stored."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"

    @classmethod
    def of(cls, error: CastielError | None, records_failed: int) -> SyncStatus:
        """What an execution came to that ended with this error, or with so many records failed."""
        if error is not None:
            return cls.FAILED
        return cls.PARTIAL if records_failed else cls.SUCCESS


class _Result(Document):
    integration_id: str
    tenant_id: str
    executed_at: UtcSecond
    executed_on: str | None = None
    ttl: int = RESULT_TTL_SECONDS
    connection_id: str | None = None
    correlation_id: str | None = None
    attempt: int | None = None
    duration: int = 0
    """Milliseconds."""
    retryable: bool | None = None
    error_code: str | None = None
    error_message: str | None = None
    given_up_message: dict[str, Any] | None = None
    """The message itself, when it was given up: what ``castiel failed replay`` sends again."""

    def partition(self) -> list[str]:
        """The values of ``/tenantId``, ``/executedOn``."""
        self.executed_on = self.executed_on or utc_date(self.executed_at)
        return [self.tenant_id, self.executed_on]


class SyncResult(_Result):
    """An inbound result, as in the brief."""

    status: SyncStatus
    records_processed: int = 0
    records_created: int = 0
    records_updated: int = 0
    records_failed: int = 0
    conflicts_detected: int = 0
    conflicts_resolved: int = 0
    task_id: str | None = None
    records_deleted: int | None = None
    records_unchanged: int | None = None
    errors: list[RecordError] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)


class PushResult(_Result):
    """An outbound result, as in the brief."""

    entity_id: str
    operation: Operation
    success: bool
    external_id: str | None = None
    conflicts: list[dict[str, Any]] = Field(default_factory=list)


class RefreshResult(Model):
    """What one credential's refresh came to, as in the brief. ``duration`` is in milliseconds."""

    credential_id: str
    tenant_id: str
    integration_id: str
    success: bool
    new_expiry_time: UtcSecond | None = None
    duration: int = 0
    error_code: str | None = None
    needs_reauth: bool | None = None
    attempts: int | None = None


class RefreshAudit(Document):
    """One record per TokenRefresher run (``token-refresh``, kept 90 days).

    ``left``: credentials that another invocation goes on with. Results that don't fit lie in further documents
    with ``part_of``; ``parts`` says how many there are in all.
    """

    executed_at: UtcSecond
    total_attempted: int = 0
    successful: int = 0
    failed: int = 0
    results: list[RefreshResult] = Field(default_factory=list)
    duration: int = 0
    correlation_id: str | None = None
    left: int | None = None
    parts: int | None = None
    part_of: str | None = None
    ttl: int = 7_776_000
