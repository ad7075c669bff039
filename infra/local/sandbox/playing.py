"""The layer around every provider call: plays the ordered faults, dates the answer, writes the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import TypeVar

from aiohttp import web

from infra.local.sandbox.clock import iso_z
from infra.local.sandbox.faults import FaultRule
from infra.local.sandbox.journal import Journal
from infra.local.sandbox.provider import Provider

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_R = TypeVar("_R", bound=web.StreamResponse)

_NO_ANSWER = 0


class Stage:
    """One provider with its journal: what a request to it goes through."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.journal = Journal()

    async def play(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a call, faults and journal included."""
        path = _below_prefix(request, self.provider.name)
        rules = self.provider.faults.for_call(request.method, path + _query(request))
        at_ms = self.provider.store.clock.now_ms()
        started = time.perf_counter()
        response = await self._answer(request, handler, rules)
        self.journal.add(
            at=iso_z(at_ms),
            atMs=at_ms,
            method=request.method,
            path=path,
            query=request.query_string,
            status=_NO_ANSWER if isinstance(response, _Dropped) else response.status,
            durationMs=round((time.perf_counter() - started) * 1000, 3),
            fault="+".join(r.kind for r in rules) or None,
        )
        return response

    async def _answer(
        self, request: web.Request, handler: Handler, rules: list[FaultRule]
    ) -> web.StreamResponse:
        delay_ms = sum(rule.delay_ms for rule in rules)
        if delay_ms:
            await request.read()
            await asyncio.sleep(delay_ms / 1000)
        fault = next((rule for rule in rules if rule.kind != "slow"), None)
        if fault is None:
            return self._dated(request, await handler(request))
        if fault.kind == "drop_before":
            await request.read()
            return _drop(request)
        if fault.kind == "status" and not fault.processed:
            await request.read()
            return self._dated(request, self._ordered_error(fault))
        response = self._dated(request, await handler(request))
        return await self._spoil(request, response, fault)

    async def _spoil(
        self, request: web.Request, response: web.StreamResponse, fault: FaultRule
    ) -> web.StreamResponse:
        if fault.kind == "drop_after":
            return _drop(request)
        if fault.kind == "status":
            return self._dated(request, self._ordered_error(fault))
        body = (
            response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
        )
        if fault.kind == "malformed":
            return self._replaced(
                request, response.status, b'{"records": [{"Id": "003' + body[:20] + b"<html>"
            )
        if fault.kind == "huge":
            padding = b'"' + b"x" * max(0, fault.size - 2) + b'"'
            return self._replaced(request, response.status, padding)
        return await self._truncated(request, response.status, body or b'{"cut": "short"}')

    def _replaced(self, request: web.Request, status: int, body: bytes) -> web.Response:
        # 204 may carry no body: a client only meets a spoilt one behind a status that has one.
        status = 200 if status == 204 else status
        replaced = web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
        return self._dated(request, replaced)

    async def _truncated(self, request: web.Request, status: int, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=200 if status == 204 else status)
        response.content_type = "application/json"
        response.content_length = len(body)
        self._dated(request, response)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    def _ordered_error(self, fault: FaultRule) -> web.Response:
        response = self.provider.error_response(fault)
        if fault.retry_after is not None:
            response.headers["Retry-After"] = str(fault.retry_after)
        return response

    def _dated(self, request: web.Request, response: _R) -> _R:
        response.headers["Date"] = formatdate(self.provider.store.clock.now_ms() / 1000, usegmt=True)
        self.provider.decorate(request, response)
        return response


class _Dropped(web.Response):
    """Stands for the answer that never came: its connection is already gone."""


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return _Dropped()


def _below_prefix(request: web.Request, name: str) -> str:
    return request.path.removeprefix(f"/{name}") or "/"


def _query(request: web.Request) -> str:
    return f"?{request.query_string}" if request.query_string else ""
