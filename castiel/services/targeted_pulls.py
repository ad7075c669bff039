"""A targeted pull: the records that a message names.

No task tells of it, so that one which is given up leaves a result with its message.
"""

from __future__ import annotations

import logging

from castiel import telemetry
from castiel.domain.connections import Connection
from castiel.domain.messages import SyncMessage
from castiel.domain.retry import RetryIn
from castiel.errors import CastielError, NotFound, RateLimited
from castiel.ports.messaging import ReceivedMessage
from castiel.ports.stores import ConnectionStore, ResultStore
from castiel.services.integrations import Integrations
from castiel.services.pull_results import given_up_result
from castiel.services.refetch import as_it_is_now
from castiel.services.retries import Retries
from castiel.services.sync_engine import BidirectionalSyncEngine

logger = logging.getLogger(__name__)


class TargetedPulls:
    """Brings single records in, by their ids."""

    def __init__(
        self,
        connections: ConnectionStore,
        integrations: Integrations,
        engine: BidirectionalSyncEngine,
        results: ResultStore,
        retries: Retries,
    ) -> None:
        self._connections = connections
        self._integrations = integrations
        self._engine = engine
        self._results = results
        self._retries = retries

    async def pull(self, received: ReceivedMessage, message: SyncMessage) -> None:
        """These records, as they are now. Raises what may pass, so that the message is put back."""
        try:
            connection = await self._connections.get(message.tenant_id, message.connection_id)
        except NotFound:
            logger.info("message dropped: the connection is gone")
            return
        try:
            await self._pull_records(message, connection)
        except CastielError as error:
            if isinstance(error, RateLimited) or isinstance(
                self._retries.decide(error, received.attempt), RetryIn
            ):
                raise
            logger.error("targeted pull failed: %s", error, extra={"error": error.code})
            telemetry.count("inbound_worker_failure", integration=message.integration_id)
            await self._results.put(given_up_result(received, message, error))

    async def _pull_records(self, message: SyncMessage, connection: Connection) -> None:
        entity = connection.entity(message.entity or "")
        if entity is None or not entity.pulls:
            logger.info("message dropped: the connection doesn't pull this entity")
            return
        adapter = self._integrations.adapter(connection)
        found = await adapter.get(entity.entity, message.external_ids)
        records = [
            record
            for key in message.external_ids
            if (record := as_it_is_now(entity.entity, key, found.get(key), message.deletions.get(key)))
        ]
        context = await self._engine.context(connection, entity, message.correlation_id)
        await self._engine.pull(context, records)
