"""Consent, the token endpoint, revocation, token and user info.

Sources: https://developers.google.com/identity/protocols/oauth2/web-server,
https://developers.google.com/identity/protocols/oauth2#expiration,
https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from infra.local.sandbox.google.errors import OAuthError
from infra.local.sandbox.google.names import ACCOUNT, ACCOUNT_ID, DEFAULT_SCOPE, NAME
from infra.local.sandbox.google.service_accounts import JWT_BEARER, judge
from infra.local.sandbox.google.tokens import Tokens
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]
Form = Mapping[str, Any]
_CODE_MS = 10 * 60 * 1000
_FORM = "application/x-www-form-urlencoded"


class OAuth:
    """accounts.google.com and oauth2.googleapis.com in one."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/o/oauth2/v2/auth", _guarded(self._authorize)),
            web.post("/token", _guarded(self._token)),
            web.post("/revoke", _guarded(self._revoke)),
            web.get("/tokeninfo", _guarded(self._token_info)),
            web.get("/oauth2/v2/userinfo", _guarded(self._user_info)),
        ]

    def answer(self, client_id: str, scope: str, refresh_token: str | None) -> JsonObject:
        """Open a session and describe it as the token endpoint does, without a refresh token."""
        return {
            "access_token": self._tokens.open_session(refresh_token, client_id, scope),
            "expires_in": int(self._tokens.policy()["accessTokenSeconds"]),
            "scope": scope,
            "token_type": "Bearer",
        }

    async def _authorize(self, request: web.Request) -> web.Response:
        """Consent, given at once by the only user (or refused, when the policy says so)."""
        query = request.query
        client = self._tokens.policy()["clients"].get(query.get("client_id", ""))
        if client is None:
            raise OAuthError("invalid_client", "The OAuth client was not found.", 401)
        redirect_uri = query.get("redirect_uri", "")
        if redirect_uri not in client["redirectUris"]:
            raise OAuthError("redirect_uri_mismatch", "The redirect URI is not registered for this client.")
        if query.get("response_type") != "code" or not query.get("scope"):
            raise OAuthError("invalid_request", "Required parameter is missing: response_type or scope")
        if query.get("code_challenge_method", "S256") not in ("S256", "plain"):
            raise OAuthError("invalid_request", "Invalid parameter value for code_challenge_method")
        back = {"state": query["state"]} if "state" in query else {}
        if self._tokens.policy()["denyConsent"]:
            back |= {"error": "access_denied"}
        else:
            code = f"4/{secrets.token_urlsafe(40)}"
            # A refresh token comes only for offline access, and after the first time only where consent is asked.
            offline = query.get("access_type") == "offline" and (
                query.get("prompt") == "consent" or not self._store.documents(NAME, "grant")
            )
            details = {
                "clientId": query["client_id"],
                "redirectUri": redirect_uri,
                "scope": query["scope"],
                "challenge": query.get("code_challenge"),
                "plain": query.get("code_challenge_method", "plain") == "plain",
                "offline": offline,
                "madeMs": self._store.clock.now_ms(),
            }
            self._store.put_document(NAME, "code", code, details)
            back |= {"code": code, "scope": query["scope"]}
        return web.Response(status=302, headers={"Location": f"{redirect_uri}?{urlencode(back)}"})

    async def _token(self, request: web.Request) -> web.Response:
        if request.content_type != _FORM:
            raise OAuthError("invalid_request", f"Content type must be {_FORM}")
        form = await request.post()
        grant_type = str(form.get("grant_type", ""))
        if grant_type == JWT_BEARER:
            return web.json_response(self._assert(form, str(request.url)))
        client_id = self._client(form)
        if grant_type == "refresh_token":
            return web.json_response(self._refresh(client_id, form))
        if grant_type == "authorization_code":
            return web.json_response(self._exchange(client_id, form))
        raise OAuthError("unsupported_grant_type", f"Invalid grant_type: {grant_type}")

    def _refresh(self, client_id: str, form: Form) -> JsonObject:
        token = str(form.get("refresh_token", ""))
        grant = self._tokens.grant_of(token)
        if grant is None:
            raise OAuthError("invalid_grant", "Token has been expired or revoked.")
        if grant["clientId"] != client_id:
            raise OAuthError("unauthorized_client", "Unauthorized", 401)
        if self._tokens.policy()["sessionControl"]:
            raise OAuthError("invalid_rapt", "reauth related error (invalid_rapt)")
        return self.answer(client_id, grant["scope"], token)

    def _exchange(self, client_id: str, form: Form) -> JsonObject:
        name = str(form.get("code", ""))
        code = self._store.document(NAME, "code", name)
        self._store.remove_document(NAME, "code", name)
        if (
            code is None
            or code["clientId"] != client_id
            or self._store.clock.now_ms() - code["madeMs"] > _CODE_MS
        ):
            raise OAuthError("invalid_grant", "Malformed auth code.")
        if code["redirectUri"] != form.get("redirect_uri"):
            raise OAuthError("redirect_uri_mismatch", "Bad Request")
        _check_verifier(code, str(form.get("code_verifier", "")))
        refresh_token = self._tokens.grant(client_id, code["scope"]) if code["offline"] else None
        answer = self.answer(client_id, code["scope"], refresh_token)
        return answer | ({"refresh_token": refresh_token} if refresh_token else {})

    def _assert(self, form: Form, address: str) -> JsonObject:
        """A service account's own token: there is nothing to refresh it with."""
        accounts = self._tokens.policy()["serviceAccounts"]
        email, scope = judge(str(form.get("assertion", "")), accounts, address)
        return self.answer(email, scope, None)

    async def _revoke(self, request: web.Request) -> web.Response:
        form: Form = await request.post()
        if not self._tokens.revoke(str(form.get("token") or request.query.get("token", ""))):
            raise OAuthError("invalid_token", "Token expired or revoked")
        return web.json_response({})

    async def _token_info(self, request: web.Request) -> web.Response:
        session = self._tokens.session(request.query.get("access_token", ""))
        if session is None:
            raise OAuthError("invalid_token", "Invalid Value")
        seconds = (session["expiresMs"] - self._store.clock.now_ms()) // 1000
        return web.json_response(
            {
                "azp": session["clientId"],
                "aud": session["clientId"],
                "sub": ACCOUNT_ID,
                "scope": session["scope"],
                "exp": str(session["expiresMs"] // 1000),
                "expires_in": str(seconds),
                "email": ACCOUNT,
                "email_verified": "true",
                "access_type": "offline",
            }
        )

    async def _user_info(self, request: web.Request) -> web.Response:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        session = self._tokens.session(token) if kind == "Bearer" else None
        if session is None:
            error = {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}
            return web.json_response({"error": error}, status=401)
        who: JsonObject = {"id": ACCOUNT_ID, "picture": "https://lh3.googleusercontent.com/a/default-user"}
        if "userinfo.email" in session["scope"] or "email" in session["scope"].split():
            who |= {"email": ACCOUNT, "verified_email": True, "hd": "castiel.example.com"}
        return web.json_response(who)

    def _client(self, form: Form) -> str:
        client_id, secret = str(form.get("client_id", "")), str(form.get("client_secret", ""))
        client = self._tokens.policy()["clients"].get(client_id)
        if client is None:
            raise OAuthError("invalid_client", "The OAuth client was not found.", 401)
        if not hmac.compare_digest(secret, client["secret"]):
            raise OAuthError("invalid_client", "Unauthorized", 401)
        return client_id

    def granted(self, options: JsonObject) -> JsonObject:
        """Tokens as after a consent with offline access."""
        default = next(iter(self._tokens.policy()["clients"]))
        client_id, scope = options.get("clientId", default), options.get("scope", DEFAULT_SCOPE)
        refresh_token = self._tokens.grant(client_id, scope, options.get("refreshToken"))
        return self.answer(client_id, scope, refresh_token) | {"refresh_token": refresh_token}


def _guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def guarded(request: web.Request) -> web.Response:
        try:
            response = await handler(request)
        except OAuthError as error:
            response = web.json_response(error.body, status=error.status)
        response.headers.setdefault("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate")
        return response

    return guarded


def _check_verifier(code: JsonObject, verifier: str) -> None:
    challenge = code["challenge"]
    if challenge is None:
        return
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(verifier if code["plain"] else digest, challenge):
        raise OAuthError("invalid_grant", "Invalid code verifier.")
