"""What every REST call of the org goes through: version, session, quota, body, and errors as answers."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from infra.local.sandbox.salesforce.errors import ApiError, not_found, request_limit_exceeded, session_invalid
from infra.local.sandbox.salesforce.rows import Writer
from infra.local.sandbox.salesforce.schema import SObject, find_object
from infra.local.sandbox.salesforce.tokens import Tokens

JsonObject = dict[str, Any]

VERSIONS = range(31, 69)
_VERSION = re.compile(r"v(\d{2})\.0")
_CLIENT = re.compile(r"client\s*=\s*([^,;\s]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised call."""

    request: web.Request
    version: str
    access_token: str
    user_id: str

    @property
    def writer(self) -> Writer:
        """The writer, with the client name of Sforce-Call-Options in the origin."""
        origin = f"com/salesforce/api/rest/{self.version[1:]}"
        client = _CLIENT.search(self.request.headers.get("Sforce-Call-Options", ""))
        if client is not None:
            origin = f"{origin};client={client.group(1)}"
        return Writer(self.user_id, origin, meets_faults=True)

    def sobject(self) -> SObject:
        """The object named in the path. Raises ApiError NOT_FOUND."""
        found = find_object(self.request.match_info["sobject"])
        if found is None:
            raise not_found()
        return found

    async def json(self) -> JsonObject:
        """The body as a JSON object. Raises ApiError 415 or JSON_PARSER_ERROR."""
        if self.request.content_type != "application/json":
            text = f"The content type '{self.request.content_type}' is not supported"
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", text)
        raw = await self.request.text()
        if not raw:
            text = "The HTTP entity body is required, but this request has no entity body."
            raise ApiError(400, "JSON_PARSER_ERROR", text)
        try:
            body = json.loads(raw)
        except ValueError as error:
            raise ApiError(400, "JSON_PARSER_ERROR", f"Unexpected character at {error}") from None
        if not isinstance(body, dict):
            raise ApiError(
                400, "JSON_PARSER_ERROR", "Cannot deserialize instance of SObject from START_ARRAY"
            )
        return body


Handler = Callable[[Call], Awaitable[web.Response]]


class Gate:
    """Lets calls in, counts them, and turns ApiError into the answer."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._used = 0

    @property
    def used(self) -> int:
        return self._used + int(self._tokens.policy()["apiRequestsUsed"])

    @property
    def maximum(self) -> int:
        return int(self._tokens.policy()["dailyApiLimit"])

    def reset(self) -> None:
        """Count from `apiRequestsUsed` again."""
        self._used = 0

    def route(self, method: str, path: str, handler: Handler) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(self._admit(request))
            except ApiError as error:
                return error.response()

        return web.route(method, f"/services/data/{{version}}{path}", handle)

    def _admit(self, request: web.Request) -> Call:
        version = _VERSION.fullmatch(request.match_info["version"])
        if version is None or int(version.group(1)) not in VERSIONS:
            raise not_found()
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind not in ("Bearer", "OAuth", ""):
            raise ApiError(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        session = self._tokens.session(token)
        if session is None:
            raise session_invalid()
        if self.used >= self.maximum:
            raise request_limit_exceeded()
        self._used += 1
        return Call(request, version.group(), token, session["user"])


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer, charset in capitals as Salesforce writes it."""
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(
        status=status, text=text, content_type="application/json", charset="UTF-8", headers=headers
    )
