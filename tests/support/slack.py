"""A sandboxed Slack workspace for tests, and the adapter with a token that is renewed when it is refused."""

from __future__ import annotations

from typing import Any

import httpx

from castiel.adapters.base import Adapter, PushRecord
from castiel.adapters.http import AccessToken
from castiel.adapters.slack import PROVIDER
from castiel.domain.messages import Operation
from tests.support.providers import OpenGate, ProviderSandbox, StaticAuthorizer, adapter_for

CLIENT_ID, CLIENT_SECRET = "castiel-local", "castiel-local-secret"


async def slack_adapter(
    sandbox: ProviderSandbox,
    gate: OpenGate | None = None,
    grant: dict[str, Any] | None = None,
    **settings: Any,
) -> Adapter:
    """The adapter for the workspace, with the bot's token unless ``grant`` asks for another."""

    async def renew() -> AccessToken:
        return StaticAuthorizer((await sandbox.control.grant(**(grant or {})))["access_token"]).token

    token = (await renew()).value.get_secret_value()
    return adapter_for(PROVIDER, sandbox, StaticAuthorizer(token, renew=renew), gate=gate, **settings)


class WebApi:
    """Plain HTTP calls of the Web API with a token."""

    def __init__(self, sandbox: ProviderSandbox, http: httpx.AsyncClient, token: str) -> None:
        self.sandbox = sandbox
        self.http = http
        self.token = token

    async def get(self, method: str, **params: Any) -> dict[str, Any]:
        answer = await self.http.get(
            f"{self.sandbox.url}/api/{method}",
            params=params,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        found: dict[str, Any] = answer.json()
        return found

    async def post(self, method: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(
            f"{self.sandbox.url}/api/{method}",
            json=body,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json; charset=utf-8",
            },
        )
        found: dict[str, Any] = answer.json()
        return found


def create(key: str, *, retrying: bool = False, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.CREATE, fields, retrying=retrying)


def update(key: str, external_id: str, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.UPDATE, fields, external_id=external_id)


def delete(key: str, external_id: str) -> PushRecord:
    return PushRecord(key, Operation.DELETE, {}, external_id=external_id)
