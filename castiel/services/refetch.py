"""What a webhook announced: the record as it is now, into the shard; the shard's outbox tells the others."""

from __future__ import annotations

import logging
from datetime import datetime

from castiel.adapters.base import ExternalRecord
from castiel.domain.messages import Operation, OutboundMessage
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

    async def bring_up_to_date(self, message: OutboundMessage) -> bool:
        """Fetch the record and let the engine take it in. Returns whether anything changed here."""
        connection = await self._connections.get(message.tenant_id, message.connection_id)
        entity = connection.entity(message.entity or "")
        if entity is None or not entity.pulls:
            logger.info("webhook dropped: the connection doesn't pull this entity")
            return False
        external_id = message.external_id or message.entity_id
        adapter = self._integrations.adapter(connection)
        record = (await adapter.get(entity.entity, [external_id])).get(external_id)
        if record is None:
            if message.operation is not Operation.DELETE:
                # Not there (any more, or for this account): only the provider's own word counts as a deletion.
                logger.info("webhook's record not found", extra={"entity": entity.entity})
                return False
            record = ExternalRecord(entity.entity, external_id, {}, _now(message), deleted=True)
        context = await self._engine.context(connection, entity, message.correlation_id)
        done = await self._engine.pull(context, [record])
        return done.shards_written > 0


def _now(message: OutboundMessage) -> datetime:
    return message.occurred_at or message.enqueued_at
