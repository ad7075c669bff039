"""What an engine's batch works with: on whose behalf, and each shard on its way from what came in to what is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

from castiel.adapters.base import ExternalRecord
from castiel.domain.conflicts import ConflictPolicy
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema, DerivedRecord
from castiel.domain.hashing import content_hash
from castiel.domain.matching import MatchRules, blocking_keys, fields_read
from castiel.domain.parked import ParkedConflict
from castiel.domain.shards import ExternalReference, Shard, reference_key, shard_id_for
from castiel.domain.tasks import Progress
from castiel.services.deduplication import DuplicateSearch

_NONE: Mapping[int, Sequence[str]] = MappingProxyType({})


@dataclass(frozen=True)
class Audience:
    """Who carries a shard type: the connections that changes are sent to, and the rules it is looked for by."""

    targets: Sequence[Connection]
    key_rules: Sequence[MatchRules]

    def others(self, connection_id: str) -> list[Connection]:
        """The targets but the one a change came in through."""
        return [target for target in self.targets if target.id != connection_id]

    def index(
        self, shard: Shard, changed: Collection[str] | None = None, known: Mapping[int, Sequence[str]] = _NONE
    ) -> None:
        """Bring the shard's blocking keys up to date after these fields (``None``: any) changed.

        ``known``: keys of the shard's fields that were made already, by the ``id`` of their rules.
        """
        reads = self._reads
        touched = changed is None or reads is None or not reads.isdisjoint(changed)
        if not touched and shard.keys_version == self.version:
            return
        made = (
            known[id(rules)] if id(rules) in known else blocking_keys(shard.fields, rules)
            for rules in self.key_rules
        )
        shard.blocking_keys = list(dict.fromkeys(key for keys in made for key in keys))
        shard.keys_version = self.version

    @cached_property
    def version(self) -> str:
        """Stands for the rules: shards indexed by others are indexed anew."""
        return content_hash({"rules": [rules.to_json() for rules in self.key_rules]})[:12]

    @cached_property
    def _reads(self) -> frozenset[str] | None:
        reads = [fields_read(rules) for rules in self.key_rules]
        return None if None in reads else frozenset().union(*filter(None, reads))


@dataclass(frozen=True)
class PullContext:
    """On whose behalf records come in, read once for many pages.

    ``derived`` are the audiences of the shard types that are derived. ``version`` stands for all that decides what
    a record becomes; a record with the same content and version is what it was. ``search`` is ``None`` where new
    records are not matched. ``page`` is how many pages of the execution are stored: one that a crash made come again
    has its old number. ``read_at``: when the records were asked for, where that is known.
    """

    connection: Connection
    entity: EntitySync
    schema: ConversionSchema
    policy: ConflictPolicy
    execution_id: str
    audience: Audience
    derived: Mapping[str, Audience]
    search: DuplicateSearch | None
    version: str
    page: int = 0
    read_at: datetime | None = None

    @property
    def page_id(self) -> str:
        """Names the page among all of all executions."""
        return f"{self.execution_id}:{self.page}"

    @property
    def others(self) -> list[Connection]:
        """The connections to be told of a change that came in through this one."""
        return self.audience.others(self.connection.id)

    @property
    def itself(self) -> list[Connection]:
        """This connection, if it takes changes: to be told what it lacks."""
        return [target for target in self.audience.targets if target.id == self.connection.id]

    def key(self, external_id: str) -> str:
        """The look-up key of a record of this entity."""
        return reference_key(self.connection.id, self.entity.entity, external_id)

    def shard_id(self, external_id: str, again: int = 0) -> str:
        """The id of the shard that a record of this entity makes when it is new, or new ``again``."""
        return shard_id_for(
            self.entity.shard_type, self.connection.id, self.entity.entity, external_id, again
        )

    def reference(self, shard: Shard, external_id: str) -> ExternalReference | None:
        """The shard's reference to a record of this entity."""
        return shard.reference(self.connection.id, self.entity.entity, external_id)

    def content(self, record: ExternalRecord) -> str:
        """A hash of the record and of all that decides what becomes of it."""
        return content_hash({"fields": record.fields, "version": self.version})


@dataclass
class Draft:
    """One shard, and what a batch's records do to it. Several records may be the same shard."""

    shard: Shard
    changed: bool = False
    records: list[ExternalRecord] = field(default_factory=list)
    derived: dict[str, Sequence[DerivedRecord]] = field(default_factory=dict)
    """Reference key → what is derived from that record now."""
    parked: list[ParkedConflict] = field(default_factory=list)
    detected: int = 0
    resolved: int = 0


def count(progress: Progress, context: PullContext, draft: Draft) -> None:
    """Count by what the shard remembers: a page done twice (a crash in between) counts once, and so does a record
    that the next page shows again."""
    shard, execution = draft.shard, context.execution_id
    for record in draft.records:
        reference = context.reference(shard, record.external_id)
        if reference is None or reference.changed_in != context.page_id:
            progress.records_unchanged += 1
            continue
        progress.records_processed += 1
        if reference.deleted:
            progress.records_deleted += 1
        elif shard.created_in == execution and shard.id == context.shard_id(record.external_id):
            progress.records_created += 1
        else:
            progress.records_updated += 1
    progress.conflicts_detected += draft.detected
    progress.conflicts_resolved += draft.resolved
