"""What every call of the API goes through: headers, token, quota, body, conditional answers, errors as answers."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from infra.local.sandbox.github.errors import (
    ApiError,
    bad_credentials,
    primary_limit,
    secondary_limit,
    unprocessable,
)
from infra.local.sandbox.github.tokens import NAME, USER, Tokens
from infra.local.sandbox.github.world import BOT
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]
VERSIONS = ("2022-11-28", "2026-03-10")
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
_WRITES = ("POST", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised call. ``base``: the API's own address, as the caller sees it."""

    request: web.Request
    base: str
    session: JsonObject

    @property
    def login(self) -> str:
        """Who the token acts as."""
        return BOT if self.session["kind"] == "installation" else USER

    @property
    def origin(self) -> str:
        return f"api:{self.login}"

    async def json(self) -> JsonObject:
        """The body as a JSON object. Raises ApiError."""
        raw = await self.request.text()
        try:
            body = json.loads(raw or "{}")
        except ValueError:
            raise ApiError(400, "Problems parsing JSON") from None
        if not isinstance(body, dict):
            raise ApiError(400, "Body should be a JSON object")
        return body

    async def checked(self, types: dict[str, tuple[type, ...]]) -> JsonObject:
        """The body, with only these members, each of one of its types. Raises ApiError 422."""
        body = await self.json()
        for name, value in body.items():
            if name not in types:
                raise unprocessable(f'"{name}" is not a permitted key.')
            if not isinstance(value, types[name]) or (isinstance(value, bool) and bool not in types[name]):
                kinds = ", ".join(kind.__name__ for kind in types[name])
                raise unprocessable(f"For 'properties/{name}', {json.dumps(value)} is not a {kinds}.")
        return body


Handler = Callable[[Call], Awaitable[web.Response]]


class Gate:
    """Lets calls in, counts them against the hour's quota, and turns ApiError into the answer."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens
        self._writes: deque[int] = deque()
        self.reset()

    def reset(self) -> None:
        """A new hour."""
        self._used = 0
        self._resets_ms = self._store.clock.now_ms() // 1000 * 1000 + _HOUR_MS
        self._writes.clear()

    def route(self, method: str, path: str, handler: Handler, *, free: bool = False) -> web.RouteDef:
        """A call that needs a token. ``free``: not counted."""

        async def handle(request: web.Request) -> web.Response:
            try:
                response = _conditional(request, await handler(self._admit(request, free=free)))
            except ApiError as error:
                response = error.response()
            # An answer that nothing has changed is free, too.
            if not free and response.status != 304:
                self._used += 1
            return response

        return web.route(method, path, handle)

    def quota(self) -> dict[str, str]:
        """The headers that tell it."""
        if self._store.clock.now_ms() >= self._resets_ms:
            self.reset()
        limit = int(self._tokens.policy()["rateLimit"])
        used = min(limit, self._used + int(self._tokens.policy()["requestsUsed"]))
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - used),
            "X-RateLimit-Used": str(used),
            "X-RateLimit-Reset": str(self._resets_ms // 1000),
            "X-RateLimit-Resource": "core",
        }

    def _admit(self, request: web.Request, *, free: bool) -> Call:
        check_headers(request)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            raise ApiError(401, "Requires authentication")
        session = self._tokens.session(token) if kind.lower() in ("bearer", "token") else None
        if session is None:
            raise bad_credentials()
        if session["kind"] == "installation" and self._tokens.policy()["installationSuspended"]:
            raise ApiError(403, "This installation has been suspended")
        if not free and self.quota()["X-RateLimit-Remaining"] == "0":
            raise primary_limit()
        if request.method in _WRITES:
            self._count_write()
        return Call(request, base_url(request), session)

    def _count_write(self) -> None:
        now, allowed = self._store.clock.now_ms(), int(self._tokens.policy()["contentPerMinute"])
        while self._writes and self._writes[0] <= now - _MINUTE_MS:
            self._writes.popleft()
        if len(self._writes) >= allowed:
            raise secondary_limit(max(1, (self._writes[0] + _MINUTE_MS - now) // 1000))
        self._writes.append(now)


def base_url(request: web.Request) -> str:
    """The API's address as this caller sees it."""
    return f"{request.scheme}://{request.host}/{NAME}"


def check_headers(request: web.Request) -> None:
    """Raises ApiError where GitHub refuses a call for its headers."""
    if not request.headers.get("User-Agent"):
        text = (
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
        )
        raise ApiError(403, text)
    version = request.headers.get("X-GitHub-Api-Version", VERSIONS[0])
    if version not in VERSIONS:
        raise ApiError(400, f"Version {version} is not a supported version")
    accept = request.headers.get("Accept", "*/*")
    if not any(kind in accept for kind in ("json", "*/*", "application/*")):
        raise ApiError(415, "Unsupported 'Accept' header: Must accept 'application/json'.")


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer with its ETag."""
    text = json.dumps(body, ensure_ascii=False)
    etag = f'W/"{hashlib.sha256(text.encode()).hexdigest()}"'
    return web.Response(
        status=status,
        text=text,
        content_type="application/json",
        charset="utf-8",
        headers={"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60", **(headers or {})},
    )


def _conditional(request: web.Request, response: web.Response) -> web.Response:
    known = request.headers.get("If-None-Match", "")
    etag = response.headers.get("ETag", "")
    if request.method != "GET" or response.status != 200 or not etag:
        return response
    if etag.removeprefix("W/") not in [one.strip().removeprefix("W/") for one in known.split(",")]:
        return response
    kept = {
        name: response.headers[name] for name in ("ETag", "Cache-Control", "Link") if name in response.headers
    }
    return web.Response(status=304, headers=kept)
