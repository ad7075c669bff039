"""Real adapters over the real HTTP layer against the sandbox, with a token that is given and a gate that is open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from castiel.adapters.base import Adapter, Cursor, ExternalRecord, Page, Provider
from castiel.adapters.http import AccessToken, ApiClient, HttpPool
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.connections import Connection
from castiel.domain.quota import Quota
from infra.local.sandbox.app import SandboxServer
from infra.local.sandbox.client import SandboxControl

Renew = Callable[[], Awaitable[AccessToken]]


class StaticAuthorizer:
    """Always the same token, until ``renew`` gives another after a refusal. ``refused`` counts the refusals."""

    def __init__(self, token: str, instance_url: str | None = None, renew: Renew | None = None) -> None:
        self.token = AccessToken(SecretStr(token), instance_url)
        self.refused = 0
        self._renew = renew

    async def current(self) -> AccessToken:
        return self.token

    async def replace(self, refused: AccessToken) -> AccessToken:
        self.refused += 1
        if self._renew is not None:
            self.token = await self._renew()
        return self.token


@dataclass
class OpenGate:
    """Lets every call through and notes what it was asked and told."""

    operations: list[str] = field(default_factory=list)
    quotas: list[Quota] = field(default_factory=list)

    async def acquire(self, operation: str) -> None:
        self.operations.append(operation)

    async def observe(self, quota: Quota) -> None:
        self.quotas.append(quota)


@dataclass
class ProviderSandbox:
    """One provider of a running sandbox: its control API, its address, and an HTTP pool that may call it."""

    control: SandboxControl
    http: HttpPool

    @property
    def url(self) -> str:
        return self.control.url


@asynccontextmanager
async def running_sandbox(provider: str, **pool: Any) -> AsyncIterator[ProviderSandbox]:
    """A fresh sandbox in this process, in memory. ``pool``: options of :class:`HttpPool`."""
    async with SandboxServer() as server, SandboxControl(server.url, provider) as control:
        http = HttpPool(UrlPolicy(frozenset({origin_of(server.url)})), **pool)
        try:
            yield ProviderSandbox(control, http)
        finally:
            await http.aclose()


def connection_for(provider: Provider, settings: dict[str, Any]) -> Connection:
    """A connection of a tenant that nothing else knows."""
    return Connection(
        id="connection-1",
        tenant_id="tenant-1",
        integration_id=provider.integration_id,
        credential_id="credential-1",
        settings=settings,
    )


def adapter_for(
    provider: Provider,
    sandbox: ProviderSandbox,
    authorizer: StaticAuthorizer,
    *,
    gate: OpenGate | None = None,
    **settings: Any,
) -> Adapter:
    """The provider's adapter for a connection with these settings; ``baseUrl`` is the sandbox's unless given."""
    connection = connection_for(provider, {"baseUrl": sandbox.url, **settings})
    api = ApiClient(sandbox.http, connection, provider.adapter.dialect, authorizer, gate or OpenGate())
    return provider.adapter(connection, api)


async def pages_of(adapter: Adapter, entity: str, cursor: Cursor | None = None) -> list[Page]:
    """All pages of one pass."""
    return [page async for page in adapter.fetch(entity, cursor)]


def records_of(pages: list[Page]) -> list[ExternalRecord]:
    """The pages' records in order."""
    return [record for page in pages for record in page.records]
