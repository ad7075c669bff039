"""The ``credentials`` container, and ``token-refresh``: the audit of what keeps them alive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from azure.cosmos.aio import ContainerProxy

from castiel.azure.cosmos_client import Collection
from castiel.domain.credentials import Credential
from castiel.domain.model import format_second
from castiel.domain.results import RefreshAudit


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
        async for credential in self._credentials.query(sql, {"checkTime": format_second(check_time)}):
            yield credential

    async def unexpiring(self, refreshed_before: datetime) -> AsyncIterator[Credential]:
        sql = (
            "SELECT * FROM c WHERE c.type = 'oauth2' AND c.enabled = true AND NOT IS_DEFINED(c.expiryTime)"
            " AND (NOT IS_DEFINED(c.refreshable) OR c.refreshable = true)"
            " AND (NOT IS_DEFINED(c.lastRefreshedAt) OR c.lastRefreshedAt <= @before)"
        )
        async for credential in self._credentials.query(sql, {"before": format_second(refreshed_before)}):
            yield credential

    async def to_rotate(self, now: datetime) -> AsyncIterator[Credential]:
        sql = "SELECT * FROM c WHERE c.warnAt <= @now AND c.enabled = true"
        async for credential in self._credentials.query(sql, {"now": format_second(now)}):
            yield credential

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[Credential]:
        async for credential in self._credentials.query("SELECT * FROM c", partition=tenant_id):
            yield credential


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
