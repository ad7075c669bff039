"""`/login/oauth/…` and an app's installation tokens.

Sources: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app,
https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors,
https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import web

from infra.local.sandbox.github.api import answer, check_headers
from infra.local.sandbox.github.errors import ApiError, not_found
from infra.local.sandbox.github.rendering import moment
from infra.local.sandbox.github.tokens import INSTALLATION_ID, NAME, Tokens
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]
_CODE_MS = 10 * 60 * 1000
_JWT_SECONDS = 600
_DOCS = (
    "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors"
)
_DESCRIPTIONS = {
    "bad_refresh_token": "The refresh token passed is incorrect or expired.",
    "bad_verification_code": "The code passed is incorrect or expired.",
    "incorrect_client_credentials": "The client_id and/or client_secret passed are incorrect.",
    "redirect_uri_mismatch": "The redirect_uri MUST match the registered callback URL for this application.",
    "unsupported_grant_type": "The grant_type passed is unsupported.",
}


class OAuth:
    """The authorization server."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/login/oauth/authorize", self._authorize),
            web.post("/login/oauth/access_token", self._token),
            web.post("/app/installations/{installation}/access_tokens", self._installation_token),
        ]

    async def _authorize(self, request: web.Request) -> web.Response:
        """Consent, given at once by the only user (or refused, when the policy says so)."""
        query = request.query
        if query.get("client_id") not in self._tokens.policy()["clients"] or "redirect_uri" not in query:
            return web.Response(status=404, text="Not Found")
        back = {"state": query["state"]} if "state" in query else {}
        if self._tokens.policy()["denyConsent"]:
            denied = "The user has denied your application access."
            back |= {"error": "access_denied", "error_description": denied}
        else:
            back |= {"code": self._code(query)}
        joint = "&" if "?" in query["redirect_uri"] else "?"
        return web.Response(
            status=302, headers={"Location": f"{query['redirect_uri']}{joint}{urlencode(back)}"}
        )

    def _code(self, query: Mapping[str, str]) -> str:
        code = secrets.token_hex(10)
        held = {
            "clientId": query["client_id"],
            "redirectUri": query["redirect_uri"],
            "scope": query.get("scope", ""),
            "challenge": query.get("code_challenge"),
            "expiresMs": self._store.clock.now_ms() + _CODE_MS,
        }
        self._store.put_document(NAME, "code", code, held)
        return code

    async def _token(self, request: web.Request) -> web.Response:
        """Answers 200 to a refusal, too; as a form, unless JSON is asked for."""
        form = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        if request.content_type == "application/json":
            form |= await request.json()
        found = self._answer(form)
        if "json" in request.headers.get("Accept", ""):
            return web.json_response(found)
        return web.Response(text=urlencode(found), content_type="application/x-www-form-urlencoded")

    def _answer(self, form: Mapping[str, str]) -> JsonObject:
        client_id = form.get("client_id", "")
        client = self._tokens.policy()["clients"].get(client_id)
        if client is None or not hmac.compare_digest(form.get("client_secret", ""), client["secret"] or ""):
            return _refused("incorrect_client_credentials")
        grant = form.get("grant_type", "authorization_code")
        if grant == "refresh_token":
            pair = self._tokens.refresh(client_id, form.get("refresh_token", ""))
            return pair or _refused("bad_refresh_token")
        if grant != "authorization_code":
            return _refused("unsupported_grant_type")
        return self._exchange(client_id, form)

    def _exchange(self, client_id: str, form: Mapping[str, str]) -> JsonObject:
        held = self._store.document(NAME, "code", form.get("code", ""))
        self._store.remove_document(NAME, "code", form.get("code", ""))
        if held is None or held["clientId"] != client_id or held["expiresMs"] <= self._store.clock.now_ms():
            return _refused("bad_verification_code")
        if form.get("redirect_uri", held["redirectUri"]) != held["redirectUri"]:
            return _refused("redirect_uri_mismatch")
        if held["challenge"] is not None and _challenge(form.get("code_verifier", "")) != held["challenge"]:
            return _refused("bad_verification_code")
        return self._tokens.grant(client_id, held["scope"])

    async def _installation_token(self, request: web.Request) -> web.Response:
        try:
            check_headers(request)
            client_id = self._app(request)
            if request.match_info["installation"] != str(INSTALLATION_ID):
                raise not_found()
            if self._tokens.policy()["installationSuspended"]:
                raise ApiError(403, "This installation has been suspended")
        except ApiError as error:
            return error.response()
        token, expires_ms = self._tokens.open_installation(client_id)
        body = {
            "token": token,
            "expires_at": moment(expires_ms),
            "permissions": {"issues": "write", "pull_requests": "write", "metadata": "read"},
            "repository_selection": "all",
        }
        return answer(body, 201)

    def _app(self, request: web.Request) -> str:
        """The app that signed the JWT: at most ten minutes long, and not from the future."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        undecodable = ApiError(401, "A JSON web token could not be decoded")
        if kind.lower() != "bearer":
            raise undecodable
        try:
            client_id = str(jwt.decode(token, options={"verify_signature": False}).get("iss"))
            key = self._tokens.policy()["clients"].get(client_id, {}).get("publicKey")
            if key is None:
                raise ApiError(404, "Integration not found")
            # The clock of the sandbox may be moved, and PyJWT knows only the machine's.
            times = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
            claims = jwt.decode(token, key, algorithms=["RS256"], options=times)
            issued, expires = int(claims["iat"]), int(claims["exp"])
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise undecodable from None
        now = self._store.clock.now_ms() // 1000
        if issued > now:
            raise ApiError(
                401, "'Issued at' claim ('iat') must be an Integer representing a time in the past"
            )
        if expires <= now:
            raise ApiError(401, "'Expiration time' claim ('exp') must be a numeric value in the future")
        if expires > now + _JWT_SECONDS:
            raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")
        return client_id


def _refused(error: str) -> JsonObject:
    uri = f"{_DOCS}/#{error.replace('_', '-')}"
    return {"error": error, "error_description": _DESCRIPTIONS[error], "error_uri": uri}


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
