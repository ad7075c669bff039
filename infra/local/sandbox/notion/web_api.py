"""What every REST call goes through: token, version, rate limit, body, and errors as answers."""

from __future__ import annotations

import json
import math
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from infra.local.sandbox.clock import Clock
from infra.local.sandbox.notion.errors import ApiError
from infra.local.sandbox.notion.ids import canonical_id
from infra.local.sandbox.notion.tokens import Tokens

JsonObject = dict[str, Any]

VERSIONS = ("2025-09-03", "2026-03-11")
_WINDOW_MS = 60_000


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised call."""

    request: web.Request
    version: str

    def id(self, name: str) -> str:
        """An id of the path, with dashes. Raises ApiError validation_error."""
        given = self.request.match_info[name]
        found = canonical_id(given)
        if found is None:
            text = f'path failed validation: path.{name} should be a valid uuid, instead was `"{given}"`.'
            raise ApiError("validation_error", text)
        return found

    async def json(self) -> JsonObject:
        """The body as a JSON object. Raises ApiError invalid_json."""
        try:
            body = json.loads(await self.request.text()) if self._is_json else None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ApiError("invalid_json")
        return body

    @property
    def _is_json(self) -> bool:
        return self.request.content_type == "application/json"


Handler = Callable[[Call], Awaitable[JsonObject]]


class Gate:
    """Lets calls in, counts them per minute, and turns ApiError into the answer."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._recent: deque[int] = deque()

    def reset(self) -> None:
        self._recent.clear()

    def route(self, method: str, path: str, handler: Handler) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            try:
                return answer(await handler(self._admit(request)))
            except ApiError as error:
                return error.response()

        return web.route(method, f"/v1{path}", handle)

    def _admit(self, request: web.Request) -> Call:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self._tokens.session(token) is None:
            raise ApiError("unauthorized")
        version = request.headers.get("Notion-Version")
        if version is None:
            raise ApiError("missing_version")
        if version not in VERSIONS:
            known = " or ".join(f'`"{one}"`' for one in VERSIONS)
            text = f"Notion-Version header failed validation: Notion-Version header should be {known}, instead was"
            raise ApiError("missing_version", f'{text} `"{version}"`.')
        self._count()
        return Call(request, version)

    def _count(self) -> None:
        limit, now = self._tokens.policy()["requestsPerMinute"], self._clock.now_ms()
        while self._recent and self._recent[0] <= now - _WINDOW_MS:
            self._recent.popleft()
        if limit is not None and len(self._recent) >= int(limit):
            wait = (self._recent[0] + _WINDOW_MS - now) / 1000 if self._recent else 60
            reason = {"rate_limit_reason": "connection_rate_limit"}
            raise ApiError("rate_limited", additional=reason, retry_after=max(1, math.ceil(wait)))
        self._recent.append(now)


def answer(body: JsonObject) -> web.Response:
    """A JSON answer with its request id, in the body and beside it."""
    request_id = str(uuid.uuid4())
    text = json.dumps(body | {"request_id": request_id}, ensure_ascii=False)
    response = web.Response(text=text, content_type="application/json", charset="utf-8")
    response.headers["x-notion-request-id"] = request_id
    return response
