"""Google's OAuth: authorization code with PKCE, refresh (refresh tokens don't rotate), and service accounts.

Sources: https://developers.google.com/identity/protocols/oauth2/web-server,
https://developers.google.com/identity/protocols/oauth2#expiration
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from urllib.parse import urlencode

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.google.addresses import authorize_url, revoke_url, token_url
from castiel.adapters.google.service_account import assertion_form
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.oauth import (
    answer_body,
    client_identity,
    code_grant,
    ensure_own,
    error_body,
    issued_at,
    lifetime_of,
    pkce,
    refresh_grant,
    token_of,
)
from castiel.adapters.retry_after import retry_after_seconds
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, RefreshMethod, TokenSecret
from castiel.errors import ProviderRateLimited, ProviderRejected, ProviderUnavailable, ReauthRequired

DEFAULT_SCOPES = (
    "https://www.googleapis.com/auth/contacts https://www.googleapis.com/auth/calendar.events "
    "openid https://www.googleapis.com/auth/userinfo.email"
)
DEFAULT_LIFETIME = timedelta(seconds=3599)
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
_SERVICE_ACCOUNT_RULES = (
    # The administrator has not, or no longer, let the account act as that person with these scopes.
    ErrorRule(ReauthRequired, code="unauthorized_client"),
    ErrorRule(ReauthRequired, code="access_denied"),
    *_RULES,
)
_HOSTS = ("googleapis.com", ".googleapis.com", "google.com", ".google.com")


class GoogleOAuth(OAuthFlow):
    """Tokens of a web server app of a Google Cloud project, or of one of its service accounts."""

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        """A new access token. Google answers without a refresh token: the old one stays. Or a service account's token,
        see :func:`assertion_form`.

        Raises :class:`ReauthRequired`, :class:`ProviderRejected` (the app's own identity is wrong),
        :class:`ProviderRateLimited` or :class:`ProviderUnavailable`.
        """
        if client.refresh_method is RefreshMethod.SERVICE_ACCOUNT:
            form = assertion_form(client, _scopes(connection))
            reply = await _ask(http, token_url(connection), form, _SERVICE_ACCOUNT_RULES)
            return _token(reply, None)
        form = {**refresh_grant(token), **client_identity(client)}
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
            "scope": _scopes(connection),
            "access_type": "offline",
            "prompt": "consent",
            "include_granted_scopes": "true",
            "state": state,
            **pkce(code_challenge),
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
            **code_grant(code, redirect_uri),
            "code_verifier": code_verifier,
            **client_identity(client),
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


def _scopes(connection: Connection | None) -> str:
    return str((connection.settings.get("scopes") if connection else None) or DEFAULT_SCOPES)


async def _ask(
    http: HttpPool, url: str, form: Mapping[str, str], rules: Sequence[ErrorRule] = _RULES
) -> HttpReply:
    own = ensure_own(url, http, _HOSTS, setting="baseUrl", provider="Google", paths=("/token", "/revoke"))
    reply = await http.send("POST", own, form=form, safe=False)
    if reply.status != 200:
        raise classify(rules, "google", reply.status, _detail(reply), retry_after_seconds(reply.headers))
    return reply


def _detail(reply: HttpReply) -> ErrorDetail:
    body = error_body(reply)
    codes = (body.get("error_subtype"), body.get("error"))
    return ErrorDetail(next((code for code in codes if isinstance(code, str) and code.isidentifier()), None))


def _token(reply: HttpReply, old: TokenSecret | None) -> TokenSecret:
    body = answer_body(reply)
    lifetime = lifetime_of(body) or DEFAULT_LIFETIME
    return token_of(body, old, issued_at=issued_at(reply), lifetime=lifetime)
