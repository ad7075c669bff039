"""Slack's OAuth: installation by authorization code, and refresh where the app rotates its tokens.

No PKCE: Slack takes a code challenge only from apps that were marked as public clients, for good; Castiel keeps its
client secret and authenticates with it (https://docs.slack.dev/authentication/using-pkce).
Sources: https://docs.slack.dev/authentication/installing-with-oauth, …/authentication/using-token-rotation,
https://docs.slack.dev/reference/methods/oauth.v2.access
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.oauth import code_grant, ensure_own, issued_at, lifetime_of, refresh_grant, token_of
from castiel.adapters.retry_after import retry_after_seconds
from castiel.adapters.slack.dialect import members, read_error
from castiel.adapters.slack.settings import (
    DEFAULT_BOT_SCOPES,
    DEFAULT_USER_SCOPES,
    base_url_of,
    uses_user_token,
)
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import (
    ConfigurationError,
    MalformedResponse,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
)

_HOSTS = ("slack.com", ".slack.com", "slack-gov.com", ".slack-gov.com")
_DEAD = (
    "invalid_refresh_token",
    "invalid_grant",
    "token_revoked",
    "token_expired",
    "invalid_auth",
    "account_inactive",
    "authorization_not_found",
    "org_login_required",
    "two_factor_setup_required",
    "token_rotation_not_enabled",
    "invalid_code",
    "code_already_used",
)
_PASSING = ("internal_error", "fatal_error", "service_unavailable", "request_timeout")
_RULES = (
    *(ErrorRule(ReauthRequired, code=code) for code in _DEAD),
    *(ErrorRule(ProviderRateLimited, code=code) for code in ("ratelimited", "rate_limited")),
    *(ErrorRule(ProviderUnavailable, code=code) for code in _PASSING),
    ErrorRule(ProviderRateLimited, 429),
    ErrorRule(ProviderUnavailable, 408),
    # What is left is wrong with the app itself: bad_client_secret, invalid_client_id, bad_redirect_uri …
    ErrorRule(ProviderRejected, range(200, 500)),
)
"""A token of 12 hours and its refresh token end together with the installation."""


class SlackOAuth(OAuthFlow):
    """The tokens of an app's installation: the bot's, or with the setting ``tokenType`` user the person's own."""

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        """A new access token and a new refresh token; the old refresh token ends with this call.

        Raises :class:`ReauthRequired` (also where the app doesn't rotate its tokens, and the one it has was
        refused), :class:`ProviderRejected` (the app's own identity is wrong), :class:`ProviderRateLimited` or
        :class:`ProviderUnavailable`.
        """
        reply = await _ask(http, connection, client, refresh_grant(token))
        return _token(reply, members(reply), token)

    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,  # noqa: ARG002  (Slack takes none from an app with a secret)
    ) -> str:
        """See :class:`OAuthFlow`. The code challenge is not sent, see above."""
        as_user = uses_user_token(connection)
        scopes = connection.settings.get("scopes") or (DEFAULT_USER_SCOPES if as_user else DEFAULT_BOT_SCOPES)
        query = {
            "client_id": client.client_id,
            "user_scope" if as_user else "scope": str(scopes),
            "redirect_uri": redirect_uri,
            "state": state,
        }
        return f"{base_url_of(connection)}/oauth/v2/authorize?{urlencode(query)}"

    async def exchange(
        self,
        http: HttpPool,
        connection: Connection,
        client: OAuthClient,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str,  # noqa: ARG002
    ) -> TokenSecret:
        """The first token. Raises as :meth:`refresh` does."""
        reply = await _ask(http, connection, client, code_grant(code, redirect_uri))
        body = members(reply)
        if not uses_user_token(connection):
            return _token(reply, body, None)
        person = body.get("authed_user")
        if not isinstance(person, dict):
            raise MalformedResponse("the token answer has no authed_user", status=reply.status)
        return _token(reply, person, None)


async def _ask(
    http: HttpPool, connection: Connection | None, client: OAuthClient, form: Mapping[str, str]
) -> HttpReply:
    address = ensure_own(base_url_of(connection), http, _HOSTS, setting="baseUrl", provider="Slack")
    if client.client_secret is None:
        raise ConfigurationError("oauth-client-slack: the app's client secret is missing")
    reply = await http.send(
        "POST",
        f"{address}/api/oauth.v2.access",
        form=form,
        safe=False,
        auth=httpx.BasicAuth(client.client_id, client.client_secret.get_secret_value()),
    )
    detail = read_error(reply)
    if detail is not None:
        code = ErrorDetail(detail.code)
        raise classify(_RULES, "slack", reply.status, code, retry_after_seconds(reply.headers))
    return reply


def _token(reply: HttpReply, body: Mapping[str, Any], old: TokenSecret | None) -> TokenSecret:
    # Without rotation a token lives until it is revoked: no expires_in, no refresh token.
    return token_of(body, old, issued_at=issued_at(reply), lifetime=lifetime_of(body))
