"""Token answers that lack what they may lack: a pair that was issued is never thrown away, the one before may be dead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from castiel.adapters.github import PROVIDER as GITHUB
from castiel.adapters.google import PROVIDER as GOOGLE
from castiel.adapters.http import HttpPool
from castiel.adapters.notion import PROVIDER as NOTION
from castiel.adapters.salesforce import PROVIDER as SALESFORCE
from castiel.adapters.slack import PROVIDER as SLACK
from castiel.adapters.urls import UrlPolicy
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret

PROVIDERS = {each.integration_id: each for each in (GITHUB, GOOGLE, NOTION, SALESFORCE, SLACK)}
OLD = TokenSecret(
    access_token=SecretStr("made-up-access-1"),
    refresh_token=SecretStr("made-up-refresh-1"),
    instance_url="https://made-up.my.salesforce.com",
)
ANSWER = {
    "ok": True,
    "access_token": "made-up-access-2",
    "refresh_token": "made-up-refresh-2",
    "expires_in": 3600,
}


class TokenEndpoint:
    """Answers every request alike, with no header that it can do without."""

    def __init__(self) -> None:
        self.answer: dict[str, object] = dict(ANSWER)
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        body = json.dumps(self.answer).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    endpoint = TokenEndpoint()
    async with await asyncio.start_server(endpoint.serve, "127.0.0.1", 0) as server:
        endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield endpoint


async def refreshed(endpoint: TokenEndpoint, integration_id: str) -> TokenSecret:
    connection = Connection(
        id="conn-1",
        tenant_id="tenant-1",
        integration_id=integration_id,
        credential_id="cred-1",
        settings={"baseUrl": endpoint.url, "loginUrl": endpoint.url, "authUrl": endpoint.url},
    )
    client = OAuthClient(client_id="made-up-app", client_secret=SecretStr("made-up-app-secret"))
    http = HttpPool(UrlPolicy({endpoint.url}))
    try:
        return await PROVIDERS[integration_id].oauth.refresh(http, connection, client, OLD)
    finally:
        await http.aclose()


@pytest.mark.parametrize("integration_id", PROVIDERS)
async def test_an_answer_without_a_date_is_taken_by_our_clock(
    endpoint: TokenEndpoint, integration_id: str
) -> None:
    endpoint.answer["instance_url"] = OLD.instance_url
    new = await refreshed(endpoint, integration_id)
    assert new.refresh_token is not None
    assert new.refresh_token.get_secret_value() == "made-up-refresh-2"
    assert new.issued_at is not None
    assert abs(new.issued_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert new.expiry_time is not None


@pytest.mark.parametrize("issued_at", ["9" * 40, "yesterday", 7, None])
async def test_a_salesforce_answer_that_says_less_than_before_is_taken(
    endpoint: TokenEndpoint, issued_at: object
) -> None:
    endpoint.answer["issued_at"] = issued_at
    new = await refreshed(endpoint, "salesforce")
    assert new.refresh_token is not None
    assert new.refresh_token.get_secret_value() == "made-up-refresh-2"
    assert new.instance_url == OLD.instance_url
