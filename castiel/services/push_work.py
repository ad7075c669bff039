"""One push's work: whose it is, and what became of each message of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from castiel.adapters.base import Adapter, PushOutcome
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.pushing import PushPlan
from castiel.errors import CastielError


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one message. ``operation`` is what was really done (a create may have become an update)."""

    operation: Operation
    external_id: str | None = None
    error: CastielError | None = None
    conflicts: Sequence[Mapping[str, Any]] = ()


@dataclass
class PushWork:
    """One call's work: all for one connection's entity."""

    connection: Connection
    entity: EntitySync
    schema: ConversionSchema
    adapter: Adapter
    tries: Mapping[str, int]
    outcomes: dict[str, Pushed] = field(default_factory=dict)
    told: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Shard → the keys of its references that were planned for."""

    def end(self, plan: PushPlan, outcome: PushOutcome | None) -> None:
        """What a plan came to; ``None``: there was nothing to do."""
        self.outcomes[plan.shard.id] = Pushed(
            plan.operation,
            (outcome.external_id if outcome else None) or plan.external_id,
            outcome.error if outcome else None,
            [
                {"field": c.field, "strategy": c.strategy.value, "resolved": c.resolved}
                for c in plan.conflicts
            ],
        )

    def fail(self, plan: PushPlan, error: CastielError) -> None:
        """The plan came to this error."""
        self.end(plan, PushOutcome(plan.shard.id, error=error))

    def fail_message(self, message: OutboundMessage, error: CastielError) -> None:
        """Let an error stand for a message, unless it has one already."""
        known = self.outcomes.get(message.entity_id)
        if known is None or known.error is None:
            external_id = known.external_id if known else message.external_id
            self.outcomes[message.entity_id] = Pushed(message.operation, external_id, error)

    def create_key(self, plan: PushPlan) -> str:
        """The name of the mark that a create of this shard was begun."""
        tenant_id, connection_id = self.connection.tenant_id, self.connection.id
        return f"create:{tenant_id}:{connection_id}:{self.entity.entity}:{plan.shard.id}"


def lease_name(tenant_id: str, shard_id: str) -> str:
    """The lease under which a shard is pushed."""
    return f"shard:{tenant_id}:{shard_id}"
