"""What every call of the two APIs goes through, also inside a batch: token, scope, body, errors as answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from aiohttp import web
from multidict import CIMultiDict

from infra.local.sandbox.google.errors import ApiError, Style, scope_missing, unauthenticated
from infra.local.sandbox.google.tokens import Tokens

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call, as it came or as a part of a batch. ``path`` is below the provider's prefix."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: CIMultiDict[str]
    body: bytes
    names: Mapping[str, str] = field(default_factory=dict)
    """What the route's pattern named."""

    def one(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.query.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        """A boolean query parameter."""
        return self.one(name).lower() == "true"

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds. Raises ApiError."""
        text = self.one(name)
        if not text or text == "0":
            return default
        if not text.isdigit() or not low <= int(text) <= high:
            raise ApiError(
                400,
                f"Invalid value at '{name}'. Values must be within the range: [{low}, {high}]",
                reason="invalidParameter",
                location=("parameter", name),
            )
        return int(text)

    def json(self) -> JsonObject:
        """The body as a JSON object. Raises ApiError."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.body and kind != "application/json":
            text = f"Media type '{kind}' is not supported. Valid media types: [application/json]"
            raise ApiError(400, text, reason="badContent")
        try:
            body = json.loads(self.body or b"{}")
        except ValueError:
            raise ApiError(400, "Invalid JSON payload received.", reason="parseError") from None
        if not isinstance(body, dict):
            raise ApiError(400, "Invalid JSON payload received. Root element must be a message.")
        return body


@dataclass(frozen=True)
class Answer:
    """A status with a JSON body, or none."""

    body: JsonObject | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "" if self.body is None else json.dumps(self.body, ensure_ascii=False, indent=1)


Handler = Callable[[Call], Answer]


class Api:
    """The routes of one API: a token with its scope first, then the handler, refusals as answers."""

    def __init__(self, tokens: Tokens, style: Style, scope: str) -> None:
        self._tokens = tokens
        self._style = style
        self._scope = scope
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """`{name}` stands for one segment of the path; what follows a colon is the method's name."""
        expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(pattern))
        self._routes.append((method, re.compile(expression), handler))

    def answer(self, call: Call) -> Answer:
        """Carry out a call."""
        try:
            self._admit(call)
            for method, pattern, handler in self._routes:
                match = pattern.fullmatch(call.path) if method == call.method else None
                if match:
                    names = {name: unquote(text) for name, text in match.groupdict().items()}
                    return handler(Call(call.method, call.path, call.query, call.headers, call.body, names))
            raise ApiError(404, "Not Found", reason="notFound")
        except ApiError as error:
            headers = (
                {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'}
                if error.code == 401
                else {}
            )
            return Answer(error.body(self._style), error.code, headers)

    def _admit(self, call: Call) -> None:
        kind, _, token = call.headers.get("Authorization", "").partition(" ")
        session = self._tokens.session(token) if kind == "Bearer" else None
        if session is None:
            raise unauthenticated(self._style)
        wide = self._scope.removesuffix(".events")
        if not {self._scope, wide} & set(session["scope"].split()):
            raise scope_missing(self._style)


async def read_call(request: web.Request, path: str) -> Call:
    """The call in a request."""
    query = parse_qs(request.query_string, keep_blank_values=True)
    return Call(request.method, path, query, CIMultiDict(request.headers), await request.read())


def respond(answer: Answer) -> web.Response:
    """The answer on the wire."""
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    return web.Response(
        status=answer.status,
        text=answer.text,
        content_type="application/json",
        charset="UTF-8",
        headers=answer.headers,
    )
