"""`/services/oauth2/…`: consent, tokens, introspection, revocation, user info.

Sources: https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_refresh_token_flow.htm,
…remoteaccess_oauth_web_server_flow.htm, …remoteaccess_oauth_jwt_flow.htm,
…remoteaccess_oidc_token_introspection.htm (id=sf. in each)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import BasicAuth, web

from infra.local.sandbox.salesforce.ids import ORG_ID, USER_ID
from infra.local.sandbox.salesforce.rows import NAME
from infra.local.sandbox.salesforce.tokens import DEFAULT_SCOPE, Tokens
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]
Form = Mapping[str, Any]

USERNAME = "integration@castiel.example.com"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_CODE_MS = 15 * 60 * 1000


class OAuthError(Exception):
    """Answered with {"error", "error_description"}."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status

    def response(self) -> web.Response:
        body = {"error": self.error, "error_description": self.description}
        return web.json_response(body, status=self.status)


def base_url(request: web.Request) -> str:
    """The org's URL as this caller sees it, prefix included."""
    prefix = f"/{NAME}" if request.path.startswith(f"/{NAME}/") else ""
    return f"{request.scheme}://{request.host}{prefix}"


class OAuth:
    """The authorization server of the org."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens
        self._grants: dict[str, Callable[[web.Request, Form], JsonObject]] = {
            "refresh_token": self._refresh,
            "authorization_code": self._exchange_code,
            "urn:ietf:params:oauth:grant-type:jwt-bearer": self._assert,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/services/oauth2/authorize", self._guarded(self._authorize)),
            web.post("/services/oauth2/token", self._guarded(self._token)),
            web.post("/services/oauth2/introspect", self._guarded(self._introspect)),
            web.post("/services/oauth2/revoke", self._guarded(self._revoke)),
            web.get("/services/oauth2/revoke", self._guarded(self._revoke)),
            web.get("/services/oauth2/userinfo", self._guarded(self._user_info)),
        ]

    def answer(self, url: str, client_id: str, scope: str, refresh_token: str | None) -> JsonObject:
        """Open a session and describe it as the token endpoint does (without the refresh token)."""
        seconds = int(self._tokens.policy()["accessTokenSeconds"])
        access_token = self._tokens.open_session(refresh_token, client_id, scope, seconds)
        issued_at, identity = str(self._store.clock.now_ms()), f"{url}/id/{ORG_ID}/{USER_ID}"
        secret = str(self._tokens.policy()["clients"].get(client_id, {}).get("secret") or "")
        digest = hmac.new(secret.encode(), (identity + issued_at).encode(), hashlib.sha256).digest()
        return {
            "access_token": access_token,
            "signature": base64.b64encode(digest).decode(),
            "scope": scope,
            "instance_url": url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            try:
                response = await handler(request)
            except OAuthError as error:
                response = error.response()
            response.headers.setdefault("Cache-Control", "no-cache, no-store")
            return response

        return guarded

    # Endpoints -------------------------------------------------------------------------------------------

    async def _authorize(self, request: web.Request) -> web.Response:
        """Consent, given at once by the org's only user (or refused, when the policy says so)."""
        query = request.query
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if client_id not in self._tokens.policy()["clients"]:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if not redirect_uri:
            raise OAuthError("redirect_uri_missing", "redirect_uri not provided")
        back = {"state": query["state"]} if "state" in query else {}
        if self._tokens.policy()["denyConsent"]:
            back |= {"error": "access_denied", "error_description": "end-user denied authorization"}
        else:
            code = f"aPrx{secrets.token_urlsafe(32)}"
            self._store.put_document(NAME, "code", code, self._code_of(query, client_id, redirect_uri))
            back |= {"code": code}
        joint = "&" if "?" in redirect_uri else "?"
        return web.Response(status=302, headers={"Location": f"{redirect_uri}{joint}{urlencode(back)}"})

    def _code_of(self, query: Mapping[str, str], client_id: str, redirect_uri: str) -> JsonObject:
        if query.get("response_type") != "code":
            raise OAuthError("unsupported_response_type", "response type not supported")
        return {
            "clientId": client_id,
            "redirectUri": redirect_uri,
            "scope": query.get("scope", DEFAULT_SCOPE),
            "challenge": query.get("code_challenge"),
            "madeMs": self._store.clock.now_ms(),
        }

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        grant_type = str(form.get("grant_type", ""))
        if grant_type not in self._grants:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        return web.json_response(self._grants[grant_type](request, form))

    def _refresh(self, request: web.Request, form: Form) -> JsonObject:
        client_id = self._client(request, form)
        token = str(form.get("refresh_token", ""))
        grant = self._tokens.grant_of(token)
        if grant is None or grant["clientId"] != client_id:
            raise OAuthError("invalid_grant", "expired access/refresh token")
        rotating = bool(self._tokens.policy()["rotateRefreshTokens"])
        if rotating:
            token = self._tokens.rotate(token)
        answer = self.answer(base_url(request), client_id, grant["scope"], token)
        return answer | ({"refresh_token": token} if rotating else {})

    def _exchange_code(self, request: web.Request, form: Form) -> JsonObject:
        client_id = self._client(request, form)
        name = str(form.get("code", ""))
        code = self._store.document(NAME, "code", name)
        self._store.remove_document(NAME, "code", name)
        if code is None or code["clientId"] != client_id:
            raise OAuthError("invalid_grant", "invalid authorization code")
        if self._store.clock.now_ms() - code["madeMs"] > _CODE_MS:
            raise OAuthError("invalid_grant", "expired authorization code")
        if code["redirectUri"] != form.get("redirect_uri"):
            raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
        _check_verifier(code["challenge"], form.get("code_verifier"))
        lasting = {"refresh_token", "full", "offline_access"} & set(code["scope"].split())
        refresh_token = self._tokens.grant(client_id, code["scope"]) if lasting else None
        answer = self.answer(base_url(request), client_id, code["scope"], refresh_token)
        return answer | ({"refresh_token": refresh_token} if refresh_token else {})

    def _assert(self, request: web.Request, form: Form) -> JsonObject:
        """JWT bearer flow: no refresh token, no issued_at."""
        assertion = str(form.get("assertion", ""))
        try:
            client_id = str(jwt.decode(assertion, options={"verify_signature": False}).get("iss"))
            key = self._tokens.policy()["clients"].get(client_id, {}).get("publicKey")
            if key is None:
                raise OAuthError("invalid_client_id", "client identifier invalid")
            audiences = [*_AUDIENCES, base_url(request)]
            # The org's clock may be moved; the signer's is the machine's. The expiry is left to that one.
            claims = jwt.decode(assertion, key, algorithms=["RS256"], audience=audiences)
        except jwt.InvalidAudienceError:
            raise OAuthError("invalid_grant", "audience is invalid") from None
        except jwt.ExpiredSignatureError:
            raise OAuthError("invalid_grant", "assertion has expired") from None
        except jwt.PyJWTError:
            raise OAuthError("invalid_grant", "invalid assertion") from None
        if claims.get("sub") != USERNAME:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        answer = self.answer(base_url(request), client_id, "api", None)
        return {name: answer[name] for name in ("access_token", "scope", "instance_url", "id", "token_type")}

    async def _introspect(self, request: web.Request) -> web.Response:
        form = await request.post()
        self._client(request, form)
        token = str(form.get("token", ""))
        session, grant = self._tokens.session(token), self._tokens.grant_of(token)
        held = session or grant
        if held is None:
            return web.json_response({"active": False})
        answer: JsonObject = {
            "active": True,
            "scope": held["scope"],
            "client_id": held["clientId"],
            "username": USERNAME,
            "sub": f"{base_url(request)}/id/{ORG_ID}/{USER_ID}",
            "token_type": "access_token" if session else "refresh_token",
        }
        if session:
            issued, expires = session["issuedMs"] // 1000, session["expiresMs"] // 1000
            answer |= {"exp": expires, "iat": issued, "nbf": issued}
        return web.json_response(answer)

    async def _revoke(self, request: web.Request) -> web.Response:
        form: Form = await request.post() if request.method == "POST" else request.query
        token = str(form.get("token", ""))
        if self._tokens.session(token) is not None:
            self._tokens.end_session(token)
        elif not self._tokens.revoke(token):
            raise OAuthError("invalid_token", "the token is invalid")
        return web.Response(status=200)

    async def _user_info(self, request: web.Request) -> web.Response:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self._tokens.session(token) is None:
            return web.Response(status=403, text="Bad_OAuth_Token")
        url = base_url(request)
        return web.json_response(
            {
                "sub": f"{url}/id/{ORG_ID}/{USER_ID}",
                "user_id": USER_ID,
                "organization_id": ORG_ID,
                "preferred_username": USERNAME,
                "nickname": "integration",
                "name": "Castiel Integration",
                "email": USERNAME,
                "email_verified": True,
                "zoneinfo": "Europe/Berlin",
                "urls": {"rest": f"{url}/services/data/v{{version}}/"},
                "active": True,
                "user_type": "STANDARD",
            }
        )

    def _client(self, request: web.Request, form: Form) -> str:
        """Who asks, from the body or Basic; a client without a secret may come without one."""
        client_id, secret = str(form.get("client_id", "")), str(form.get("client_secret", ""))
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            try:
                basic = BasicAuth.decode(header)
            except ValueError:
                raise OAuthError("invalid_client", "invalid client credentials") from None
            client_id, secret = basic.login, basic.password
        client = self._tokens.policy()["clients"].get(client_id)
        if client is None:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if client.get("secret") and not hmac.compare_digest(secret, client["secret"]):
            raise OAuthError("invalid_client", "invalid client credentials")
        return client_id


def _check_verifier(challenge: str | None, verifier: Any) -> None:
    if challenge is None:
        return
    digest = hashlib.sha256(str(verifier or "").encode()).digest()
    if not hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge):
        raise OAuthError("invalid_grant", "invalid code verifier")
