"""GitHub's OAuth: a person's token with refresh, or an app installation's without.

Sources: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens,
…/generating-a-user-access-token-for-a-github-app,
https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.github.installation import installation_token
from castiel.adapters.github.settings import ensure_github, installation_id, login_url
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.oauth import (
    answer_body,
    client_identity,
    error_body,
    issued_at,
    lifetime_of,
    pkce,
    refresh_grant,
    token_of,
)
from castiel.adapters.retry_after import retry_after_seconds
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import ProviderRateLimited, ProviderRejected, ProviderUnavailable, ReauthRequired

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
        # An OAuth app's token has no refresh token and doesn't expire: one that was refused has been revoked.
        form = {**refresh_grant(token), **client_identity(client)}
        return _token(await _ask(http, connection, form), token)

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
            **pkce(code_challenge),
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
        return _token(await _ask(http, connection, {**form, **client_identity(client)}), None)


async def _ask(http: HttpPool, connection: Connection | None, form: Mapping[str, str]) -> HttpReply:
    login = ensure_github(login_url(connection), http, "loginUrl")
    # Without Accept the answer comes as a form.
    accept = {"Accept": "application/json"}
    reply = await http.send(
        "POST", f"{login}/login/oauth/access_token", headers=accept, form=form, safe=False
    )
    code = _code(error_body(reply).get("error"))
    if reply.status != 200 or code is not None:
        wait = retry_after_seconds(reply.headers)
        raise classify(_RULES, "github", reply.status, ErrorDetail(code), wait)
    return reply


def _code(name: object) -> str | None:
    return name[:80] if isinstance(name, str) and name.isidentifier() else None


def _token(reply: HttpReply, old: TokenSecret | None) -> TokenSecret:
    body = answer_body(reply)
    # An app may have expiry switched off: its tokens are used until they are refused.
    return token_of(body, old, issued_at=issued_at(reply), lifetime=lifetime_of(body))
