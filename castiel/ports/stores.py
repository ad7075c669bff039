"""Documents. Every method raises :class:`~castiel.errors.StoreUnavailable` when the store doesn't answer.

``replace`` and ``delete`` are conditional on the ETag that the document was read with, and raise
:class:`~castiel.errors.Conflict` when somebody else wrote meanwhile; what they return carries the new ETag.
``create`` raises :class:`~castiel.errors.AlreadyExists`. ``get`` raises :class:`~castiel.errors.NotFound`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.conversion import ConversionSchema
from castiel.domain.credentials import Credential
from castiel.domain.failures import FailedRecord
from castiel.domain.limits import TenantLimits
from castiel.domain.parked import ParkedConflict
from castiel.domain.results import PushResult, RefreshAudit, SyncResult
from castiel.domain.shards import Shard
from castiel.domain.tasks import Priority, SyncTask
from castiel.domain.webhooks import Registration, WebhookAudit
from castiel.errors import CastielError


class TaskStore(Protocol):
    """``sync-tasks``."""

    async def get(self, tenant_id: str, task_id: str) -> SyncTask: ...
    async def create(self, task: SyncTask) -> SyncTask: ...
    async def replace(self, task: SyncTask) -> SyncTask: ...
    async def replace_each(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[CastielError | None]:
        """Replace a tenant's tasks in as few requests as can be; the error of each that was not, in order."""

    async def delete(self, task: SyncTask) -> None: ...

    def due(self, now: datetime, priority: Priority) -> AsyncIterator[SyncTask]:
        """Enabled tasks that are pending, or whose time has come and that nothing works on; streamed."""

    def unfinished(self) -> AsyncIterator[SyncTask]:
        """Tasks that are queued or processing; streamed."""

    async def count_disabled_due(self, now: datetime) -> int:
        """How many tasks would be due if they were enabled."""

    def of_tenant(self, tenant_id: str) -> AsyncIterator[SyncTask]:
        """All tasks of a tenant; streamed."""


class ResultStore(Protocol):
    """``sync-results``. Writing a result with the same id and date again replaces it."""

    async def put(self, result: SyncResult | PushResult) -> None: ...
    async def put_many(self, results: Sequence[SyncResult | PushResult]) -> None: ...
    def of_tenant(self, tenant_id: str, since: datetime) -> AsyncIterator[SyncResult | PushResult]:
        """A tenant's results since a moment, newest first; streamed."""


@dataclass(frozen=True, slots=True)
class SaveOutcome:
    """What became of one shard in a batch: ``error`` is Conflict, AlreadyExists or DocumentTooLarge, or ``None``."""

    shard: Shard
    error: Exception | None = None


class LiveReference(NamedTuple):
    """A record that a shard refers to, and when it was last pulled and pushed."""

    external_id: str
    pulled_at: datetime | None
    pushed_at: datetime | None


@dataclass(slots=True)
class Meter:
    """Request units spent."""

    units: float = 0.0


class KeyHit(NamedTuple):
    """A shard that holds a blocking key."""

    shard_id: str
    key: str


class ShardStore(Protocol):
    """``shards``. The partition is (tenantId, shardType)."""

    async def get(self, tenant_id: str, shard_id: str) -> Shard:
        """One shard by id: a point read when the id begins with its type, else one query in the tenant."""

    async def get_many(self, tenant_id: str, shard_ids: Collection[str]) -> list[Shard]:
        """Those of the shards that exist, in any order, in as few calls as can be."""

    async def by_references(self, tenant_id: str, shard_type: str, keys: Collection[str]) -> list[Shard]:
        """The shards that hold any of these reference keys; one query per 100 keys."""

    async def by_blocking_keys(
        self, tenant_id: str, shard_type: str, keys: Collection[str], limit: int
    ) -> list[KeyHit]:
        """Candidates for duplicates: which live shards hold which of these keys; one query, at most ``limit`` hits."""

    async def save(self, shards: Sequence[Shard]) -> list[SaveOutcome]:
        """Write shards of one partition in transactional batches, each conditional on its own ETag.

        New ones (no ETag) are created. One conflict doesn't spoil the others: it is reported, the rest is saved.
        """

    async def save_together(self, shards: Sequence[Shard]) -> None:
        """Write shards of one partition, all or none, each conditional on its ETag.

        Raises :class:`~castiel.errors.Conflict` when somebody else wrote any of them.
        """

    async def linking_to(self, tenant_id: str, shard_id: str, *, limit: int) -> list[str]:
        """Up to ``limit`` ids of the tenant's live shards that have a ``derived`` link to this one."""

    def with_old_outbox(self, before: datetime) -> AsyncIterator[Shard]:
        """Shards whose outbox has waited since before a moment; streamed, all tenants."""

    def changed_since(self, tenant_id: str, shard_type: str, since: datetime | None) -> AsyncIterator[Shard]:
        """Shards of a partition that changed since a moment, oldest change first; streamed."""

    def references_to(
        self, tenant_id: str, shard_type: str, connection_id: str, entity: str
    ) -> AsyncIterator[LiveReference]:
        """The live references to one connection's entity that live shards have; streamed."""

    async def count(self, tenant_id: str, shard_type: str | None = None) -> int:
        """How many shards a tenant has (of a type), deleted ones not counted."""

    def metered(self) -> AbstractContextManager[Meter]:
        """Count the request units that the block spends on the database, by itself or through tasks that it starts."""


class InactiveConnection(NamedTuple):
    """A connection that no work is done on, and why."""

    tenant_id: str
    id: str
    status: ConnectionStatus


class ConnectionStore(Protocol):
    """``connections``."""

    async def get(self, tenant_id: str, connection_id: str) -> Connection: ...
    async def create(self, connection: Connection) -> Connection: ...
    async def replace(self, connection: Connection) -> Connection: ...
    async def delete(self, connection: Connection) -> None: ...
    async def of_tenant(self, tenant_id: str) -> list[Connection]:
        """All connections of a tenant."""

    async def by_credential(self, tenant_id: str, credential_id: str) -> list[Connection]:
        """The connections that authenticate with a credential."""

    def inactive(self) -> AsyncIterator[InactiveConnection]:
        """The connections of all tenants whose status is anything but ``active``: one query, streamed.

        Whatever else may be wrong with a document, it is told: only its ids and its status are read.
        """


class LimitStore(Protocol):
    """A tenant's own rate limits, beside its ``connections``."""

    async def get(self, tenant_id: str) -> TenantLimits | None: ...
    async def put(self, limits: TenantLimits) -> TenantLimits:
        """Create what has no ETag, else replace."""


class CredentialStore(Protocol):
    """``credentials``: metadata only."""

    async def get(self, tenant_id: str, credential_id: str) -> Credential: ...
    async def create(self, credential: Credential) -> Credential: ...
    async def replace(self, credential: Credential) -> Credential: ...
    async def delete(self, credential: Credential) -> None: ...
    def expiring(self, check_time: datetime) -> AsyncIterator[Credential]:
        """``type='oauth2' AND expiryTime <= check_time AND enabled``, soonest first; streamed, all tenants."""

    def unexpiring(self, refreshed_before: datetime) -> AsyncIterator[Credential]:
        """Enabled ``oauth2`` credentials that name no expiry and were not refreshed since; streamed, all tenants.

        Those known to have nothing to refresh are left out.
        """

    def to_rotate(self, now: datetime) -> AsyncIterator[Credential]:
        """Enabled credentials whose rotation or expiry has to be looked at (``warnAt <= now``); streamed."""

    def of_tenant(self, tenant_id: str) -> AsyncIterator[Credential]:
        """All credentials of a tenant; streamed."""


class SchemaStore(Protocol):
    """``conversion-schemas``."""

    async def get(self, tenant_id: str, schema_id: str) -> ConversionSchema: ...
    async def create(self, schema: ConversionSchema) -> ConversionSchema: ...
    async def replace(self, schema: ConversionSchema) -> ConversionSchema: ...
    async def put(self, schema: ConversionSchema) -> ConversionSchema:
        """Store it, whatever is there."""

    async def delete(self, schema: ConversionSchema) -> None: ...
    def of_tenant(self, tenant_id: str) -> AsyncIterator[ConversionSchema]:
        """All schemas of a tenant; streamed."""


class ConflictStore(Protocol):
    """``conflicts``: parked conflicts and possible duplicates."""

    async def get(self, tenant_id: str, conflict_id: str) -> ParkedConflict: ...
    async def put(self, conflict: ParkedConflict) -> None:
        """Park; parking the same conflict again changes nothing but its values."""

    async def put_many(self, conflicts: Sequence[ParkedConflict]) -> None:
        """Park several, some at a time."""

    async def delete(self, tenant_id: str, conflict_id: str) -> None: ...
    def of_tenant(self, tenant_id: str) -> AsyncIterator[ParkedConflict]: ...


class FailedRecordStore(Protocol):
    """Records that failed on their own, whole, for replay (kept in ``sync-results``)."""

    async def put_many(self, records: Sequence[FailedRecord]) -> None:
        """Store records; one that is too large even for that without its fields (``fields_left_out``)."""

    async def delete(self, record: FailedRecord) -> None: ...
    def of_tenant(self, tenant_id: str) -> AsyncIterator[FailedRecord]: ...


class RegistrationStore(Protocol):
    """``webhooks``: looked up by id alone."""

    async def get(self, registration_id: str) -> Registration: ...
    async def create(self, registration: Registration) -> Registration: ...
    async def replace(self, registration: Registration) -> Registration: ...
    async def delete(self, registration: Registration) -> None: ...
    def of_tenant(self, tenant_id: str) -> AsyncIterator[Registration]: ...
    def to_renew(self, now: datetime) -> AsyncIterator[Registration]:
        """Those whose webhook at the provider has to be looked at (``renewAt <= now``), the longest due first; streamed."""


class WebhookAuditStore(Protocol):
    """``webhook-audit``."""

    async def put(self, audit: WebhookAudit) -> None: ...
    async def put_many(self, audits: Sequence[WebhookAudit]) -> None:
        """Write records, those of one registration and day together; durable when it returns."""

    async def find(self, registration_id: str, received_on: str, audit_id: str) -> WebhookAudit | None:
        """One delivery's record, if it is there: a point read."""

    def with_pending_messages(self) -> AsyncIterator[WebhookAudit]:
        """Deliveries whose messages could not be queued yet; streamed."""

    def of_registration(
        self, registration_id: str, since: datetime, until: datetime | None = None
    ) -> AsyncIterator[WebhookAudit]:
        """A registration's deliveries since a moment (and before another one), newest first; streamed. To the second."""


class RefreshAuditStore(Protocol):
    """``token-refresh``."""

    async def put(self, audit: RefreshAudit) -> None: ...
    def recent(self, limit: int) -> AsyncIterator[RefreshAudit]:
        """The last runs, newest first."""
