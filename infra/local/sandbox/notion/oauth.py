"""`/v1/oauth/…`: consent, tokens, introspection, revocation. Clients authenticate by HTTP Basic, bodies are JSON.

Sources: https://developers.notion.com/guides/get-started/authorization,
https://developers.notion.com/reference/create-a-token, …/refresh-a-token, …/introspect-token, …/revoke-token
"""

from __future__ import annotations

import hmac
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from aiohttp import BasicAuth, web

from infra.local.sandbox.notion.errors import ApiError, invalid
from infra.local.sandbox.notion.ids import BOT_ID, NAME, PERSON_ID, WORKSPACE_ID, WORKSPACE_NAME
from infra.local.sandbox.notion.rendering import user
from infra.local.sandbox.notion.tokens import Tokens
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]

_CODE_MS = 10 * 60 * 1000


class OAuthError(Exception):
    """Answered with {"error", "error_description"}."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status

    def response(self) -> web.Response:
        body = {
            "error": self.error,
            "error_description": self.description,
            "request_id": str(uuid.uuid4()),
        }
        return web.json_response(body, status=self.status)


class OAuth:
    """The authorization server."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/oauth/authorize", _guarded(self._authorize)),
            web.post("/v1/oauth/token", _guarded(self._token)),
            web.post("/v1/oauth/introspect", _guarded(self._introspect)),
            web.post("/v1/oauth/revoke", _guarded(self._revoke)),
        ]

    def answer(self, pair: JsonObject) -> JsonObject:
        """The token endpoint's answer: no expires_in, no scope."""
        return {
            "access_token": pair["access_token"],
            "token_type": "bearer",
            "refresh_token": pair["refresh_token"],
            "bot_id": BOT_ID,
            "workspace_icon": None,
            "workspace_name": WORKSPACE_NAME,
            "workspace_id": WORKSPACE_ID,
            "owner": {"type": "user", "user": user(PERSON_ID)},
            "duplicated_template_id": None,
            "request_id": str(uuid.uuid4()),
        }

    async def _authorize(self, request: web.Request) -> web.Response:
        """Consent, given at once by the workspace's only owner (or refused, when the policy says so)."""
        query = request.query
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if client_id not in self._tokens.policy()["clients"]:
            raise OAuthError("invalid_client", "Client not found.")
        if query.get("response_type") != "code" or query.get("owner") != "user" or not redirect_uri:
            raise OAuthError("invalid_request", "Missing or invalid response_type, owner or redirect_uri.")
        back = {"state": query["state"]} if "state" in query else {}
        if self._tokens.policy()["denyConsent"]:
            back |= {"error": "access_denied"}
        else:
            code = str(uuid.uuid4())
            held = {
                "clientId": client_id,
                "redirectUri": redirect_uri,
                "madeMs": self._store.clock.now_ms(),
            }
            self._store.put_document(NAME, "code", code, held)
            back |= {"code": code}
        joint = "&" if "?" in redirect_uri else "?"
        return web.Response(status=302, headers={"Location": f"{redirect_uri}{joint}{urlencode(back)}"})

    async def _token(self, request: web.Request) -> web.Response:
        client_id, body = self._client(request), await _body(request)
        match body.get("grant_type"):
            case "authorization_code":
                pair = self._exchanged(client_id, body)
            case "refresh_token":
                found = self._tokens.refresh(str(body.get("refresh_token")), client_id)
                if found is None:
                    raise OAuthError("invalid_grant", "Token has been expired or revoked.")
                pair = found
            case other:
                raise invalid(
                    "body.grant_type", 'should be `"authorization_code"` or `"refresh_token"`', other
                )
        return web.json_response(self.answer(pair))

    def _exchanged(self, client_id: str, body: JsonObject) -> JsonObject:
        name = str(body.get("code"))
        code = self._store.document(NAME, "code", name)
        self._store.remove_document(NAME, "code", name)
        if code is None or code["clientId"] != client_id:
            raise OAuthError("invalid_grant", "Invalid code.")
        if self._store.clock.now_ms() - code["madeMs"] > _CODE_MS:
            raise OAuthError("invalid_grant", "Invalid code: this code has expired.")
        if code["redirectUri"] != body.get("redirect_uri"):
            raise OAuthError("invalid_grant", "Mismatched redirect URI.")
        return self._tokens.grant(client_id)

    async def _introspect(self, request: web.Request) -> web.Response:
        self._client(request)
        session = self._tokens.session(str((await _body(request)).get("token")))
        answer: JsonObject = {"active": session is not None}
        if session:
            answer |= {"scope": "read_content insert_content update_content", "iat": session["issuedMs"]}
        return web.json_response(answer | {"request_id": str(uuid.uuid4())})

    async def _revoke(self, request: web.Request) -> web.Response:
        self._client(request)
        self._tokens.revoke(str((await _body(request)).get("token")))
        return web.json_response({"request_id": str(uuid.uuid4())})

    def _client(self, request: web.Request) -> str:
        try:
            basic = BasicAuth.decode(request.headers.get("Authorization", ""))
        except ValueError:
            raise OAuthError("invalid_client", "Missing client credentials.", 401) from None
        client = self._tokens.policy()["clients"].get(basic.login)
        given = basic.password or secrets.token_hex(1)
        if client is None or not hmac.compare_digest(given, client["secret"]):
            raise OAuthError("invalid_client", "Invalid client credentials.", 401)
        return str(basic.login)


def _guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def guarded(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except (OAuthError, ApiError) as error:
            return error.response()

    return guarded


async def _body(request: web.Request) -> JsonObject:
    try:
        body = json.loads(await request.text()) if request.content_type == "application/json" else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError("invalid_json")
    return body
