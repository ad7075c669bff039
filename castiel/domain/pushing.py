"""What a shard's state asks to be done at a connection: decided from values, carried out elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from castiel.domain.conflicts import ConflictPolicy, ConflictStrategy, FieldConflict, merge_three_way
from castiel.domain.conversion import ConversionSchema, carried_fields, fed_fields
from castiel.domain.edits_and_deletions import changed_after
from castiel.domain.json_values import same
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.shards import ExternalReference, Shard

_PUSH_POLICY = ConflictPolicy(strategy=ConflictStrategy.LOCAL_WINS)


@dataclass
class PushPlan:
    """One shard's change on its way out. ``values`` are the shard fields that go.

    ``replaces``: the key of a reference whose record is gone, and which the record that is made takes the place of.
    """

    shard: Shard
    operation: Operation
    reference: ExternalReference | None
    values: dict[str, Any] = field(default_factory=dict)
    conflicts: tuple[FieldConflict, ...] = ()
    replaces: str | None = None

    @property
    def external_id(self) -> str | None:
        """The record it concerns, where that is known."""
        return self.reference.external_id if self.reference else None

    @property
    def nothing_to_do(self) -> bool:
        """Whether the other side already has it."""
        if self.operation is Operation.DELETE:
            return self.reference is None or self.reference.deleted
        return self.operation is Operation.UPDATE and not self.values


def plan_push(
    shard: Shard, connection_id: str, entity: str, schema: ConversionSchema, told: Collection[str] = ()
) -> PushPlan:
    """What the shard's state asks for now; a message only says that something changed.

    ``told``: keys of references that were planned for already, where the shard is several records of the connection.
    """
    left = [r for r in shard.live_references(connection_id, entity) if r.key not in told]
    reference = left[0] if left else shard.reference(connection_id, entity)
    if shard.deleted:
        return PushPlan(shard, Operation.DELETE, reference)
    if reference is None or reference.deleted:
        return plan_create(shard, schema, replaces=reference)
    return PushPlan(shard, Operation.UPDATE, reference)


def plan_create(
    shard: Shard, schema: ConversionSchema, *, replaces: ExternalReference | None = None
) -> PushPlan:
    """Make the record (again, when it was deleted outside before this newer change)."""
    fed = fed_fields(schema)
    values = {name: value for name, value in shard.fields.items() if name in fed}
    gone = replaces.key if replaces else None
    return PushPlan(shard, Operation.CREATE, None, values, replaces=gone)


def untold(shard: Shard, reference: ExternalReference, schema: ConversionSchema) -> list[str]:
    """The fields whose value here is not what both sides last agreed on, without those that wait for a person.

    While there is none, nothing goes out and no conflict is possible, whatever changed outside.
    """
    return [
        name
        for name in sorted(fed_fields(schema) - reference.parked.keys())
        if not same(shard.fields.get(name), reference.base.get(name))
    ]


def plan_after_deletion(
    plan: PushPlan, reference: ExternalReference, deleted_at: datetime | None, schema: ConversionSchema
) -> PushPlan:
    """An update whose record was deleted outside: made again for the sake of a later change, else left deleted.

    A deletion that is newer than all there is to push stands; it will be seen, and then take the shard with it.
    """
    shard = plan.shard
    if len(shard.live_references(reference.connection_id, reference.entity)) > 1:
        return plan  # the connection still has it
    waiting = untold(shard, reference, schema)
    if waiting and (deleted_at is None or changed_after(shard, waiting, deleted_at)):
        return plan_create(shard, schema, replaces=reference)
    return plan


def compare(
    plan: PushPlan, reference: ExternalReference, external: Mapping[str, Any], schema: ConversionSchema
) -> None:
    """Complete an update: what differs from outside goes out, the local side wins, and conflicts are kept."""
    carried, fed = carried_fields(schema), fed_fields(schema)
    outcome = merge_three_way(
        reference.base,
        plan.shard.fields,
        external,
        _PUSH_POLICY,
        local_changed_at={name: origin.at for name, origin in plan.shard.field_origins.items()},
        parked=reference.parked,
        carried=carried,
    )
    # A field that waits for a person is not pushed over.
    plan.conflicts = tuple(c for c in outcome.conflicts if c.field not in reference.parked)
    # What only goes out is never read from outside: nothing there to compare with but what was pushed last.
    only_out = fed.difference(carried).intersection(untold(plan.shard, reference, schema))
    going = ((outcome.to_push & fed) | only_out) - reference.parked.keys()
    plan.values = {name: plan.shard.fields.get(name) for name in sorted(going)}


def newest_per_shard(messages: Iterable[OutboundMessage]) -> Sequence[OutboundMessage]:
    """One message per shard: since the shard's state decides, an older one says nothing a newer one doesn't.

    Of equally old ones it is the last.
    """
    newest: dict[str, OutboundMessage] = {}
    for message in messages:
        known = newest.get(message.entity_id)
        if known is None or message.enqueued_at >= known.enqueued_at:
            newest[message.entity_id] = message
    return list(newest.values())
