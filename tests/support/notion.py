"""A sandboxed Notion workspace for tests: control API, the adapter over the real HTTP layer, and plain calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from castiel.adapters.base import Adapter, Cursor, ExternalRecord, Page, PushRecord
from castiel.adapters.notion import PROVIDER
from castiel.domain.messages import Operation
from infra.local.sandbox.client import SandboxControl
from infra.local.sandbox.notion.ids import CONTACTS_ID
from tests.support.providers import OpenGate, ProviderSandbox, StaticAuthorizer, adapter_for, running_sandbox

ENTITY = "Page"
MARKER = "Castiel ID"
MINUTE_MS = 60_000


class Workspace:
    """The workspace with an authorised bot."""

    def __init__(self, sandbox: ProviderSandbox, http: httpx.AsyncClient, tokens: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.http = http
        self.tokens = tokens
        self.authorizer = StaticAuthorizer(tokens["access_token"])
        self.gate = OpenGate()

    @property
    def control(self) -> SandboxControl:
        return self.sandbox.control

    def adapter(self, **settings: Any) -> Adapter:
        """An adapter of the contacts' data source, unless the settings say otherwise."""
        given = {"dataSourceId": CONTACTS_ID} | settings
        return adapter_for(PROVIDER, self.sandbox, self.authorizer, gate=self.gate, **given)

    async def call(
        self, method: str, path: str, body: Any = None, version: str | None = "2025-09-03", **headers: str
    ) -> httpx.Response:
        """A plain call; a header given as an empty text is left out."""
        named = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        named |= {"Notion-Version": version} if version else {}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in named.items() if value}
        return await self.http.request(method, f"{self.sandbox.url}{path}", json=body, headers=kept)

    async def pass_of(
        self, cursor: Cursor | None = None, **settings: Any
    ) -> tuple[list[ExternalRecord], Page]:
        """All records of one pass, and its last page."""
        pages = [page async for page in self.adapter(**settings).fetch(ENTITY, cursor)]
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        return [record for page in pages for record in page.records], pages[-1]

    async def settle(self, minutes: int = 5) -> None:
        """Let minutes go by, so that the cursor may pass what was changed before."""
        await self.control.set_clock(advance_ms=minutes * MINUTE_MS)


@asynccontextmanager
async def notion_workspace(**pool: Any) -> AsyncIterator[Workspace]:
    """A fresh workspace in memory."""
    async with (
        running_sandbox("notion", **pool) as sandbox,
        httpx.AsyncClient(trust_env=False, timeout=10) as http,
    ):
        yield Workspace(sandbox, http, await sandbox.control.grant())


def new_page(key: str, *, retrying: bool = False, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.CREATE, {"Name": f"Page {key}"} | fields, retrying=retrying)


def changed_page(key: str, external_id: str, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.UPDATE, fields, external_id)


def gone_page(key: str, external_id: str) -> PushRecord:
    return PushRecord(key, Operation.DELETE, {}, external_id)
