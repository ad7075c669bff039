"""Connections: one tenant's authorised account at one integration, and what is synced through it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from castiel.domain.model import Document, Model, UtcDatetime
from castiel.domain.tasks import SyncMode


class ConnectionStatus(StrEnum):
    """``paused``: by a person. ``needsReauth``: its grant is dead; its tasks are not run into the wall."""

    ACTIVE = "active"
    PAUSED = "paused"
    NEEDS_REAUTH = "needsReauth"


REVOKED = "credential_revoked"
"""The reason of a connection that is paused because its credential was revoked."""


class EntitySync(Model):
    """One entity of a connection: into which shard type it goes, which way, and by which schema.

    Without ``schema_id`` the provider's default schema for the entity is used.
    """

    entity: str
    shard_type: str
    direction: SyncMode = SyncMode.BIDIRECTIONAL
    schema_id: str | None = None
    enabled: bool = True

    @property
    def pulls(self) -> bool:
        """Whether its records come in."""
        return self.enabled and self.direction is not SyncMode.PUSH

    @property
    def pushes(self) -> bool:
        """Whether changes go out to it."""
        return self.enabled and self.direction is not SyncMode.PULL


class Connection(Document):
    """A document of the ``connections`` container.

    ``settings`` are the provider's own (``baseUrl``, ``apiVersion``, a repository, a data source …).
    ``conflict_policy`` and ``rate_limits`` are read by the sync engine and the rate limiter.
    """

    tenant_id: str
    integration_id: str
    credential_id: str
    name: str | None = None
    status: ConnectionStatus = ConnectionStatus.ACTIVE
    status_reason: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    entities: list[EntitySync] = Field(default_factory=list)
    conflict_policy: dict[str, Any] | None = None
    rate_limits: dict[str, int] = Field(default_factory=dict)
    deduplicate: bool = True
    """Whether its new records are matched with those there are."""
    created_at: UtcDatetime | None = None
    updated_at: UtcDatetime | None = None

    @property
    def usable(self) -> bool:
        """Whether work may be done on it."""
        return self.status is ConnectionStatus.ACTIVE

    @property
    def needs_authorization(self) -> bool:
        """Whether only a person's new authorization brings it back: its grant is dead, or was revoked here."""
        return self.status is ConnectionStatus.NEEDS_REAUTH or (
            self.status is ConnectionStatus.PAUSED and self.status_reason == REVOKED
        )

    def entity(self, name: str) -> EntitySync | None:
        """The entity of that name, if the connection carries it."""
        return next((e for e in self.entities if e.entity == name), None)

    def entities_for(self, shard_type: str) -> list[EntitySync]:
        """The entities that a shard type is pushed as; a new record is made as the first."""
        return [e for e in self.entities if e.shard_type == shard_type and e.pushes]
