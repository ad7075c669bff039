"""Storing a batch's drafts: parked conflicts first, then the shards, then what is told of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from castiel import telemetry
from castiel.adapters.base import ExternalRecord
from castiel.errors import AlreadyExists, CastielError, Conflict, DocumentTooLarge
from castiel.ports.clock import Clock
from castiel.ports.messaging import Event, EventPublisher
from castiel.ports.stores import ConflictStore, ShardStore
from castiel.services.drafts import Draft, PullContext, count
from castiel.services.pull_batch import PullBatch

logger = logging.getLogger(__name__)


class BatchSaving:
    """Stores what a batch changed, and counts it."""

    def __init__(
        self, shards: ShardStore, conflicts: ConflictStore, events: EventPublisher, clock: Clock
    ) -> None:
        self._shards = shards
        self._conflicts = conflicts
        self._events = events
        self._clock = clock

    async def save(self, batch: PullBatch) -> list[ExternalRecord]:
        """Write what changed; returns the records whose shards somebody else wrote first."""
        drafts = list(batch.drafts.values())
        changed = [draft for draft in drafts if draft.changed]
        # Parked before the shard remembers having asked: a crash in between asks again, it never forgets.
        parked = [conflict for draft in changed for conflict in draft.parked] + list(batch.possible.values())
        if parked:
            await self._conflicts.put_many(parked)
        again: list[ExternalRecord] = []
        batch.saving.set()
        for draft, outcome in zip(changed, await self._shards.save([d.shard for d in changed]), strict=True):
            if isinstance(outcome.error, Conflict | AlreadyExists):
                again += draft.records
                if isinstance(outcome.error, AlreadyExists):
                    batch.taken.add(draft.records[0].external_id)  # the one that makes it; others join it
            elif isinstance(outcome.error, DocumentTooLarge):
                for record in draft.records:
                    batch.fail(record, outcome.error, self._clock.now())
            elif isinstance(outcome.error, CastielError):
                raise outcome.error
            else:
                batch.written.append(draft.shard)
                batch.progress.shards_written += 1
                count(batch.progress, batch.context, draft)
                await self._tell_conflicts(batch.context, draft)
        for draft in drafts:
            if not draft.changed:
                count(batch.progress, batch.context, draft)
        return again

    async def _tell_conflicts(self, context: PullContext, draft: Draft) -> None:
        if not draft.detected:
            return
        telemetry.count("conflicts_detected", draft.detected, integration=context.connection.integration_id)
        logger.debug("conflict met", extra={"shardId": draft.shard.id, "conflicts": draft.detected})
        data: Mapping[str, object] = {
            "shardId": draft.shard.id,
            "connectionId": context.connection.id,
            "detected": draft.detected,
            "resolved": draft.resolved,
        }
        subject = f"shards/{draft.shard.id}"
        tenant, execution = context.connection.tenant_id, context.execution_id
        await self._events.publish(Event("castiel.conflict.detected", subject, data, tenant, execution))
