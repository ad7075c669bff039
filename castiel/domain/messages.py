"""What travels on the two queues."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from castiel.domain.model import Model, UtcDatetime
from castiel.domain.tasks import Priority, SyncMode
from castiel.errors import InvalidMessage


class Operation(StrEnum):
    """What happens to a record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class SyncMessage(Model):
    """An execution of a sync task (``sync-inbound``; ``sync-outbound`` for push tasks).

    With ``entity`` and ``external_ids`` it is a targeted pull of those records, and no task stands behind it.
    With ``entity`` alone and no task it asks for what has changed in that entity: the sender could not say which.
    """

    integration_id: str
    tenant_id: str
    connection_id: str
    sync_mode: SyncMode
    priority: Priority = Priority.NORMAL
    correlation_id: str
    enqueued_at: UtcDatetime
    task_id: str | None = None
    entity: str | None = None
    external_ids: list[str] = Field(default_factory=list)
    deletions: dict[str, UtcDatetime] = Field(default_factory=dict)
    """Those of ``external_ids`` that the sender said were deleted, and when."""


class OutboundSource(StrEnum):
    """Why a change is on ``sync-outbound``."""

    SHARD = "shard"
    """The shard changed here, and ``connectionId`` has to be told."""
    WEBHOOK = "webhook"
    """``connectionId`` told us: the shard first, then every other connection."""


class OutboundMessage(Model):
    """One record's change (``sync-outbound``).

    ``entity_id`` is the shard's id or, when a webhook announces a record, may be the external record's.
    """

    tenant_id: str
    integration_id: str
    connection_id: str
    entity_id: str
    operation: Operation
    correlation_id: str
    enqueued_at: UtcDatetime
    source: OutboundSource = OutboundSource.SHARD
    entity: str | None = None
    external_id: str | None = None
    changes: dict[str, Any] = Field(default_factory=dict)
    changed_fields: list[str] = Field(default_factory=list)
    changes_reference: str | None = None
    """Where the changes are that are too large for a message: ``webhook-audit/{registrationId}/{receivedOn}/{id}``.

    The workers read the record anew from its provider in any case.
    """
    occurred_at: UtcDatetime | None = None
    registration_id: str | None = None
    delivery_id: str | None = None
    outbox_id: str | None = None


def parse_inbound(body: bytes) -> SyncMessage:
    """Read a message of ``sync-inbound``. Raises :class:`InvalidMessage`, naming fields but no values."""
    return _validate(SyncMessage, _decode(body))


def parse_outbound(body: bytes) -> SyncMessage | OutboundMessage:
    """Read a message of ``sync-outbound``: a record's change, or the execution of a push task."""
    data = _decode(body)
    # A change names its record; a push task's execution names its task.
    if "entityId" in data:
        return _validate(OutboundMessage, data)
    return _validate(SyncMessage, data)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        raise InvalidMessage("the body is not JSON") from None
    if not isinstance(data, dict):
        raise InvalidMessage("the body is not a JSON object")
    return data


M = TypeVar("M", bound=Model)


def _validate(model: type[M], data: dict[str, Any]) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        found = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:10])
        raise InvalidMessage(f"{model.__name__}: {found}") from None
