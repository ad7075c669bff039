"""Stores in memory, with ETags as Cosmos DB has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.credentials import Credential, CredentialType
from castiel.domain.ids import check_document_id
from castiel.domain.model import Document
from castiel.domain.results import RefreshAudit
from castiel.domain.webhooks import Registration, WebhookAudit
from castiel.errors import AlreadyExists, Conflict, NotFound, StoreUnavailable
from castiel.ports.stores import InactiveConnection
from tests.support.fakes.crash import CrashPoints

D = TypeVar("D", bound=Document)


class MemoryDocuments(Generic[D]):
    """Documents by a key, as JSON, so that nobody shares an object. ``down``: nothing is answered."""

    def __init__(self, model: type[D]) -> None:
        self._model = model
        self._rows: dict[tuple[str, ...], tuple[int, str]] = {}
        self._writes = 0
        self.down = False

    def read(self, key: tuple[str, ...]) -> D:
        self._check()
        if key not in self._rows:
            raise NotFound("no such document")
        etag, text = self._rows[key]
        document = self._model.model_validate_json(text)
        document.etag = str(etag)
        return document

    def write(self, key: tuple[str, ...], document: D, *, new: bool = False, anyway: bool = False) -> D:
        self._check()
        if new:
            check_document_id(document.id)
        if new and key in self._rows:
            raise AlreadyExists
        if not new and not anyway and (key not in self._rows or str(self._rows[key][0]) != document.etag):
            raise Conflict
        self._writes += 1
        self._rows[key] = (self._writes, document.to_json_text())
        document.etag = str(self._writes)
        return document

    def remove(self, key: tuple[str, ...]) -> None:
        self._check()
        self._rows.pop(key, None)

    def remove_read(self, key: tuple[str, ...], document: D) -> None:
        """Delete, if nobody else wrote since it was read. What is gone already is fine."""
        self._check()
        if key in self._rows and str(self._rows[key][0]) != document.etag:
            raise Conflict
        self.remove(key)

    def all(self) -> list[D]:
        self._check()
        return [self.read(key) for key in list(self._rows)]

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()

    def texts(self) -> list[str]:
        """All that is stored."""
        return [text for _, text in self._rows.values()]

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("Cosmos DB: status 503")


class MemoryCredentials(MemoryDocuments[Credential]):
    """:class:`~castiel.ports.stores.CredentialStore`."""

    def __init__(self, crash: CrashPoints | None = None) -> None:
        super().__init__(Credential)
        self._crash = crash or CrashPoints()

    async def get(self, tenant_id: str, credential_id: str) -> Credential:
        return self.read((tenant_id, credential_id))

    async def create(self, credential: Credential) -> Credential:
        return self.write((credential.tenant_id, credential.id), credential, new=True)

    async def replace(self, credential: Credential) -> Credential:
        written = self.write((credential.tenant_id, credential.id), credential)
        opened = credential.last_attempt is not None and credential.last_attempt.is_open
        self._crash.reach("after-journal" if opened else "after-cosmos")
        return written

    async def delete(self, credential: Credential) -> None:
        self.remove_read((credential.tenant_id, credential.id), credential)

    async def expiring(self, check_time: datetime) -> AsyncIterator[Credential]:
        found = [
            c
            for c in self.all()
            if c.enabled
            and c.type is CredentialType.OAUTH2
            and c.expiry_time is not None
            and c.expiry_time <= check_time
        ]
        for credential in sorted(found, key=lambda c: c.expiry_time or check_time):
            yield credential

    async def unexpiring(self, refreshed_before: datetime) -> AsyncIterator[Credential]:
        for c in self.all():
            old = c.last_refreshed_at is None or c.last_refreshed_at <= refreshed_before
            if (
                c.enabled
                and c.type is CredentialType.OAUTH2
                and c.expiry_time is None
                and c.refreshable is not False
                and old
            ):
                yield c

    async def to_rotate(self, now: datetime) -> AsyncIterator[Credential]:
        for c in self.all():
            if c.enabled and c.warn_at is not None and c.warn_at <= now:
                yield c

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[Credential]:
        for c in self.all():
            if c.tenant_id == tenant_id:
                yield c


class MemoryConnections(MemoryDocuments[Connection]):
    """:class:`~castiel.ports.stores.ConnectionStore`. ``asked`` counts the reads of single ones, and the queries."""

    def __init__(self) -> None:
        super().__init__(Connection)
        self.asked: Counter[str] = Counter()

    async def get(self, tenant_id: str, connection_id: str) -> Connection:
        self.asked["get"] += 1
        return self.read((tenant_id, connection_id))

    async def create(self, connection: Connection) -> Connection:
        return self.write((connection.tenant_id, connection.id), connection, new=True)

    async def replace(self, connection: Connection) -> Connection:
        return self.write((connection.tenant_id, connection.id), connection)

    async def delete(self, connection: Connection) -> None:
        self.remove_read((connection.tenant_id, connection.id), connection)

    async def of_tenant(self, tenant_id: str) -> list[Connection]:
        return [c for c in self.all() if c.tenant_id == tenant_id]

    async def by_credential(self, tenant_id: str, credential_id: str) -> list[Connection]:
        return [c for c in self.all() if (c.tenant_id, c.credential_id) == (tenant_id, credential_id)]

    async def inactive(self) -> AsyncIterator[InactiveConnection]:
        self.asked["inactive"] += 1
        for c in self.all():
            if c.status is not ConnectionStatus.ACTIVE:
                yield InactiveConnection(c.tenant_id, c.id, c.status)


class MemoryRegistrations(MemoryDocuments[Registration]):
    """:class:`~castiel.ports.stores.RegistrationStore`."""

    def __init__(self) -> None:
        super().__init__(Registration)

    async def get(self, registration_id: str) -> Registration:
        return self.read((registration_id,))

    async def create(self, registration: Registration) -> Registration:
        return self.write((registration.id,), registration, new=True)

    async def replace(self, registration: Registration) -> Registration:
        return self.write((registration.id,), registration)

    async def delete(self, registration: Registration) -> None:
        self.remove_read((registration.id,), registration)

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[Registration]:
        for registration in self.all():
            if registration.tenant_id == tenant_id:
                yield registration

    async def to_renew(self, now: datetime) -> AsyncIterator[Registration]:
        due = [r for r in self.all() if r.renew_at is not None and r.renew_at <= now]
        for registration in sorted(due, key=lambda r: r.renew_at or now):
            yield registration


class MemoryWebhookAudit(MemoryDocuments[WebhookAudit]):
    """:class:`~castiel.ports.stores.WebhookAuditStore`."""

    def __init__(self) -> None:
        super().__init__(WebhookAudit)

    async def put(self, audit: WebhookAudit) -> None:
        self.write((audit.registration_id, audit.received_on, audit.id), audit, anyway=True)

    async def put_many(self, audits: Sequence[WebhookAudit]) -> None:
        for audit in audits:
            await self.put(audit)

    async def find(self, registration_id: str, received_on: str, audit_id: str) -> WebhookAudit | None:
        try:
            return self.read((registration_id, received_on, audit_id))
        except NotFound:
            return None

    async def with_pending_messages(self) -> AsyncIterator[WebhookAudit]:
        for audit in self.all():
            if audit.pending:
                yield audit

    async def of_registration(
        self, registration_id: str, since: datetime, until: datetime | None = None
    ) -> AsyncIterator[WebhookAudit]:
        if self.down:
            raise StoreUnavailable
        found = [
            a
            for a in self.all()
            if a.registration_id == registration_id
            and a.received_at >= since
            and (until is None or a.received_at < until)
        ]
        for audit in sorted(found, key=lambda a: a.received_at, reverse=True):
            yield audit


class MemoryRefreshAudit(MemoryDocuments[RefreshAudit]):
    """:class:`~castiel.ports.stores.RefreshAuditStore`."""

    def __init__(self) -> None:
        super().__init__(RefreshAudit)

    async def put(self, audit: RefreshAudit) -> None:
        self.write((audit.id,), audit, anyway=True)

    async def recent(self, limit: int) -> AsyncIterator[RefreshAudit]:
        found = [a for a in self.all() if a.part_of is None]
        for audit in sorted(found, key=lambda a: a.executed_at, reverse=True)[:limit]:
            yield audit
