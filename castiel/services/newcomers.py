"""Records that no shard refers to yet: which become shards of their own, and which are duplicates."""

from __future__ import annotations

from collections.abc import Sequence

from castiel.adapters.base import ExternalRecord
from castiel.domain.parked import ParkedConflict, ParkedKind, pair_id
from castiel.ports.clock import Clock
from castiel.services.deduplication import DeduplicationService, Newcomer, Placement
from castiel.services.pull_batch import PullBatch
from castiel.services.record_merge import RecordMerge


class Newcomers:
    """Places a batch's new records."""

    def __init__(self, deduplication: DeduplicationService, merge: RecordMerge, clock: Clock) -> None:
        self._deduplication = deduplication
        self._records = merge
        self._clock = clock

    def newcomer(self, batch: PullBatch, record: ExternalRecord) -> Newcomer:
        """A converted record with the keys that its duplicates are looked for by."""
        search, fields = batch.context.search, batch.converted[record.external_id].fields
        shard_id = batch.context.shard_id(record.external_id, batch.again.get(record.external_id, 0))
        if search is None:
            return Newcomer(shard_id, fields)
        return self._deduplication.newcomer(search, shard_id, fields)

    async def place(self, batch: PullBatch, *, patient: bool) -> None:
        """Make new records shards of their own, or further references of those they are duplicates of.

        ``patient``: what another worker has announced is waited for.
        """
        context = batch.context
        newcomers = [newcomer for _, newcomer in batch.newcomers]
        placements = [Placement(newcomer.shard_id) for newcomer in newcomers]
        if context.search is not None:
            placements = await self._deduplication.place(context.search, newcomers, patient=patient)
        # Leaders first: their followers find the draft.
        together = zip(batch.newcomers, placements, strict=True)
        for (record, newcomer), placement in sorted(
            together, key=lambda t: t[0][1].shard_id != t[1].shard_id
        ):
            if placement.waits:
                batch.waiting.append(record)
                continue
            if placement.stored is not None:
                batch.draft(placement.stored)
            draft = batch.drafts.get(placement.shard_id)
            if draft is None:
                keys = {id(context.search.matcher.rules): newcomer.keys} if context.search else {}
                draft = self._records.new(context, newcomer.shard_id, record, newcomer.fields, keys)
                batch.drafts[draft.shard.id] = draft
            elif context.reference(draft.shard, record.external_id) is not None:
                # Somebody made it one of this shard's since it was looked up.
                if not self._records.change(context, draft, record, newcomer.fields):
                    continue
            else:
                self._records.adopt(context, draft, record, newcomer.fields)
            draft.derived[context.key(record.external_id)] = batch.converted[record.external_id].derived
        self._note_possible_duplicates(batch, placements)

    def _note_possible_duplicates(self, batch: PullBatch, placements: Sequence[Placement]) -> None:
        """What may be the same thing is parked for a person, unless one has said that it is not."""
        context = batch.context
        went_to = {n.shard_id: p.shard_id for (_, n), p in zip(batch.newcomers, placements, strict=True)}
        for (record, _), placement in zip(batch.newcomers, placements, strict=True):
            for review in placement.reviews:
                one, other = placement.shard_id, went_to.get(review.other, review.other)
                shard = batch.drafts[one].shard if one in batch.drafts else None
                if placement.waits or shard is None or one == other or other in shard.distinct_from:
                    continue
                found = review.result.to_json()
                batch.possible[pair_id(one, other)] = ParkedConflict(
                    id=pair_id(one, other),
                    tenant_id=context.connection.tenant_id,
                    kind=ParkedKind.DUPLICATE,
                    shard_id=one,
                    shard_type=context.entity.shard_type,
                    integration_id=context.connection.integration_id,
                    connection_id=context.connection.id,
                    entity=context.entity.entity,
                    external_id=record.external_id,
                    other_shard_id=other,
                    score=found["score"],
                    explanation=found["explanations"],
                    detected_at=self._clock.now(),
                    correlation_id=context.execution_id,
                )
