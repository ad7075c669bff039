"""A sandboxed Google account for tests, and the adapter with a token that is renewed when it is refused."""

from __future__ import annotations

from typing import Any

from castiel.adapters.base import Adapter, PushRecord
from castiel.adapters.google import PROVIDER
from castiel.adapters.http import AccessToken
from castiel.domain.messages import Operation
from tests.support.providers import OpenGate, ProviderSandbox, StaticAuthorizer, adapter_for

CLIENT_ID, CLIENT_SECRET = "castiel-local.apps.example.com", "castiel-local-secret"


async def google_adapter(sandbox: ProviderSandbox, gate: OpenGate | None = None, **settings: Any) -> Adapter:
    """The adapter for the account, authorised for everything."""

    async def renew() -> AccessToken:
        return StaticAuthorizer((await sandbox.control.grant())["access_token"]).token

    token = (await renew()).value.get_secret_value()
    return adapter_for(PROVIDER, sandbox, StaticAuthorizer(token, renew=renew), gate=gate, **settings)


def create(key: str, *, retrying: bool = False, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.CREATE, fields, retrying=retrying)


def update(key: str, external_id: str, version: str | None = None, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.UPDATE, fields, external_id=external_id, version=version)


def delete(key: str, external_id: str) -> PushRecord:
    return PushRecord(key, Operation.DELETE, {}, external_id=external_id)


def card(given: str, family: str, email: str) -> dict[str, Any]:
    """The fields of a new contact."""
    return {"name": {"givenName": given, "familyName": family}, "emailAddress": {"value": email}}


def meeting(summary: str, day: str = "2026-12-01") -> dict[str, Any]:
    """The fields of a new event."""
    return {
        "summary": summary,
        "start": {"dateTime": f"{day}T09:00:00Z"},
        "end": {"dateTime": f"{day}T10:00:00Z"},
    }
