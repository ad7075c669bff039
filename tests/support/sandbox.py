"""A sandboxed Salesforce org for tests: the server in this process, its control client, and an authorised client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from infra.local.sandbox.app import SandboxServer
from infra.local.sandbox.client import SandboxControl

CLIENT = {"client_id": "castiel-local", "client_secret": "castiel-local-secret"}


class Org:
    """Plain HTTP against the org, with a valid access token."""

    def __init__(self, control: SandboxControl, http: httpx.AsyncClient, tokens: dict[str, Any]) -> None:
        self.control = control
        self.http = http
        self.tokens = tokens
        self.data = f"{tokens['instance_url']}/services/data/v62.0"
        self.use(tokens["access_token"])

    def use(self, access_token: str) -> None:
        self.http.headers["Authorization"] = f"Bearer {access_token}"

    async def query(self, soql: str, endpoint: str = "query", **headers: str) -> httpx.Response:
        return await self.http.get(f"{self.data}/{endpoint}", params={"q": soql}, headers=headers)

    async def names(self, condition: str, tail: str = "ORDER BY Name", entity: str = "Account") -> list[str]:
        """The names a condition finds."""
        answer = await self.query(f"SELECT Name FROM {entity} WHERE {condition} {tail}")  # noqa: S608 - SOQL of the test itself
        assert answer.status_code == 200, answer.text
        return [record["Name"] for record in answer.json()["records"]]

    async def create(self, entity: str, **fields: Any) -> str:
        answer = await self.http.post(f"{self.data}/sobjects/{entity}", json=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def token(self, **form: str) -> httpx.Response:
        """A call of the token endpoint without the session's header."""
        url = f"{self.control.url}/services/oauth2/token"
        return await self.http.post(url, data=form, headers={"Authorization": ""})


@asynccontextmanager
async def salesforce_org() -> AsyncIterator[Org]:
    """A fresh org in memory."""
    async with (
        SandboxServer() as server,
        SandboxControl(server.url) as control,
        httpx.AsyncClient(trust_env=False, timeout=10) as http,
    ):
        yield Org(control, http, await control.grant())


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and errorCode of a refused REST call."""
    return answer.status_code, answer.json()[0]["errorCode"]
