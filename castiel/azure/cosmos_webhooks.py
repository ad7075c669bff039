"""The ``webhooks`` container, and ``webhook-audit``: what was delivered to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_batches import by_size
from castiel.azure.cosmos_client import Collection, each, guarded
from castiel.domain.model import format_second
from castiel.domain.webhooks import Registration, WebhookAudit


class CosmosRegistrations:
    """:class:`~castiel.ports.stores.RegistrationStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._registrations = Collection(container, Registration, lambda registration: registration.id)

    async def get(self, registration_id: str) -> Registration:
        return await self._registrations.get(registration_id, registration_id)

    async def create(self, registration: Registration) -> Registration:
        return await self._registrations.create(registration)

    async def replace(self, registration: Registration) -> Registration:
        return await self._registrations.replace(registration)

    async def delete(self, registration: Registration) -> None:
        await self._registrations.delete(registration)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[Registration]:
        sql = "SELECT * FROM c WHERE c.tenantId = @tenant"
        async for registration in self._registrations.query(sql, {"tenant": tenant_id}):
            yield registration

    async def to_renew(self, now: datetime) -> AsyncIterator[Registration]:
        sql = "SELECT * FROM c WHERE c.renewAt <= @now ORDER BY c.renewAt"
        async for registration in self._registrations.query(sql, {"now": format_second(now)}):
            yield registration


class CosmosWebhookAudit:
    """:class:`~castiel.ports.stores.WebhookAuditStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._audit = Collection(
            container, WebhookAudit, lambda audit: [audit.registration_id, audit.received_on]
        )

    async def put(self, audit: WebhookAudit) -> None:
        await self.put_many([audit])

    async def put_many(self, audits: Sequence[WebhookAudit]) -> None:
        by_partition: dict[tuple[str, str], dict[str, WebhookAudit]] = defaultdict(dict)
        for audit in audits:
            by_partition[audit.registration_id, audit.received_on][audit.id] = audit
        batches = [
            (list(partition), batch)
            for partition, records in by_partition.items()
            for batch in by_size([(_stored_bytes(record), record.to_json()) for record in records.values()])
        ]
        await each(self._put_batch, batches)

    async def _put_batch(self, batch: tuple[list[str], list[dict[str, Any]]]) -> None:
        partition, bodies = batch
        if len(bodies) == 1:
            await guarded(self._audit.container.upsert_item(bodies[0], no_response=True))
            return
        operations = [("upsert", (body,)) for body in bodies]
        await guarded(self._audit.container.execute_item_batch(operations, partition))

    async def find(self, registration_id: str, received_on: str, audit_id: str) -> WebhookAudit | None:
        return await self._audit.find(audit_id, [registration_id, received_on])

    async def with_pending_messages(self) -> AsyncIterator[WebhookAudit]:
        async for audit in self._audit.query("SELECT * FROM c WHERE c.pending = true"):
            yield audit

    async def of_registration(
        self, registration_id: str, since: datetime, until: datetime | None = None
    ) -> AsyncIterator[WebhookAudit]:
        sql = "SELECT * FROM c WHERE c.receivedAt >= @since AND c.receivedAt < @until ORDER BY c.receivedAt DESC"
        parameters = {"since": format_second(since), "until": format_second(until) if until else "9999"}
        async for audit in self._audit.query(sql, parameters, partition=[registration_id]):
            yield audit


def _stored_bytes(audit: WebhookAudit) -> int:
    """About how large the record is: what is large in it is a payload or messages."""
    held = len(audit.payload or "") + sum(len(message.body) for message in audit.pending_messages)
    return 1_500 + 2 * held
