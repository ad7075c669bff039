"""What pulls leave in ``sync-results``."""

from __future__ import annotations

import hashlib
from datetime import datetime

from castiel.domain.messages import SyncMessage
from castiel.domain.results import SyncResult, SyncStatus
from castiel.domain.tasks import Progress, SyncTask
from castiel.errors import CastielError
from castiel.ports.messaging import ReceivedMessage
from castiel.services.retries import message_json


def execution_result(
    received: ReceivedMessage, task: SyncTask, error: CastielError | None, now: datetime
) -> SyncResult:
    """What an execution came to.

    One per execution: its id and date follow from the execution, so writing it again replaces it.
    """
    progress = task.progress or Progress()
    started = task.started_at or now
    return SyncResult(
        id=f"result-{task.execution_id}",
        integration_id=task.integration_id,
        tenant_id=task.tenant_id,
        connection_id=task.connection_id,
        task_id=task.id,
        correlation_id=task.execution_id,
        status=SyncStatus.of(error, progress.records_failed),
        records_processed=progress.records_processed,
        records_created=progress.records_created,
        records_updated=progress.records_updated,
        records_deleted=progress.records_deleted,
        records_unchanged=progress.records_unchanged,
        records_failed=progress.records_failed,
        conflicts_detected=progress.conflicts_detected,
        conflicts_resolved=progress.conflicts_resolved,
        errors=progress.errors,
        duration=max(0, int((now - started).total_seconds() * 1000)),
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


def given_up_result(received: ReceivedMessage, message: SyncMessage, error: CastielError) -> SyncResult:
    """A targeted pull that failed for good.

    One per message: its id and date follow from the message, so writing it again replaces it.
    """
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


def _looked_at(progress: Progress) -> int:
    """The records that were brought in or found as they were."""
    return progress.records_processed + progress.records_unchanged
