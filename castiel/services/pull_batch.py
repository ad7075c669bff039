"""One batch of records on its way through the engine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from castiel.adapters.base import ExternalRecord
from castiel.domain.conversion import Converted
from castiel.domain.failures import FailedRecord
from castiel.domain.hashing import content_hash
from castiel.domain.parked import ParkedConflict
from castiel.domain.shards import Shard
from castiel.domain.tasks import MAX_RESULT_ERRORS, Progress, RecordError
from castiel.errors import CastielError
from castiel.services.deduplication import Newcomer
from castiel.services.drafts import Draft, PullContext


@dataclass
class PullBatch:
    """The work on one batch, over its rounds: ``todo`` is what is left to do.

    ``drafts``, ``newcomers``, ``waiting`` and ``possible`` are of one round.
    """

    context: PullContext
    todo: list[ExternalRecord]
    progress: Progress = field(default_factory=Progress)
    written: list[Shard] = field(default_factory=list)
    converted: dict[str, Converted] = field(default_factory=dict)
    failed: dict[str, FailedRecord] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    newcomers: list[tuple[ExternalRecord, Newcomer]] = field(default_factory=list)
    waiting: list[ExternalRecord] = field(default_factory=list)
    possible: dict[str, ParkedConflict] = field(default_factory=dict)
    saving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its shards are on their way to the store: then there is time for the next."""
    taken: set[str] = field(default_factory=set)
    """External ids of records whose new shard's id was taken."""
    again: dict[str, int] = field(default_factory=dict)
    """How many shards a record has made that don't refer to it any more."""
    conflicts: int = 0
    waits: int = 0

    def draft(self, shard: Shard) -> Draft:
        """The one draft of a shard in this round."""
        return self.drafts.setdefault(shard.id, Draft(shard))

    def fail(self, record: ExternalRecord, error: CastielError, now: datetime) -> None:
        """The record can't be brought in; it is kept whole, for ``failed replay``."""
        context = self.context
        self.failed[record.external_id] = FailedRecord(
            id=f"failed-{content_hash({'key': context.key(record.external_id)})}",
            tenant_id=context.connection.tenant_id,
            integration_id=context.connection.integration_id,
            connection_id=context.connection.id,
            entity=context.entity.entity,
            external_id=record.external_id,
            fields=dict(record.fields),
            modified_at=record.modified_at,
            version=record.version,
            code=error.code,
            message=str(error),
            correlation_id=context.execution_id,
            executed_at=now,
        )

    def count_failed(self) -> list[FailedRecord]:
        """The records that failed, counted into the progress."""
        failed = list(self.failed.values())
        self.progress.records_failed = len(failed)
        self.progress.records_processed += len(failed)
        self.progress.errors = [_record_error(f) for f in failed[:MAX_RESULT_ERRORS]]
        return failed


def _record_error(failed: FailedRecord) -> RecordError:
    return RecordError(
        entity=failed.entity, external_id=failed.external_id, code=failed.code, message=failed.message
    )
