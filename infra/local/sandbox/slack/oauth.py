"""`/oauth/v2/authorize`, `oauth.v2.access`, `auth.test` and `auth.revoke`.

Sources: https://docs.slack.dev/authentication/installing-with-oauth, …/authentication/using-token-rotation,
https://docs.slack.dev/reference/methods/oauth.v2.access
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import BasicAuth, web

from infra.local.sandbox.slack.errors import ApiError, answer
from infra.local.sandbox.slack.names import (
    ADMIN_ID,
    APP_ID,
    BOT_ID,
    BOT_USER_ID,
    NAME,
    TEAM_DOMAIN,
    TEAM_ID,
    TEAM_NAME,
)
from infra.local.sandbox.slack.tokens import Tokens
from infra.local.sandbox.slack.web_api import Call, Method
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]

_CODE_MS = 10 * 60 * 1000


class OAuth:
    """The consent page and the token endpoint."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/oauth/v2/authorize", self._authorize),
            web.post("/api/oauth.v2.access", self._access),
            web.get("/api/oauth.v2.access", self._access),
        ]

    def methods(self) -> list[Method]:
        return [Method("auth.test", self._test)]

    def grant(self, client_id: str, scope: str, user_scope: str) -> JsonObject:
        """Tokens as after a consent: the bot's at the top, the user's own in `authed_user`."""
        authed_user: JsonObject = {"id": ADMIN_ID}
        if user_scope:
            issued = self._tokens.issue(client_id, user_scope, "user")
            authed_user |= {"scope": user_scope, "token_type": "user", **_token_members(issued)}
        body: JsonObject = {"ok": True, "app_id": APP_ID, "authed_user": authed_user}
        if scope:
            issued = self._tokens.issue(client_id, scope, "bot")
            body |= {"scope": scope, "token_type": "bot", "bot_user_id": BOT_USER_ID}
            body |= _token_members(issued)
        return body | _team()

    async def _authorize(self, request: web.Request) -> web.Response:
        """Consent, given at once by the owner (or refused, when the policy says so)."""
        query = request.query
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if client_id not in self._tokens.policy()["clients"]:
            return ApiError("invalid_client_id").response()
        if not query.get("scope") and not query.get("user_scope"):
            return ApiError("no_scopes").response()
        if not redirect_uri:
            return ApiError("bad_redirect_uri").response()
        back = {"state": query.get("state", "")}
        if self._tokens.policy()["denyConsent"]:
            back |= {"error": "access_denied"}
        else:
            code = f"061.{secrets.token_hex(32)}"
            held = {
                "clientId": client_id,
                "redirectUri": redirect_uri,
                "scope": query.get("scope", ""),
                "userScope": query.get("user_scope", ""),
                "madeMs": self._store.clock.now_ms(),
            }
            self._store.put_document(NAME, "code", code, held)
            back |= {"code": code}
        joint = "&" if "?" in redirect_uri else "?"
        return web.Response(status=302, headers={"Location": f"{redirect_uri}{joint}{urlencode(back)}"})

    async def _access(self, request: web.Request) -> web.Response:
        form: Mapping[str, Any] = await request.post() if request.method == "POST" else request.query
        try:
            client_id = self._client(request, form)
            kind = str(form.get("grant_type") or "authorization_code")
            if kind == "refresh_token":
                return answer(self._refresh(client_id, str(form.get("refresh_token", ""))))
            if kind == "authorization_code":
                return answer(self._exchange(client_id, form))
            raise ApiError("invalid_grant_type")
        except ApiError as error:
            return error.response()

    def _refresh(self, client_id: str, token: str) -> JsonObject:
        held = self._tokens.peek(token)
        if held is None or held["clientId"] != client_id:
            raise ApiError("invalid_refresh_token")
        self._tokens.use_refresh_token(token)
        issued = self._tokens.issue(client_id, held["scope"], held["kind"])
        body: JsonObject = {"ok": True, "app_id": APP_ID, "authed_user": {"id": ADMIN_ID}}
        body |= {"scope": held["scope"], "token_type": held["kind"]}
        if held["kind"] == "bot":
            body["bot_user_id"] = BOT_USER_ID
        return body | _token_members(issued) | _team()

    def _exchange(self, client_id: str, form: Mapping[str, Any]) -> JsonObject:
        name = str(form.get("code", ""))
        code = self._store.document(NAME, "code", name)
        if code is None or code["clientId"] != client_id:
            raise ApiError("invalid_code")
        self._store.remove_document(NAME, "code", name)
        if self._store.clock.now_ms() - code["madeMs"] > _CODE_MS:
            raise ApiError("invalid_code")
        if form.get("redirect_uri") and form["redirect_uri"] != code["redirectUri"]:
            raise ApiError("bad_redirect_uri")
        return self.grant(client_id, code["scope"], code["userScope"])

    def _client(self, request: web.Request, form: Mapping[str, Any]) -> str:
        """Who asks, from Basic (which Slack prefers) or the form."""
        client_id, secret = str(form.get("client_id", "")), str(form.get("client_secret", ""))
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            try:
                basic = BasicAuth.decode(header)
            except ValueError:
                raise ApiError("invalid_client_id") from None
            client_id, secret = basic.login, basic.password
        client = self._tokens.policy()["clients"].get(client_id)
        if client is None:
            raise ApiError("invalid_client_id")
        if not hmac.compare_digest(secret, client["secret"]):
            raise ApiError("bad_client_secret")
        return client_id

    async def _test(self, call: Call) -> JsonObject:
        body: JsonObject = {
            "url": f"https://{TEAM_DOMAIN}.slack.com/",
            "team": TEAM_NAME,
            "user": "castiel" if call.is_bot else "owner",
            "team_id": TEAM_ID,
            "user_id": call.user,
        }
        if call.is_bot:
            body["bot_id"] = BOT_ID
        return body | {"is_enterprise_install": False}


def _token_members(issued: JsonObject) -> JsonObject:
    members = {"access_token": issued["access"]}
    if issued["refresh"]:
        members |= {"refresh_token": issued["refresh"], "expires_in": issued["seconds"]}
    return members


def _team() -> JsonObject:
    return {"team": {"id": TEAM_ID, "name": TEAM_NAME}, "enterprise": None, "is_enterprise_install": False}
