"""The other containers. What each promises is said in :mod:`castiel.ports.stores`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_batches import Batches
from castiel.azure.cosmos_client import Collection, each, guarded
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.conversion import ConversionSchema
from castiel.domain.credentials import Credential
from castiel.domain.failures import FailedRecord
from castiel.domain.limits import TenantLimits
from castiel.domain.model import format_utc
from castiel.domain.parked import ParkedConflict
from castiel.domain.results import PushResult, RefreshAudit, SyncResult
from castiel.domain.tasks import Priority, SyncTask
from castiel.domain.webhooks import Registration, WebhookAudit
from castiel.errors import CastielError, DocumentTooLarge, NotFound
from castiel.ports.stores import InactiveConnection

MAX_BATCH_OPERATIONS = 100
"""Of one transactional batch: https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch"""
MAX_BATCH_BYTES = 1_500_000
"""Under the 2 MB of the same page."""


INACTIVE_PER_PAGE = 1000
"""Rows of a hundred bytes."""


def _second(moment: datetime) -> str:
    return format_utc(moment.replace(microsecond=0))


_DUE = "(c.status = 'pending' OR (c.nextScheduled <= @now AND c.status NOT IN ('queued', 'processing')))"


class CosmosTasks:
    """:class:`~castiel.ports.stores.TaskStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._tasks = Collection(container, SyncTask, lambda task: task.tenant_id)
        self._batches = Batches(self._tasks)

    async def get(self, tenant_id: str, task_id: str) -> SyncTask:
        return await self._tasks.get(task_id, tenant_id)

    async def create(self, task: SyncTask) -> SyncTask:
        return await self._tasks.create(task)

    async def replace(self, task: SyncTask) -> SyncTask:
        return await self._tasks.replace(task)

    async def replace_each(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[CastielError | None]:
        return await self._batches.write_each(tenant_id, tasks)

    async def delete(self, task: SyncTask) -> None:
        await self._tasks.delete(task)

    async def due(self, now: datetime, priority: Priority) -> AsyncIterator[SyncTask]:
        sql = f"SELECT * FROM c WHERE c.enabled = true AND c.priority = @priority AND {_DUE}"  # noqa: S608
        async for task in self._tasks.query(sql, {"priority": priority.value, "now": _second(now)}):
            yield task

    async def unfinished(self) -> AsyncIterator[SyncTask]:
        async for task in self._tasks.query("SELECT * FROM c WHERE c.status IN ('queued', 'processing')"):
            yield task

    async def count_disabled_due(self, now: datetime) -> int:
        sql = f"SELECT VALUE COUNT(1) FROM c WHERE c.enabled = false AND {_DUE}"  # noqa: S608
        return int(await self._tasks.value(sql, {"now": _second(now)}) or 0)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[SyncTask]:
        async for task in self._tasks.query("SELECT * FROM c", partition=tenant_id):
            yield task


class CosmosResults:
    """:class:`~castiel.ports.stores.ResultStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._inbound = Collection(container, SyncResult, SyncResult.partition)
        self._outbound = Collection(container, PushResult, PushResult.partition)

    async def put(self, result: SyncResult | PushResult) -> None:
        if isinstance(result, SyncResult):
            await self._inbound.put(result)
        else:
            await self._outbound.put(result)

    async def put_many(self, results: Sequence[SyncResult | PushResult]) -> None:
        by_partition: dict[tuple[str, ...], list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for result in results:
            by_partition[tuple(result.partition())].append((_result_bytes(result), result.to_json()))
        for partition, sized in by_partition.items():
            for bodies in _batches(sized):
                operations = [("upsert", (body,)) for body in bodies]
                await guarded(self._inbound.container.execute_item_batch(operations, list(partition)))

    async def of_tenant(self, tenant_id: str, since: datetime) -> AsyncIterator[SyncResult | PushResult]:
        sql = "SELECT * FROM c WHERE c.executedAt >= @since AND NOT IS_DEFINED(c.kind) ORDER BY c.executedAt DESC"
        async for row in self._inbound.rows(sql, {"since": _second(since)}, partition=[tenant_id]):
            yield PushResult.model_validate(row) if "operation" in row else SyncResult.model_validate(row)


class CosmosFailedRecords:
    """:class:`~castiel.ports.stores.FailedRecordStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._records = Collection(container, FailedRecord, FailedRecord.partition)

    async def put_many(self, records: Sequence[FailedRecord]) -> None:
        await each(self._put, records)

    async def _put(self, record: FailedRecord) -> None:
        try:
            await self._records.put(record)
        except DocumentTooLarge:
            await self._records.put(record.model_copy(update={"fields": {}, "fields_left_out": True}))

    async def delete(self, record: FailedRecord) -> None:
        await self._records.delete(record)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[FailedRecord]:
        sql = "SELECT * FROM c WHERE c.kind = 'failedRecord'"
        async for record in self._records.query(sql, partition=[tenant_id]):
            yield record


class CosmosConnections:
    """:class:`~castiel.ports.stores.ConnectionStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._connections = Collection(container, Connection, lambda connection: connection.tenant_id)

    async def get(self, tenant_id: str, connection_id: str) -> Connection:
        return await self._connections.get(connection_id, tenant_id)

    async def create(self, connection: Connection) -> Connection:
        return await self._connections.create(connection)

    async def replace(self, connection: Connection) -> Connection:
        return await self._connections.replace(connection)

    async def delete(self, connection: Connection) -> None:
        await self._connections.delete(connection)

    async def of_tenant(self, tenant_id: str) -> list[Connection]:
        sql = "SELECT * FROM c WHERE c.id != @limits"
        return [c async for c in self._connections.query(sql, {"limits": LIMITS_ID}, partition=tenant_id)]

    async def by_credential(self, tenant_id: str, credential_id: str) -> list[Connection]:
        sql = "SELECT * FROM c WHERE c.credentialId = @id"
        return [c async for c in self._connections.query(sql, {"id": credential_id}, partition=tenant_id)]

    async def inactive(self) -> AsyncIterator[InactiveConnection]:
        sql = "SELECT c.tenantId, c.id, c.status FROM c WHERE c.status IN ('paused', 'needsReauth')"
        async for row in self._connections.rows(sql, page_size=INACTIVE_PER_PAGE):
            yield InactiveConnection(row["tenantId"], row["id"], ConnectionStatus(row["status"]))


LIMITS_ID = "limits"
"""The one document of the ``connections`` container that is no connection."""


class CosmosLimits:
    """:class:`~castiel.ports.stores.LimitStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._limits = Collection(container, TenantLimits, lambda limits: limits.tenant_id)

    async def get(self, tenant_id: str) -> TenantLimits | None:
        return await self._limits.find(LIMITS_ID, tenant_id)

    async def put(self, limits: TenantLimits) -> TenantLimits:
        if limits.etag is None:
            return await self._limits.create(limits)
        return await self._limits.replace(limits)


class CosmosCredentials:
    """:class:`~castiel.ports.stores.CredentialStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._credentials = Collection(container, Credential, lambda credential: credential.tenant_id)

    async def get(self, tenant_id: str, credential_id: str) -> Credential:
        return await self._credentials.get(credential_id, tenant_id)

    async def create(self, credential: Credential) -> Credential:
        return await self._credentials.create(credential)

    async def replace(self, credential: Credential) -> Credential:
        return await self._credentials.replace(credential)

    async def delete(self, credential: Credential) -> None:
        await self._credentials.delete(credential)

    async def expiring(self, check_time: datetime) -> AsyncIterator[Credential]:
        sql = (
            "SELECT * FROM c WHERE c.type = 'oauth2' AND c.expiryTime <= @checkTime AND c.enabled = true"
            " ORDER BY c.expiryTime"
        )
        async for credential in self._credentials.query(sql, {"checkTime": _second(check_time)}):
            yield credential

    async def unexpiring(self, refreshed_before: datetime) -> AsyncIterator[Credential]:
        sql = (
            "SELECT * FROM c WHERE c.type = 'oauth2' AND c.enabled = true AND NOT IS_DEFINED(c.expiryTime)"
            " AND (NOT IS_DEFINED(c.refreshable) OR c.refreshable = true)"
            " AND (NOT IS_DEFINED(c.lastRefreshedAt) OR c.lastRefreshedAt <= @before)"
        )
        async for credential in self._credentials.query(sql, {"before": _second(refreshed_before)}):
            yield credential

    async def to_rotate(self, now: datetime) -> AsyncIterator[Credential]:
        sql = "SELECT * FROM c WHERE c.warnAt <= @now AND c.enabled = true"
        async for credential in self._credentials.query(sql, {"now": _second(now)}):
            yield credential

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[Credential]:
        async for credential in self._credentials.query("SELECT * FROM c", partition=tenant_id):
            yield credential


class CosmosSchemas:
    """:class:`~castiel.ports.stores.SchemaStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._schemas = Collection(container, ConversionSchema, lambda schema: schema.tenant_id)

    async def get(self, tenant_id: str, schema_id: str) -> ConversionSchema:
        return await self._schemas.get(schema_id, tenant_id)

    async def create(self, schema: ConversionSchema) -> ConversionSchema:
        return await self._schemas.create(schema)

    async def replace(self, schema: ConversionSchema) -> ConversionSchema:
        return await self._schemas.replace(schema)

    async def put(self, schema: ConversionSchema) -> ConversionSchema:
        return await self._schemas.put(schema)


class CosmosConflicts:
    """:class:`~castiel.ports.stores.ConflictStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._conflicts = Collection(container, ParkedConflict, lambda conflict: conflict.tenant_id)

    async def get(self, tenant_id: str, conflict_id: str) -> ParkedConflict:
        return await self._conflicts.get(conflict_id, tenant_id)

    async def put(self, conflict: ParkedConflict) -> None:
        await self._conflicts.put(conflict)

    async def put_many(self, conflicts: Sequence[ParkedConflict]) -> None:
        await each(self._conflicts.put, conflicts)

    async def delete(self, tenant_id: str, conflict_id: str) -> None:
        try:
            await self._conflicts.delete(await self.get(tenant_id, conflict_id))
        except NotFound:
            return

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[ParkedConflict]:
        async for conflict in self._conflicts.query("SELECT * FROM c", partition=tenant_id):
            yield conflict


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
        async for registration in self._registrations.query(sql, {"now": _second(now)}):
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
            for batch in _batches([(_stored_bytes(record), record.to_json()) for record in records.values()])
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
        parameters = {"since": _second(since), "until": _second(until) if until else "9999"}
        async for audit in self._audit.query(sql, parameters, partition=[registration_id]):
            yield audit


def _result_bytes(result: SyncResult | PushResult) -> int:
    """About how large the result is: what is large in it is the message that was given up."""
    return 1_500 + (len(json.dumps(result.given_up_message)) if result.given_up_message else 0)


def _stored_bytes(audit: WebhookAudit) -> int:
    """About how large the record is: what is large in it is a payload or messages."""
    held = len(audit.payload or "") + sum(len(message.body) for message in audit.pending_messages)
    return 1_500 + 2 * held


def _batches(sized: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Parts that fit a transactional batch, by operations and by bytes."""
    batch: list[dict[str, Any]] = []
    total = 0
    for size, body in sized:
        if batch and (len(batch) == MAX_BATCH_OPERATIONS or total + size > MAX_BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(body)
        total += size
    if batch:
        yield batch


class CosmosRefreshAudit:
    """:class:`~castiel.ports.stores.RefreshAuditStore`."""

    def __init__(self, container: ContainerProxy) -> None:
        self._audit = Collection(container, RefreshAudit, lambda audit: audit.id)

    async def put(self, audit: RefreshAudit) -> None:
        await self._audit.put(audit)

    async def recent(self, limit: int) -> AsyncIterator[RefreshAudit]:
        sql = f"SELECT TOP {int(limit)} * FROM c WHERE NOT IS_DEFINED(c.partOf) ORDER BY c.executedAt DESC"  # noqa: S608
        async for audit in self._audit.query(sql):
            yield audit
