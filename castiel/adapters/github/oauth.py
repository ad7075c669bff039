"""GitHub's OAuth: a person's token with refresh, or an app installation's without.

Sources: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens,
…/generating-a-user-access-token-for-a-github-app,
https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.github.dialect import row
from castiel.adapters.github.installation import installation_token
from castiel.adapters.github.moments import answered_at
from castiel.adapters.github.settings import ensure_github, installation_id, login_url
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.retry_after import retry_after_seconds
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import (
    MalformedResponse,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
)

_RULES = (
    ErrorRule(ReauthRequired, code="bad_refresh_token"),
    ErrorRule(ReauthRequired, code="bad_verification_code"),
    ErrorRule(ReauthRequired, code="unverified_user_email"),
    ErrorRule(ProviderRateLimited, 429),
    ErrorRule(ProviderUnavailable, 408),
    ErrorRule(ProviderUnavailable, range(500, 600)),
    ErrorRule(ProviderRejected),
)
"""GitHub answers 200 to a refused token request too; the code says which it is."""


class GitHubOAuth(OAuthFlow):
    """Tokens of a GitHub App or an OAuth app.

    With the setting ``installationId`` a connection acts as an installation of the app: its tokens are made from the
    app's private key (``privateKey`` beside ``clientId`` in the app's secret) and have no refresh token.
    """

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        """A new pair: the old refresh token and the old access token end with it. Or an installation's new token.

        Raises :class:`ReauthRequired`, :class:`ProviderRejected` (the app's own identity is wrong),
        :class:`ProviderRateLimited` or :class:`ProviderUnavailable`.
        """
        installation = installation_id(connection)
        if installation is not None:
            return await installation_token(http, connection, client, installation)
        if token.refresh_token is None:
            # An OAuth app's token doesn't expire: one that was refused has been revoked.
            raise ReauthRequired("no refresh token was granted", provider_code="no_refresh_token")
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token.get_secret_value()}
        return _token(await _ask(http, connection, {**form, **_identity(client)}), token)

    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,
    ) -> str:
        """See :class:`OAuthFlow`. The setting ``scopes`` is for OAuth apps; a GitHub App's permissions are its own."""
        query = {
            "client_id": client.client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": code_challenge,
            "code_challenge_method": "S256",
        }
        scopes = connection.settings.get("scopes")
        scope = {"scope": str(scopes)} if scopes else {}
        return f"{login_url(connection)}/login/oauth/authorize?{urlencode({**query, **scope})}"

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
        installation = installation_id(connection)
        if installation is not None:
            return await installation_token(http, connection, client, installation)
        form = {"code": code, "redirect_uri": redirect_uri, "code_verifier": code_verifier}
        return _token(await _ask(http, connection, {**form, **_identity(client)}), None)


def _identity(client: OAuthClient) -> dict[str, str]:
    secret = client.client_secret
    return {"client_id": client.client_id} | ({"client_secret": secret.get_secret_value()} if secret else {})


async def _ask(http: HttpPool, connection: Connection | None, form: Mapping[str, str]) -> dict[str, Any]:
    login = ensure_github(login_url(connection), http, "loginUrl")
    # Without Accept the answer comes as a form.
    accept = {"Accept": "application/json"}
    reply = await http.send(
        "POST", f"{login}/login/oauth/access_token", headers=accept, form=form, safe=False
    )
    code = _error_code(reply)
    if reply.status != 200 or code is not None:
        wait = retry_after_seconds(reply.headers)
        raise classify(_RULES, "github", reply.status, ErrorDetail(code), wait)
    return {**row(reply), "answered_at": answered_at(reply.headers)}


def _error_code(reply: HttpReply) -> str | None:
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    code = body.get("error") if isinstance(body, dict) else None
    return code[:80] if isinstance(code, str) and code.isidentifier() else None


def _token(body: Mapping[str, Any], old: TokenSecret | None) -> TokenSecret:
    access_token, rotated = body.get("access_token"), body.get("refresh_token")
    if not isinstance(access_token, str) or not access_token:
        raise MalformedResponse("the token answer has no access_token")
    issued_at, expires_in = body["answered_at"], body.get("expires_in")
    lifetime = timedelta(seconds=expires_in) if isinstance(expires_in, int) and expires_in > 0 else None
    return TokenSecret(
        access_token=SecretStr(access_token),
        refresh_token=SecretStr(rotated)
        if isinstance(rotated, str) and rotated
        else old and old.refresh_token,
        # An app may have expiry switched off: its tokens are used until they are refused.
        expiry_time=issued_at + lifetime if lifetime else None,
        issued_at=issued_at,
        token_type=str(body.get("token_type") or "bearer"),
        scope=str(body.get("scope") or "") or None,
    )
