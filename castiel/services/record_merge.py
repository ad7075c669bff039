"""One external record against one shard: what changes here, what has to be told to whom. Nothing is stored yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from castiel.adapters.base import ExternalRecord
from castiel.domain.conflicts import (
    ConflictPolicy,
    ConflictStrategy,
    MergeOutcome,
    Resolver,
    merge_three_way,
)
from castiel.domain.conflicts.meeting import meeting_policy
from castiel.domain.conversion import carried_fields, fed_fields
from castiel.domain.edits_and_deletions import changed_after, outlives
from castiel.domain.matching import MergePolicy
from castiel.domain.messages import Operation
from castiel.domain.parked import ParkedConflict, conflict_id
from castiel.domain.shards import ExternalReference, Shard, ShardKind
from castiel.ports.clock import Clock
from castiel.services.drafts import Draft, PullContext
from castiel.services.outbox import Outbox, told_as
from castiel.services.record_news import came_back, is_stale, was_overtaken


class RecordMerge:
    """Brings records into drafts: new shards, merges, duplicates, deletions."""

    def __init__(self, outbox: Outbox, resolvers: Mapping[str, Resolver], clock: Clock) -> None:
        """``resolvers``: the named functions of the ``custom`` strategy."""
        self._outbox = outbox
        self._resolvers = resolvers
        self._clock = clock

    def new(
        self,
        context: PullContext,
        shard_id: str,
        record: ExternalRecord,
        fields: Mapping[str, Any],
        keys: Mapping[int, Sequence[str]],
    ) -> Draft:
        """A shard that the record makes. ``keys``: blocking keys that are known already, by their rules' ``id``."""
        now = self._clock.now()
        shard = Shard(
            id=shard_id,
            tenant_id=context.connection.tenant_id,
            shard_type=context.entity.shard_type,
            created_at=now,
            updated_at=now,
            created_in=context.execution_id,
        )
        shard.set_fields(fields, context.connection.id, record.modified_at or now, context.execution_id)
        context.audience.index(shard, known=keys)
        shard.updated_at = now
        reference = _new_reference(context, record)
        reference.base = dict(fields)
        self._stamp(context, reference, record)
        shard.put_reference(reference)
        self._outbox.announce(shard, context.others, Operation.CREATE, sorted(fields), context.execution_id)
        return Draft(shard, changed=True, records=[record])

    def change(
        self, context: PullContext, draft: Draft, record: ExternalRecord, fields: Mapping[str, Any]
    ) -> bool:
        """A record that the shard refers to already. ``False``: it is passed over, and says nothing of anything."""
        draft.records.append(record)
        shard = draft.shard
        reference = context.reference(shard, record.external_id)
        if reference is None:
            self._claim(context, draft, record, fields)
            return not shard.deleted
        if is_stale(reference, record) or was_overtaken(context, reference):
            return False
        outcome = self._merged(context, context.policy, shard, reference, record, fields)
        if shard.deleted or reference.deleted:
            fed = fed_fields(context.schema)
            if not outlives(shard, reference, outcome.base, fed, record.modified_at):
                return False
            self._apply(context, draft, reference, record, outcome)
            return True
        unchanged = (
            not outcome.changed_locally
            and not outcome.conflicts
            and outcome.base == reference.base
            and outcome.parked == reference.parked
            and shard.keys_version == context.audience.version
        )
        if not unchanged:
            self._apply(context, draft, reference, record, outcome)
        return True

    def adopt(
        self, context: PullContext, draft: Draft, record: ExternalRecord, fields: Mapping[str, Any]
    ) -> None:
        """A new record that is a duplicate: a further reference of the shard, gaps filled both ways."""
        draft.records.append(record)
        rules = context.search.matcher.rules if context.search else None
        merge_policy = rules.merge_policy if rules else MergePolicy.MERGE_FIELDS
        policy = meeting_policy(merge_policy, context.policy, draft.shard.fields, fields)
        reference = _new_reference(context, record)
        draft.shard.kind = ShardKind.PRIMARY
        outcome = self._merged(context, policy, draft.shard, reference, record, fields)
        self._apply(context, draft, reference, record, outcome)

    def _claim(
        self, context: PullContext, draft: Draft, record: ExternalRecord, fields: Mapping[str, Any]
    ) -> None:
        """A record that a push made from this shard, before the push could say so (a crash, an answer that was lost).

        It began as a copy of the shard, so that the newer value of a field is the one that was changed since. If the
        shard was deleted meanwhile, the record goes too.
        """
        shard = draft.shard
        if shard.reference(context.connection.id, context.entity.entity) is not None:
            return
        reference = _new_reference(context, record)
        if shard.deleted:
            reference.base = {name: shard.fields.get(name) for name in fields}
            if not outlives(shard, reference, fields, fed_fields(context.schema), record.modified_at):
                self._stamp(context, reference, record)
                shard.put_reference(reference)
                self._outbox.announce(shard, context.itself, Operation.DELETE, [], context.execution_id)
                draft.changed = True
                return
        newest = ConflictPolicy(strategy=ConflictStrategy.NEWEST_WINS)
        outcome = self._merged(context, newest, shard, reference, record, fields)
        self._apply(context, draft, reference, record, outcome)

    def delete(self, context: PullContext, draft: Draft, record: ExternalRecord) -> None:
        """The record is gone outside. The shard goes with it, unless the connection has the same one twice.

        It also stays when it was changed here later than that: the record is then made again.
        """
        draft.records.append(record)
        shard = draft.shard
        reference = context.reference(shard, record.external_id)
        if reference is None or reference.deleted or came_back(context, reference, record):
            return
        now = self._clock.now()
        reference.deleted = True
        self._stamp(context, reference, record)
        shard.put_reference(reference)
        draft.derived[reference.key] = []
        again = shard.live_references(context.connection.id)
        later = changed_after(
            shard, fed_fields(context.schema), record.modified_at, besides=context.connection.id
        )
        itself = [connection for connection in context.itself if told_as(connection, shard)]
        if later and not shard.deleted and itself and not again:
            self._outbox.announce(shard, itself, Operation.CREATE, later, context.execution_id)
        elif not shard.deleted and not again:
            shard.deleted, shard.deleted_at = True, record.modified_at or now
            draft.derived.update({other.key: [] for other in shard.references})
            self._outbox.announce(shard, context.others, Operation.DELETE, [], context.execution_id)
        shard.updated_at, shard.updated_in = now, context.execution_id
        draft.changed = True

    def _merged(
        self,
        context: PullContext,
        policy: ConflictPolicy,
        shard: Shard,
        reference: ExternalReference,
        record: ExternalRecord,
        fields: Mapping[str, Any],
    ) -> MergeOutcome:
        return merge_three_way(
            reference.base,
            shard.fields,
            fields,
            policy,
            local_changed_at=lambda name: (
                shard.field_origins[name].at if name in shard.field_origins else None
            ),
            external_changed_at=record.modified_at,
            resolvers=self._resolvers,
            parked=reference.parked,
            # What was pushed and doesn't come back, or came in by an earlier schema, was not cleared outside.
            carried=carried_fields(context.schema),
        )

    def _apply(
        self,
        context: PullContext,
        draft: Draft,
        reference: ExternalReference,
        record: ExternalRecord,
        outcome: MergeOutcome,
    ) -> None:
        now, shard = self._clock.now(), draft.shard
        revived = shard.deleted
        changes = {name: outcome.fields.get(name) for name in outcome.changed_locally}
        shard.set_fields(changes, context.connection.id, record.modified_at or now, context.execution_id)
        context.audience.index(shard, changes)
        shard.updated_at, shard.updated_in = now, context.execution_id
        shard.deleted, shard.deleted_at = False, None
        reference.base, reference.parked = outcome.base, outcome.parked
        reference.deleted = False
        self._stamp(context, reference, record)
        shard.put_reference(reference)
        if changes or revived:
            self._outbox.announce(
                shard, context.others, Operation.UPDATE, sorted(changes), context.execution_id
            )
        twins = [r for r in shard.live_references(reference.connection_id) if r is not reference]
        # Where the connection has the same thing twice, the other record is to be told too.
        to_push = (outcome.to_push | (changes.keys() if twins else set())) & fed_fields(context.schema)
        if to_push:
            self._outbox.announce(
                shard, context.itself, Operation.UPDATE, sorted(to_push), context.execution_id
            )
        draft.changed = True
        draft.detected += len(outcome.conflicts)
        draft.resolved += sum(conflict.resolved for conflict in outcome.conflicts)
        draft.parked += [
            self._parked(context, record, shard, c.field, c.base, c.local, c.external)
            for c in outcome.conflicts
            if not c.resolved
        ]

    def _stamp(self, context: PullContext, reference: ExternalReference, record: ExternalRecord) -> None:
        reference.version = record.version
        reference.modified_at = record.modified_at
        reference.content_hash = context.content(record)
        reference.pulled_at = self._clock.now()
        reference.changed_in = context.page_id

    def _parked(
        self,
        context: PullContext,
        record: ExternalRecord,
        shard: Shard,
        name: str,
        base: object,
        local: object,
        external: object,
    ) -> ParkedConflict:
        return ParkedConflict(
            id=conflict_id(shard.id, context.connection.id, name),
            tenant_id=shard.tenant_id,
            shard_id=shard.id,
            shard_type=shard.shard_type,
            integration_id=context.connection.integration_id,
            connection_id=context.connection.id,
            entity=context.entity.entity,
            external_id=record.external_id,
            field=name,
            base=base,
            local=local,
            external=external,
            detected_at=self._clock.now(),
            correlation_id=context.execution_id,
        )


def _new_reference(context: PullContext, record: ExternalRecord) -> ExternalReference:
    return ExternalReference(
        integration_id=context.connection.integration_id,
        connection_id=context.connection.id,
        entity=context.entity.entity,
        external_id=record.external_id,
    )
