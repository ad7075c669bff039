"""Notion's OAuth: authorization code and refresh, both with the client's identity in HTTP Basic.

Sources: https://developers.notion.com/guides/get-started/authorization,
https://developers.notion.com/reference/refresh-a-token, https://developers.notion.com/reference/status-codes
"""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import httpx
from pydantic import SecretStr

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.notion.dialect import RULES, error_detail, members
from castiel.adapters.notion.moments import answered_at
from castiel.adapters.notion.settings import DEFAULT_BASE_URL, DEFAULT_VERSION
from castiel.adapters.notion.values import Json
from castiel.adapters.retry_after import retry_after_seconds
from castiel.adapters.urls import origin_of
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import ConfigurationError, MalformedResponse, ProviderRejected, ReauthRequired

KEEP_ALIVE = timedelta(hours=24)
"""Notion tells no expiry. A token that can be refreshed is taken to last a day, so that its refresh token is used
often enough to stay alive; one without a refresh token (older integrations) never expires."""

_RULES = (
    ErrorRule(ReauthRequired, code="invalid_grant"),
    # The app's own identity is refused: neither another token nor another try helps.
    ErrorRule(ProviderRejected, code="invalid_client"),
    ErrorRule(ProviderRejected, code="unauthorized_client"),
    ErrorRule(ProviderRejected, 401),
    *RULES,
)


class NotionOAuth(OAuthFlow):
    """Tokens of a public connection. Notion has no PKCE: the client's secret proves who asks."""

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        """A new pair; both old tokens are spent. Raises :class:`ReauthRequired` or another ProviderError."""
        if token.refresh_token is None:
            raise ReauthRequired("no refresh token was granted", provider_code="no_refresh_token")
        grant = {"grant_type": "refresh_token", "refresh_token": token.refresh_token.get_secret_value()}
        return _token(await _ask(http, connection, client, grant), token)

    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,  # noqa: ARG002  (the interface's)
    ) -> str:
        """See :class:`OAuthFlow`."""
        query = {
            "client_id": client.client_id,
            "response_type": "code",
            "owner": "user",
            "redirect_uri": redirect_uri,
            "state": state,
        }
        return f"{_login_url(connection)}/v1/oauth/authorize?{urlencode(query)}"

    async def exchange(
        self,
        http: HttpPool,
        connection: Connection,
        client: OAuthClient,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str,  # noqa: ARG002  (the interface's)
    ) -> TokenSecret:
        """The first pair. Raises as :meth:`refresh` does."""
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return _token(await _ask(http, connection, client, grant), None)

    async def revoke(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> bool:
        """Ends the access token, and with it the connection. Raises as :meth:`refresh` does."""
        body = {"token": token.access_token.get_secret_value()}
        await _ask(http, connection, client, body, "revoke")
        return True


def _login_url(connection: Connection | None) -> str:
    settings = connection.settings if connection else {}
    return str(settings.get("authUrl") or settings.get("baseUrl") or DEFAULT_BASE_URL).rstrip("/")


async def _ask(
    http: HttpPool, connection: Connection | None, client: OAuthClient, body: Json, what: str = "token"
) -> HttpReply:
    url = _login_url(connection)
    host = urlsplit(url).hostname or ""
    if not host.endswith(".notion.com") and origin_of(url) not in http.policy.trusted_origins:
        # The app's secret goes there: no other host may have it, whatever a tenant's settings say.
        raise ConfigurationError("authUrl: not an address of Notion")
    secret = client.client_secret.get_secret_value() if client.client_secret else ""
    reply = await http.send(
        "POST",
        f"{url}/v1/oauth/{what}",
        headers={"Content-Type": "application/json", "Notion-Version": DEFAULT_VERSION},
        content=json.dumps(body).encode(),
        safe=False,
        auth=httpx.BasicAuth(client.client_id, secret),
    )
    if reply.status != 200:
        raise classify(_RULES, "notion", reply.status, _detail(reply), retry_after_seconds(reply.headers))
    return reply


def _detail(reply: HttpReply) -> ErrorDetail:
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ErrorDetail()
    return error_detail(body) if isinstance(body, dict) else ErrorDetail()


def _token(reply: HttpReply, old: TokenSecret | None) -> TokenSecret:
    body = members(reply)
    access_token, given = body.get("access_token"), body.get("refresh_token")
    if not isinstance(access_token, str) or not access_token:
        raise MalformedResponse("the token answer has no access_token", status=reply.status)
    rotated = SecretStr(given) if isinstance(given, str) and given else None
    refresh_token = rotated or (old.refresh_token if old else None)
    issued_at = answered_at(reply.headers)
    return TokenSecret(
        access_token=SecretStr(access_token),
        refresh_token=refresh_token,
        expiry_time=issued_at + KEEP_ALIVE if refresh_token else None,
        issued_at=issued_at,
        token_type=str(body.get("token_type") or "bearer"),
    )
