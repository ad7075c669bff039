"""Ordered failures for the HTTP emulators, so that a test can see how the app lives with them.

``POST /_faults {"status": 429, "count": 3, "retryAfter": 1}`` fails the next three calls; ``"method"`` and
``"path"`` (a prefix) narrow it down, ``"delay"`` (seconds) makes a call slow first, and status 0 closes the
connection without an answer. ``GET /_faults`` lists what is left, ``DELETE /_faults`` forgets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import BaseModel, ConfigDict, Field, ValidationError

ErrorBody = Callable[[int], dict[str, Any]]


class Fault(BaseModel):
    """One order: how the next ``count`` matching calls fail."""

    model_config = ConfigDict(extra="forbid")

    status: int = Field(ge=0, le=599)
    count: int = Field(default=1, ge=1)
    retryAfter: float | None = Field(default=None, ge=0)  # noqa: N815 - the name in the JSON
    delay: float = Field(default=0, ge=0)
    method: str | None = None
    path: str = "/"

    def matches(self, request: web.Request) -> bool:
        """Whether this order is about the request."""
        return request.method == (self.method or request.method) and request.path.startswith(self.path)


class Faults:
    """The orders of one server, and the aiohttp pieces that take and play them."""

    def __init__(self, error_body: ErrorBody) -> None:
        """``error_body`` makes the service's own JSON for a status."""
        self._orders: list[Fault] = []
        self._error_body = error_body

    def routes(self) -> list[web.RouteDef]:
        """The control endpoint."""
        return [
            web.get("/_faults", self._list),
            web.post("/_faults", self._add),
            web.delete("/_faults", self._clear),
        ]

    @property
    def middleware(self) -> Middleware:
        """Plays the orders on every call but those of the control endpoints (``/_...``)."""

        @web.middleware
        async def play(request: web.Request, handler: Handler) -> web.StreamResponse:
            fault = None if request.path.startswith("/_") else self._take(request)
            if fault is None:
                return await handler(request)
            await asyncio.sleep(fault.delay)
            if fault.status == 0:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            headers = {} if fault.retryAfter is None else {"Retry-After": f"{fault.retryAfter:g}"}
            return web.json_response(self._error_body(fault.status), status=fault.status, headers=headers)

        return play

    def _take(self, request: web.Request) -> Fault | None:
        fault = next((order for order in self._orders if order.matches(request)), None)
        if fault is not None:
            fault.count -= 1
            self._orders = [order for order in self._orders if order.count > 0]
        return fault

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": [order.model_dump() for order in self._orders]})

    async def _add(self, request: web.Request) -> web.Response:
        try:
            self._orders.append(Fault.model_validate_json(await request.read()))
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        return await self._list(request)

    async def _clear(self, request: web.Request) -> web.Response:
        self._orders.clear()
        return await self._list(request)
