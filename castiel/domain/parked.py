"""What waits for a person: conflicts to resolve and possible duplicates to judge."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

from castiel.domain.model import Document, UtcDatetime
from castiel.domain.tasks import FullPass


class ParkedKind(StrEnum):
    """Why it was parked."""

    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    DELETIONS = "deletions"


class Choice(StrEnum):
    """Whose value a conflict's field gets."""

    LOCAL = "local"
    EXTERNAL = "external"
    VALUE = "value"


class ParkedConflict(Document):
    """A document of the ``conflicts`` container.

    A conflict holds one field's base, local and external value; a possible duplicate the other shard's id,
    the score and its explanation; deletions what a full pass did not see (``full_pass``) and how many that were.
    """

    tenant_id: str
    kind: ParkedKind = ParkedKind.CONFLICT
    shard_id: str = ""
    shard_type: str
    integration_id: str
    connection_id: str
    entity: str
    external_id: str = ""
    field: str | None = None
    base: Any = None
    local: Any = None
    external: Any = None
    other_shard_id: str | None = None
    score: float | None = None
    explanation: list[dict[str, Any]] | None = None
    full_pass: FullPass | None = None
    known: int | None = None
    unseen: int | None = None
    reason: str | None = None
    detected_at: UtcDatetime
    correlation_id: str | None = None


def conflict_id(shard_id: str, connection_id: str, subject: str) -> str:
    """The same conflict (or pair) has the same id, however often it is met."""
    return hashlib.sha256(f"{shard_id}|{connection_id}|{subject}".encode()).hexdigest()[:40]


def pair_id(one: str, other: str) -> str:
    """The id of a possible duplicate: the same pair has the same id, whichever of the two is met first."""
    return hashlib.sha256("|".join(sorted((one, other))).encode()).hexdigest()[:40]
