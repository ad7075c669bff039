"""Shards: a company's records as Castiel stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from castiel.domain.messages import Operation
from castiel.domain.model import Document, Model, UtcDatetime, UtcSecond

LOCAL = "local"
"""The origin of a field that was set here, not by a connection."""


class ShardKind(StrEnum):
    """A primary shard is the record; a derived one was made from it."""

    PRIMARY = "primary"
    DERIVED = "derived"


class FieldOrigin(BaseModel):
    """Who set a field last: ``local`` or a connection's id, when, and in which execution.

    Never changed in place: fields that were set together share one, in memory and as stored.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    source: str
    at: UtcDatetime
    execution_id: str | None = None


def _stored_origins(origins: Mapping[str, FieldOrigin]) -> list[dict[str, Any]]:
    """Each origin once, with the names of its ``fields``: one for each would be half of what a shard takes up."""
    together: dict[int, tuple[FieldOrigin, list[str]]] = {}
    for name, origin in origins.items():
        together.setdefault(id(origin), (origin, []))[1].append(name)
    return [
        {**origin.model_dump(mode="json", by_alias=True), "fields": names}
        for origin, names in together.values()
    ]


def _read_origins(stored: Any) -> Any:
    """Back from :func:`_stored_origins`; a mapping by field name is what it is."""
    if not isinstance(stored, list):
        return stored
    origins: dict[str, FieldOrigin] = {}
    for group in stored:
        origin = FieldOrigin.model_validate({key: value for key, value in group.items() if key != "fields"})
        origins.update(dict.fromkeys(group.get("fields", ()), origin))
    return origins


FieldOrigins = Annotated[
    dict[str, FieldOrigin], BeforeValidator(_read_origins), PlainSerializer(_stored_origins)
]


class ExternalReference(Model):
    """Where a shard lives outside, and what both sides last agreed on.

    ``base`` holds shard fields (already converted); ``parked`` the external values of fields that wait for a
    person (see :mod:`castiel.domain.conflicts`). ``content_hash`` is the hash of the external record as
    last seen, to recognise what is fetched twice. ``version`` is the provider's own (an ETag), where it has one.
    """

    integration_id: str
    connection_id: str
    entity: str
    external_id: str
    base: dict[str, Any] = Field(default_factory=dict)
    parked: dict[str, Any] = Field(default_factory=dict)
    content_hash: str | None = None
    version: str | None = None
    modified_at: UtcDatetime | None = None
    deleted: bool = False
    pushed_at: UtcDatetime | None = None
    pulled_at: UtcDatetime | None = None
    changed_in: str | None = None
    """The page of an inbound execution that last changed anything here: ``{execution}:{page}``."""

    @property
    def key(self) -> str:
        """What the reference is looked up by."""
        return reference_key(self.connection_id, self.entity, self.external_id)


class OutboxEntry(Model):
    """A connection that still has to be told of a change of this shard.

    ``waiting``: for a person to authorise the connection again; until then it is kept, not sent.
    """

    id: str
    connection_id: str
    integration_id: str
    entity: str
    operation: Operation
    changed_fields: list[str] = Field(default_factory=list)
    correlation_id: str
    since: UtcDatetime
    sent_at: UtcDatetime | None = None
    waiting: bool | None = None


DERIVED, PRIMARY = "derived", "primary"
"""The two relations: ``derived`` from here, and ``primary`` of this one."""


class ShardLink(Model):
    """A relation to another shard. ``via``: the key of the reference whose record it was derived from."""

    relation: str
    shard_id: str
    shard_type: str
    via: str | None = None


class Shard(Document):
    """A document of the ``shards`` container, in the partition (tenantId, shardType).

    ``keys_version`` says by which rules ``blocking_keys`` were made. ``distinct_from`` are shards a person said it is no duplicate of. ``merged_into`` is the shard that a duplicate
    became part of; the duplicate itself is deleted then.
    """

    tenant_id: str
    shard_type: str
    kind: ShardKind = ShardKind.PRIMARY
    fields: dict[str, Any] = Field(default_factory=dict)
    field_origins: FieldOrigins = Field(default_factory=dict)
    references: list[ExternalReference] = Field(default_factory=list)
    reference_keys: list[str] = Field(default_factory=list)
    blocking_keys: list[str] = Field(default_factory=list)
    keys_version: str | None = None
    links: list[ShardLink] = Field(default_factory=list)
    outbox: list[OutboxEntry] = Field(default_factory=list)
    outbox_since: UtcSecond | None = None
    deleted: bool = False
    deleted_at: UtcDatetime | None = None
    created_at: UtcDatetime
    updated_at: UtcDatetime
    created_in: str | None = None
    updated_in: str | None = None
    distinct_from: list[str] = Field(default_factory=list)
    merged_into: str | None = None

    def reference(
        self, connection_id: str, entity: str, external_id: str | None = None
    ) -> ExternalReference | None:
        """The reference to one connection's entity (and record), if the shard has it; a live one before others."""
        found = [
            reference
            for reference in self.references
            if reference.connection_id == connection_id
            and reference.entity == entity
            and external_id in (None, reference.external_id)
        ]
        return next((reference for reference in found if not reference.deleted), found[0] if found else None)

    def live_references(self, connection_id: str, entity: str | None = None) -> list[ExternalReference]:
        """Those to one connection's entity that are not deleted: more than one where it has the same thing twice.

        ``entity`` of ``None``: to any of the connection's.
        """
        return [
            reference
            for reference in self.references
            if reference.connection_id == connection_id
            and entity in (None, reference.entity)
            and not reference.deleted
        ]

    def put_reference(self, reference: ExternalReference) -> None:
        """Add a reference, or replace the one to the same record; keeps ``reference_keys`` in step."""
        self.references = [r for r in self.references if r.key != reference.key] + [reference]
        self.reference_keys = [r.key for r in self.references]

    def drop_reference(self, key: str) -> None:
        """Forget a reference; keeps ``reference_keys`` in step."""
        self.references = [r for r in self.references if r.key != key]
        self.reference_keys = [r.key for r in self.references]

    def linked(self, relation: str) -> list[ShardLink]:
        """The links of one relation."""
        return [link for link in self.links if link.relation == relation]

    def is_linked_to(self, relation: str, shard_id: str) -> bool:
        """Whether there is such a link."""
        return any(link.relation == relation and link.shard_id == shard_id for link in self.links)

    def unlink(self, relation: str, shard_id: str) -> bool:
        """Forget a link. Returns whether it was there."""
        kept = [link for link in self.links if (link.relation, link.shard_id) != (relation, shard_id)]
        forgotten = len(kept) < len(self.links)
        self.links = kept
        return forgotten

    def set_fields(
        self, values: Mapping[str, Any], source: str, at: datetime, execution_id: str | None
    ) -> None:
        """Set fields and remember who set them."""
        origin = FieldOrigin(source=source, at=at, execution_id=execution_id)
        for name, value in values.items():
            self.fields[name] = value
            self.field_origins[name] = origin
        self.updated_at = at
        self.updated_in = execution_id

    def announce(self, entry: OutboxEntry) -> None:
        """Mark that a connection has to be told. What still waits for the same connection is superseded."""
        waiting = [
            e for e in self.outbox if e.connection_id == entry.connection_id and e.entity == entry.entity
        ]
        for old in waiting:
            if old.operation is Operation.CREATE and entry.operation is Operation.UPDATE:
                entry.operation = Operation.CREATE
            entry.changed_fields = sorted({*old.changed_fields, *entry.changed_fields})
        self.outbox = [e for e in self.outbox if e not in waiting] + [entry]
        self._date_outbox()

    def settle(self, entry_ids: set[str]) -> None:
        """Clear outbox entries whose change has arrived (or was given up and recorded)."""
        self.outbox = [e for e in self.outbox if e.id not in entry_ids]
        self._date_outbox()

    def _date_outbox(self) -> None:
        self.outbox_since = min((e.since for e in self.outbox), default=None)
        if self.outbox_since is not None:
            self.outbox_since = self.outbox_since.replace(microsecond=0)


def reference_key(connection_id: str, entity: str, external_id: str) -> str:
    """The look-up key of an external reference."""
    return f"{connection_id}|{entity}|{external_id}"


def shard_id_for(shard_type: str, connection_id: str, entity: str, external_id: str, again: int = 0) -> str:
    """The id of the shard that an external record makes when it is new.

    Deterministic: two workers that meet the same new record create the same document, and one of them fails.
    ``again``: how many shards the record has made that are no longer its own.
    """
    key = reference_key(connection_id, entity, external_id) + (f"|again {again}" if again else "")
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{shard_type}-{digest[:32]}"


def derived_shard_id(tenant_id: str, shard_type: str, key: str) -> str:
    """The id of a derived shard: equal keys of a tenant's shard type are the same shard, whatever it is made from."""
    digest = hashlib.sha256(f"{tenant_id}|{shard_type}|{key}".encode()).hexdigest()
    return f"{shard_type}-{digest[:32]}"


def shard_type_of(shard_id: str) -> str | None:
    """The type a shard's id begins with, or ``None`` for an id of another form."""
    prefix, _, rest = shard_id.rpartition("-")
    return prefix if prefix and rest else None
