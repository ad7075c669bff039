"""The HTTP layer's promises, against a server that breaks them on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from castiel.adapters.errors_table import ErrorDetail
from castiel.adapters.http import ApiClient, Dialect, HttpPool, HttpReply
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.connections import Connection
from castiel.domain.quota import Quota
from castiel.errors import (
    AuthenticationFailed,
    MalformedResponse,
    OutcomeUnknown,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)
from tests.support.providers import OpenGate, StaticAuthorizer

pytestmark = pytest.mark.stack


class Server:
    """Counts its calls by path."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request.path)
        match request.path:
            case "/large":
                return web.Response(body=b"x" * 5000)
            case "/slow":
                await asyncio.sleep(5)
            case "/drop":
                assert request.transport is not None
                request.transport.abort()
            case "/elsewhere":
                raise web.HTTPFound("https://elsewhere.example.com/")
            case "/moved":
                raise web.HTTPFound("/ok")
            case "/401":
                return web.Response(status=401)
            case "/429":
                return web.Response(status=429, headers={"Retry-After": request.query["after"]})
        return web.Response(text="{}", headers={"X-Left": "7"})


def read_error(reply: HttpReply) -> ErrorDetail | None:
    return ErrorDetail() if reply.status >= 400 else None


def read_quota(reply: HttpReply) -> Quota | None:
    return Quota(limit=10, remaining=int(reply.headers["x-left"])) if "x-left" in reply.headers else None


@asynccontextmanager
async def talk() -> AsyncIterator[tuple[Server, HttpPool, ApiClient, OpenGate, StaticAuthorizer]]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    pool = HttpPool(UrlPolicy({origin_of(server.url)}), timeout=5, total=0.5, max_response_bytes=4000)
    dialect = Dialect("test", lambda *_: server.url, read_error, read_quota=read_quota)
    connection = Connection(id="c", tenant_id="t", integration_id="test", credential_id="k")
    gate, authorizer = OpenGate(), StaticAuthorizer("not-a-real-token")
    try:
        yield server, pool, ApiClient(pool, connection, dialect, authorizer, gate), gate, authorizer
    finally:
        await pool.aclose()
        await runner.cleanup()


async def test_a_call_asks_the_gate_and_reports_the_quota() -> None:
    async with talk() as (_, _, api, gate, _):
        await api.call("POST", "/ok", operation="create")
        await api.call("GET", "/moved")
        assert gate.operations == ["create", "fetch"]
        assert gate.quotas == [Quota(limit=10, remaining=7)] * 2


async def test_size_and_time_are_limited() -> None:
    async with talk() as (server, _, api, _, _):
        with pytest.raises(MalformedResponse, match="larger"):
            await api.call("GET", "/large")
        with pytest.raises(ProviderUnavailable, match="in time"):
            await api.call("GET", "/slow")
        with pytest.raises(OutcomeUnknown):
            await api.call("POST", "/slow")
        assert server.calls == ["/large", "/slow", "/slow"]


@pytest.mark.parametrize(
    ("method", "safe", "calls"), [("GET", None, 2), ("POST", True, 2), ("POST", None, 1), ("GET", False, 1)]
)
async def test_a_dropped_connection(method: str, safe: bool | None, calls: int) -> None:
    async with talk() as (server, _, api, _, _):
        with pytest.raises(ProviderUnavailable) as caught:
            await api.call(method, "/drop", safe=safe)
        assert isinstance(caught.value, OutcomeUnknown) == (calls == 1)
        assert len(server.calls) == calls


async def test_a_refused_token_is_replaced_once() -> None:
    async with talk() as (server, _, api, gate, authorizer):
        with pytest.raises(AuthenticationFailed):
            await api.call("GET", "/401")
        assert (len(server.calls), authorizer.refused, len(gate.operations)) == (2, 1, 2)


async def test_a_token_goes_to_no_other_host() -> None:
    async with talk() as (server, _, api, _, _):
        with pytest.raises(ProviderRejected, match="another host"):
            await api.call("GET", "/elsewhere")
        with pytest.raises(ProviderRejected, match="another host"):
            await api.call("GET", "https://elsewhere.example.com/next")
        await api.call("GET", f"{server.url}/ok")
        assert server.calls == ["/elsewhere", "/ok"]


@pytest.mark.parametrize("link", ["https://example.com:port/", "https://example.com:99999/", "https://[::1"])
async def test_a_link_that_is_no_address_is_the_providers_fault(link: str) -> None:
    async with talk() as (server, _, api, _, _):
        with pytest.raises(ProviderRejected):
            await api.call("GET", link)
        assert server.calls == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("17", 17.0), ("Fri, 31 Dec 2100 00:00:00 GMT", 86_400.0), ("soon", None), ("\xb2", None)],
)
async def test_retry_after(text: str, seconds: float | None) -> None:
    async with talk() as (_, _, api, gate, _):
        with pytest.raises(ProviderRateLimited) as caught:
            await api.call("GET", "/429", params={"after": text})
        assert caught.value.retry_after == seconds
        assert [quota.retry_after for quota in gate.quotas] == ([] if seconds is None else [seconds])
