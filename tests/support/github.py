"""A sandboxed GitHub for tests: plain HTTP with a valid token, and an app's key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from castiel.adapters.http import HttpPool
from castiel.adapters.urls import UrlPolicy, origin_of
from infra.local.sandbox.app import SandboxServer
from infra.local.sandbox.client import SandboxControl
from tests.support.providers import ProviderSandbox, running_sandbox

INSTALLATION = 957387


class PlainGitHub:
    """Plain HTTP against the sandbox."""

    def __init__(self, control: SandboxControl, http: httpx.AsyncClient) -> None:
        self.control = control
        self.http = http

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A call below the API's address, or of a whole one."""
        url = path if path.startswith("http") else f"{self.control.url}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, url, json=body, headers=named)

    async def token(self, **form: str) -> dict[str, Any]:
        """An answer of the token endpoint."""
        client = {"client_id": "castiel-local", "client_secret": "castiel-local-secret"}
        answer = await self.http.post(
            f"{self.control.url}/login/oauth/access_token",
            data=client | form,
            headers={"Accept": "application/json"},
        )
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def plain_github() -> AsyncIterator[PlainGitHub]:
    """A fresh sandbox in memory, and a client with a token."""
    async with running_sandbox("github") as sandbox, httpx.AsyncClient(trust_env=False, timeout=10) as http:
        token = (await sandbox.control.grant())["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield PlainGitHub(sandbox.control, http)


@asynccontextmanager
async def crowded_github(count: int) -> AsyncIterator[ProviderSandbox]:
    """A sandbox whose issues were all changed in the same second, as an import does it."""
    async with SandboxServer() as server, SandboxControl(server.url, "github") as control:
        await control.seed(Issue=count)
        found = server.store.find("github", "Issue", "1", (), "ORDER BY modified_ms")
        server.store.put_many(
            "github", "Issue", [replace(r, modified_ms=found[0].modified_ms) for r in found]
        )
        http = HttpPool(UrlPolicy(frozenset({origin_of(server.url)})))
        try:
            yield ProviderSandbox(control, http)
        finally:
            await http.aclose()
