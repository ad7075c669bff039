"""What every call of the Web API goes through: arguments, token, scope, rate limit, and errors as answers.

Sources: https://docs.slack.dev/apis/web-api/, https://docs.slack.dev/authentication/tokens
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from infra.local.sandbox.slack.arguments import Arguments, read_arguments
from infra.local.sandbox.slack.errors import ApiError, answer
from infra.local.sandbox.slack.limits import Limits
from infra.local.sandbox.slack.tokens import Tokens

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised call."""

    arguments: Arguments
    user: str
    kind: str
    scopes: frozenset[str]

    @property
    def is_bot(self) -> bool:
        return self.kind == "bot"


Handler = Callable[[Call], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: any of `scopes` opens it; `user_only` where bot tokens are refused."""

    name: str
    handler: Handler
    scopes: tuple[str, ...] = ()
    user_only: bool = False


class Gate:
    """Lets calls in and turns ApiError into the answer."""

    def __init__(self, tokens: Tokens, limits: Limits) -> None:
        self._tokens = tokens
        self._limits = limits
        self._methods: dict[str, Method] = {}

    def add(self, *methods: Method) -> None:
        self._methods |= {method.name: method for method in methods}

    async def handle(self, request: web.Request) -> web.Response:
        """`/api/{method}`, GET or POST."""
        method = self._methods.get(request.match_info["method"])
        if method is None:
            name = request.match_info["method"]
            return ApiError("unknown_method", req_method=name).response()
        try:
            response = await self._run(method, request)
        except ApiError as error:
            response = error.response()
        response.headers["X-Slack-Req-Id"] = "0123456789abcdef0123456789abcdef"
        return response

    async def _run(self, method: Method, request: web.Request) -> web.Response:
        arguments, warned = await read_arguments(request)
        session = self._admit(request, arguments)
        if self._tokens.policy()["enforceRateLimits"]:
            self._limits.count(method.name)
        if method.user_only and session["kind"] != "user":
            raise ApiError("not_allowed_token_type")
        scopes = frozenset(session["scope"].split(","))
        if method.scopes and not scopes & set(method.scopes):
            raise ApiError("missing_scope", needed=method.scopes[0], provided=session["scope"])
        body = await method.handler(Call(arguments, session["user"], session["kind"], scopes))
        headers = {"X-OAuth-Scopes": session["scope"], "X-Accepted-OAuth-Scopes": ",".join(method.scopes)}
        return answer({"ok": True, **body, **warned}, headers=headers)

    def _admit(self, request: web.Request, arguments: Arguments) -> JsonObject:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        # In the query a token is no longer taken: https://docs.slack.dev/changelog/2020-11-no-more-tokens-in-querystrings-for-newly-created-apps
        if not token and request.method == "POST":
            token, kind = arguments.text("token"), "Bearer"
        if not token or kind != "Bearer":
            raise ApiError("not_authed")
        session = self._tokens.session(token)
        if session is None:
            raise ApiError("invalid_auth")
        if session["revoked"]:
            raise ApiError("token_revoked")
        if self._tokens.expired(session):
            raise ApiError("token_expired")
        return session
