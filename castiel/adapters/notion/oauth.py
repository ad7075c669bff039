"""Notion's OAuth: authorization code and refresh, both with the client's identity in HTTP Basic.

Sources: https://developers.notion.com/guides/get-started/authorization,
https://developers.notion.com/reference/refresh-a-token, https://developers.notion.com/reference/status-codes
"""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlencode

import httpx

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorRule, classify
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.notion.dialect import RULES, error_detail
from castiel.adapters.notion.settings import DEFAULT_BASE_URL, DEFAULT_VERSION
from castiel.adapters.notion.values import Json
from castiel.adapters.oauth import (
    answer_body,
    code_grant,
    ensure_own,
    error_body,
    issued_at,
    refresh_grant,
    token_of,
)
from castiel.adapters.retry_after import retry_after_seconds
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import ProviderRejected, ReauthRequired

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
        return _token(await _ask(http, connection, client, refresh_grant(token)), token)

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
        return _token(await _ask(http, connection, client, code_grant(code, redirect_uri)), None)

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
    url = ensure_own(_login_url(connection), http, (".notion.com",), setting="authUrl", provider="Notion")
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
        raise classify(
            _RULES,
            "notion",
            reply.status,
            error_detail(error_body(reply)),
            retry_after_seconds(reply.headers),
        )
    return reply


def _token(reply: HttpReply, old: TokenSecret | None) -> TokenSecret:
    token = token_of(answer_body(reply), old, issued_at=issued_at(reply), lifetime=KEEP_ALIVE)
    return token if token.refresh_token else token.model_copy(update={"expiry_time": None})
