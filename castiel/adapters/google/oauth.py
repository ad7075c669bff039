"""Google's OAuth: authorization code with PKCE, and refresh. Refresh tokens don't rotate.

Sources: https://developers.google.com/identity/protocols/oauth2/web-server,
https://developers.google.com/identity/protocols/oauth2#expiration
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.google.addresses import authorize_url, revoke_url, token_url
from castiel.adapters.google.dialect import answered_at
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.retry_after import retry_after_seconds
from castiel.adapters.urls import origin_of
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

DEFAULT_SCOPES = (
    "https://www.googleapis.com/auth/contacts https://www.googleapis.com/auth/calendar.events "
    "openid https://www.googleapis.com/auth/userinfo.email"
)
DEFAULT_SECONDS = 3599
"""The life of an access token, where an answer should not say it."""

_RULES = (
    # Revoked, six months unused, replaced by newer grants of the same user, or the person is gone.
    ErrorRule(ReauthRequired, code="invalid_grant"),
    # The organisation wants people to sign in again every so often.
    ErrorRule(ReauthRequired, code="invalid_rapt"),
    ErrorRule(ReauthRequired, code="rapt_required"),
    ErrorRule(ReauthRequired, code="admin_policy_enforced"),
    ErrorRule(ProviderUnavailable, code="internal_failure"),
    ErrorRule(ProviderUnavailable, code="temporarily_unavailable"),
    ErrorRule(ProviderRateLimited, code="rate_limit_exceeded"),
    ErrorRule(ProviderRateLimited, 429),
    ErrorRule(ProviderUnavailable, 408),
    ErrorRule(ProviderRejected, range(400, 500)),
)
_HOSTS = (".googleapis.com", ".google.com")


class GoogleOAuth(OAuthFlow):
    """Tokens of a web server app of a Google Cloud project."""

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        """A new access token. Google answers without a refresh token: the old one stays.

        Raises :class:`ReauthRequired`, :class:`ProviderRejected` (the app's own identity is wrong),
        :class:`ProviderRateLimited` or :class:`ProviderUnavailable`.
        """
        if token.refresh_token is None:
            raise ReauthRequired("no refresh token was granted", provider_code="no_refresh_token")
        form = {
            "grant_type": "refresh_token",
            "refresh_token": token.refresh_token.get_secret_value(),
            **_identity(client),
        }
        return _token(await _ask(http, token_url(connection), form), token)

    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,
    ) -> str:
        """See :class:`OAuthFlow`. Only offline access with a new consent surely brings a refresh token."""
        query = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": redirect_uri,
            "scope": str(connection.settings.get("scopes") or DEFAULT_SCOPES),
            "access_type": "offline",
            "prompt": "consent",
            "include_granted_scopes": "true",
            "state": state,
            "code_challenge": code_challenge,
            "code_challenge_method": "S256",
        }
        return f"{authorize_url(connection)}?{urlencode(query)}"

    async def exchange(
        self,
        http: HttpPool,
        connection: Connection,
        client: OAuthClient,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str,
    ) -> TokenSecret:
        """The first token. Raises as :meth:`refresh` does."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
            **_identity(client),
        }
        return _token(await _ask(http, token_url(connection), form), None)

    async def revoke(
        self,
        http: HttpPool,
        connection: Connection | None,
        client: OAuthClient,  # noqa: ARG002 - the token alone is enough for Google
        token: TokenSecret,
    ) -> bool:
        """Withdraw the person's grant to the app, with all its tokens. A grant that is dead already counts as done."""
        held = token.refresh_token or token.access_token
        try:
            await _ask(http, revoke_url(connection), {"token": held.get_secret_value()})
        except ProviderRejected as error:
            if error.provider_code != "invalid_token":
                raise
        return True


def _identity(client: OAuthClient) -> dict[str, str]:
    secret = client.client_secret
    return {"client_id": client.client_id} | ({"client_secret": secret.get_secret_value()} if secret else {})


async def _ask(http: HttpPool, url: str, form: Mapping[str, str]) -> HttpReply:
    host = f".{urlsplit(url).hostname or ''}"
    if not host.endswith(_HOSTS) and origin_of(url) not in http.policy.trusted_origins:
        # The app's secret goes there: no other host may have it, whatever a tenant's settings say.
        raise ConfigurationError("baseUrl: not an address of Google")
    reply = await http.send("POST", url, form=form, safe=False)
    if reply.status != 200:
        raise classify(_RULES, "google", reply.status, _detail(reply), retry_after_seconds(reply.headers))
    return reply


def _detail(reply: HttpReply) -> ErrorDetail:
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ErrorDetail()
    codes = [body.get("error_subtype"), body.get("error")] if isinstance(body, dict) else []
    return ErrorDetail(next((code for code in codes if isinstance(code, str) and code.isidentifier()), None))


def _token(reply: HttpReply, old: TokenSecret | None) -> TokenSecret:
    body: Any = reply.json()
    access_token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(access_token, str) or not access_token:
        raise MalformedResponse("the token answer has no access_token", status=reply.status)
    issued_at = answered_at(reply)
    if issued_at is None:
        raise MalformedResponse("the token answer has no Date", status=reply.status)
    seconds, refresh_token = body.get("expires_in"), body.get("refresh_token")
    lifetime = seconds if isinstance(seconds, int) and 0 < seconds <= 86_400 else DEFAULT_SECONDS
    return TokenSecret(
        access_token=SecretStr(access_token),
        refresh_token=SecretStr(refresh_token)
        if isinstance(refresh_token, str) and refresh_token
        else old and old.refresh_token,
        expiry_time=issued_at + timedelta(seconds=lifetime),
        issued_at=issued_at,
        token_type=_text(body.get("token_type")),
        scope=_text(body.get("scope")) or (old and old.scope),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
