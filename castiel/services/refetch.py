"""What webhooks announced: the records as they are now, into their shards; each shard's outbox tells the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from castiel.adapters.base import ExternalRecord
from castiel.domain.messages import Operation, OutboundMessage
from castiel.errors import CastielError, NotFound
from castiel.ports.stores import ConnectionStore
from castiel.services.integrations import Integrations
from castiel.services.sync_engine import BidirectionalSyncEngine

logger = logging.getLogger(__name__)


class RefetchService:
    """Events can be stale, thin or out of order; the provider's current state is not."""

    def __init__(
        self, connections: ConnectionStore, integrations: Integrations, engine: BidirectionalSyncEngine
    ) -> None:
        self._connections = connections
        self._integrations = integrations
        self._engine = engine

    async def bring_up_to_date(self, messages: Sequence[OutboundMessage]) -> list[CastielError | None]:
        """Fetch the records that messages of one connection's entity name, in one call; an outcome per message.

        When the whole group fails and has more than one message, each is tried alone: one bad record must not
        keep the others.
        """
        try:
            await self._refetch(messages)
        except CastielError as error:
            if len(messages) == 1 or error.retryable:
                return [error] * len(messages)
            return [(await self.bring_up_to_date([message]))[0] for message in messages]
        return [None] * len(messages)

    async def _refetch(self, messages: Sequence[OutboundMessage]) -> None:
        first = messages[0]
        try:
            connection = await self._connections.get(first.tenant_id, first.connection_id)
        except NotFound:
            raise NotFound(f"connection {first.connection_id}: it is gone") from None
        entity = connection.entity(first.entity or "")
        if entity is None or not entity.pulls:
            logger.info("webhook dropped: the connection doesn't pull this entity")
            return
        # Several events of one record are one look at it.
        newest = {message.external_id or message.entity_id: message for message in messages}
        found = await self._integrations.adapter(connection).get(entity.entity, list(newest))
        records = [
            record
            for external_id, message in newest.items()
            if (
                record := as_it_is_now(
                    entity.entity, external_id, found.get(external_id), _deleted_at(message)
                )
            )
        ]
        context = await self._engine.context(connection, entity, first.correlation_id)
        await self._engine.pull(context, records)


def as_it_is_now(
    entity: str, external_id: str, found: ExternalRecord | None, deleted_at: datetime | None
) -> ExternalRecord | None:
    """An announced record as it is now: what was found of it, or its tombstone, or ``None``.

    ``deleted_at``: when it was deleted, if that is what was announced. One that isn't there was deleted when the
    provider said so, else it is perhaps just not for this account. Of a deletion the event knows best when it was: some
    providers round their records' times down to minutes.
    """
    if found is not None and found.deleted and deleted_at is not None:
        return replace(found, modified_at=max(deleted_at, found.modified_at or deleted_at))
    if found is not None:
        return found
    if deleted_at is None:
        logger.info("webhook's record not found", extra={"entity": entity})
        return None
    return ExternalRecord(entity, external_id, {}, deleted_at, deleted=True)


def _deleted_at(message: OutboundMessage) -> datetime | None:
    return (message.occurred_at or message.enqueued_at) if message.operation is Operation.DELETE else None
