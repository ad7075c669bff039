"""The outbox: what a changed shard still has to tell, told. A crash in between leaves the marker for the sweep."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta

from castiel.domain.connections import Connection, ConnectionStatus, EntitySync
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.shards import OutboxEntry, Shard
from castiel.errors import NotFound
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage
from castiel.ports.stores import ConnectionStore, ShardStore

logger = logging.getLogger(__name__)

Statuses = dict[tuple[str, str], ConnectionStatus | None]
"""By tenant and connection; ``None``: it is gone. One that is missing is active, as far as is known."""

SWEEP_AFTER = timedelta(minutes=2)
"""A marker this old was left by a crash, not by a send that is going on."""


class Outbox:
    """Marks shards with the connections that have to be told, and sends what is marked."""

    def __init__(self, connections: ConnectionStore, shards: ShardStore, queue: Queue, clock: Clock) -> None:
        self._connections = connections
        self._shards = shards
        self._queue = queue
        self._clock = clock

    async def targets(self, tenant_id: str, shard_type: str) -> list[Connection]:
        """The tenant's connections that take this shard type."""
        return self.takers(await self.carriers(tenant_id, shard_type), shard_type)

    async def carriers(self, tenant_id: str, shard_type: str) -> list[Connection]:
        """The tenant's connections that carry this shard type, whichever way."""
        return [
            connection
            for connection in await self._connections.of_tenant(tenant_id)
            if any(entity.enabled and entity.shard_type == shard_type for entity in connection.entities)
        ]

    @staticmethod
    def takers(carriers: Sequence[Connection], shard_type: str) -> list[Connection]:
        """Those that are told of changes: at once, or when work is done on them again."""
        return [connection for connection in carriers if connection.entities_for(shard_type)]

    def announce(
        self,
        shard: Shard,
        targets: Sequence[Connection],
        operation: Operation,
        changed_fields: Sequence[str],
        correlation_id: str,
    ) -> None:
        """Mark a changed shard, in memory: the same write that stores the change stores the mark."""
        for connection, entity in ((c, entity) for c in targets for entity in told_as(c, shard)):
            reference = shard.reference(connection.id, entity.entity)
            # Without a reference a create may be under way: the push decides, by the shard's state.
            if operation is Operation.DELETE and reference is not None and reference.deleted:
                continue
            if operation is not Operation.DELETE and reference is None:
                operation_here = Operation.CREATE
            else:
                operation_here = operation
            shard.announce(
                OutboxEntry(
                    id=self._clock.new_id(),
                    connection_id=connection.id,
                    integration_id=connection.integration_id,
                    entity=entity.entity,
                    operation=operation_here,
                    changed_fields=sorted(changed_fields),
                    correlation_id=correlation_id,
                    since=self._clock.now(),
                    waiting=None if connection.usable else True,
                )
            )

    async def send(self, shards: Sequence[Shard]) -> int:
        """Send what the shards' outboxes hold, then clear it. Returns how many messages were sent.

        What waits for its connection stays: sent, it would be refused, and somebody would have to send it again.
        """
        return await self._send(shards, {entry.id for s in shards for entry in s.outbox if not entry.waiting})

    async def _send(
        self, shards: Sequence[Shard], entry_ids: Collection[str], dropped: Collection[str] = ()
    ) -> int:
        settled = {*entry_ids, *dropped}
        touched = [shard for shard in shards if any(entry.id in settled for entry in shard.outbox)]
        messages = [self._message(s, entry) for s in touched for entry in s.outbox if entry.id in entry_ids]
        if not touched:
            return 0
        if messages:
            await self._queue.send(messages)
        for shard in touched:
            shard.settle(settled)
        for outcome in await self._shards.save(touched):
            if outcome.error is not None:
                # Somebody wrote meanwhile. The marker stays; the sweep sends it again, which changes nothing.
                logger.info("outbox marker left for the sweep", extra={"shardId": outcome.shard.id})
        return len(messages)

    async def keep(self, connection: Connection, messages: Sequence[OutboundMessage]) -> None:
        """Put changes that could not be told back into their shards, until work is done on the connection again.

        A shard that somebody else writes at this moment is left out: the failed result has its message.
        """
        if connection.usable:
            return
        found = await self._shards.get_many(connection.tenant_id, [message.entity_id for message in messages])
        by_shard = {message.entity_id: message for message in messages}
        for shard in found:
            message = by_shard[shard.id]
            self.announce(
                shard, [connection], message.operation, message.changed_fields, message.correlation_id
            )
        await self._shards.save(found)

    async def sweep(self) -> int:
        """Send what a crash left behind, and what waited for a connection that is active again. Returns how many messages.

        Nothing is sent for a connection that no work is done on: it waits until there is again, or the connection is gone.
        """
        sent = 0
        page: list[Shard] = []
        statuses: Statuses = {(c.tenant_id, c.id): c.status async for c in self._connections.inactive()}
        async for shard in self._shards.with_old_outbox(self._clock.now() - SWEEP_AFTER):
            page.append(shard)
            if len(page) == 100:
                sent += await self._sweep(page, statuses)
                page = []
        return sent + await self._sweep(page, statuses)

    async def _sweep(self, shards: Sequence[Shard], statuses: Statuses) -> int:
        ready: set[str] = set()
        dropped: set[str] = set()
        for shard in shards:
            for entry in shard.outbox:
                status = await self._status(shard.tenant_id, entry, statuses)
                if status is ConnectionStatus.ACTIVE:
                    ready.add(entry.id)
                elif status is None:
                    dropped.add(entry.id)
        return await self._send(shards, ready, dropped)

    async def _status(
        self, tenant_id: str, entry: OutboxEntry, statuses: Statuses
    ) -> ConnectionStatus | None:
        """``None`` for a connection that is gone."""
        # Only what waits for its connection is worth a read of its connection, which may be gone meanwhile: the other markers
        # are a crash's, and an outage of the queue may leave some for every connection there is.
        key = (tenant_id, entry.connection_id)
        if key not in statuses and entry.waiting:
            try:
                statuses[key] = (await self._connections.get(tenant_id, entry.connection_id)).status
            except NotFound:
                statuses[key] = None
        return statuses.get(key, ConnectionStatus.ACTIVE)

    def _message(self, shard: Shard, entry: OutboxEntry) -> QueueMessage:
        reference = shard.reference(entry.connection_id, entry.entity)
        body = OutboundMessage(
            tenant_id=shard.tenant_id,
            integration_id=entry.integration_id,
            connection_id=entry.connection_id,
            entity_id=shard.id,
            operation=entry.operation,
            correlation_id=entry.correlation_id,
            enqueued_at=self._clock.now(),
            entity=entry.entity,
            external_id=reference.external_id if reference else None,
            changed_fields=entry.changed_fields,
            outbox_id=entry.id,
        )
        # The entry's id: however often the same marker is sent, it is one message.
        return QueueMessage(f"out:{entry.id}", body.to_json_text(), entry.correlation_id)


def told_as(connection: Connection, shard: Shard) -> list[EntitySync]:
    """The entities that a change of the shard goes to: those it is records of, else the first that takes its type.

    None where the connection has it as something that is only pulled: made as another, it would be there twice.
    """
    carried = {e.entity for e in connection.entities if e.enabled and e.shard_type == shard.shard_type}
    known = [r for r in shard.references if r.connection_id == connection.id and r.entity in carried]
    here = {r.entity for r in known if not r.deleted} or {r.entity for r in known}
    taking = connection.entities_for(shard.shard_type)
    return [e for e in taking if e.entity in here] if here else taking[:1]
