"""Salesforce's OAuth: authorization code with PKCE, refresh, and the JWT bearer flow.

Sources: https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_web_server_flow.htm,
…remoteaccess_oauth_refresh_token_flow.htm, …remoteaccess_oauth_jwt_flow.htm, …remoteaccess_revoke_token.htm,
…remoteaccess_oauth_flow_errors.htm (id=sf. in each)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from castiel.adapters.base import OAuthFlow
from castiel.adapters.errors_table import ErrorRule, classify
from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.oauth import (
    JWT_BEARER_GRANT,
    answer_body,
    client_identity,
    code_grant,
    ensure_own,
    error_body,
    issued_at,
    pkce,
    refresh_grant,
    signed,
    token_of,
)
from castiel.adapters.retry_after import retry_after_seconds
from castiel.adapters.salesforce.dialect import error_detail
from castiel.adapters.salesforce.settings import (
    DEFAULT_LOGIN_URL,
    DEFAULT_SCOPES,
    DEFAULT_SESSION_MINUTES,
    number,
)
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, RefreshMethod, TokenSecret
from castiel.errors import (
    ConfigurationError,
    MalformedResponse,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
)

ASSERTION_LIFETIME = timedelta(minutes=3)

_DOMAINS = (".salesforce.com", ".force.com", ".salesforce.mil", ".sfcrmproducts.cn")

_RULES = (
    ErrorRule(ReauthRequired, code="invalid_grant"),
    ErrorRule(ReauthRequired, code="inactive_user"),
    ErrorRule(ReauthRequired, code="inactive_org"),
    ErrorRule(ProviderRateLimited, code="rate_limit_exceeded"),
    ErrorRule(ProviderUnavailable, code="server_error"),
    ErrorRule(ProviderUnavailable, code="temporarily_unavailable"),
    ErrorRule(ProviderRateLimited, 429),
    ErrorRule(ProviderUnavailable, 408),
    ErrorRule(ProviderRejected, range(400, 500)),
)


class SalesforceOAuth(OAuthFlow):
    """Tokens of an External Client App or Connected App."""

    async def refresh(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        """A new session, and a new refresh token where the app rotates them; or one for a signed assertion, for a
        credential whose ``refreshMethod`` is ``jwtBearer`` (with ``username`` and a private key).

        Raises :class:`ReauthRequired`, :class:`ProviderRejected` (the app's own identity is wrong),
        :class:`ProviderRateLimited` or :class:`ProviderUnavailable`.
        """
        login = _login_url(connection, token.instance_url)
        if client.refresh_method is RefreshMethod.JWT_BEARER:
            form = {"grant_type": JWT_BEARER_GRANT, "assertion": _assertion(client, login)}
            return _token(await _ask(http, login, form), connection, None)
        form = {**refresh_grant(token), **client_identity(client)}
        return _token(await _ask(http, login, form), connection, token)

    async def revoke(
        self, http: HttpPool, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> bool:
        """Withdraw the grant with all its sessions; without a refresh token, the session."""
        held = token.refresh_token or token.access_token
        form = {"token": held.get_secret_value(), "client_id": client.client_id}
        try:
            await _ask(http, _login_url(connection, token.instance_url), form, "revoke")
        except ProviderRejected as error:
            if error.provider_code not in ("invalid_token", "unsupported_token_type"):
                raise
        return True

    def authorization_url(
        self,
        connection: Connection,
        client: OAuthClient,
        *,
        redirect_uri: str,
        state: str,
        code_challenge: str,
    ) -> str:
        """See :class:`OAuthFlow`. The setting ``scopes`` must keep ``refresh_token`` for a lasting connection."""
        query = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": redirect_uri,
            "scope": str(connection.settings.get("scopes") or DEFAULT_SCOPES),
            "state": state,
            **pkce(code_challenge),
        }
        return f"{_login_url(connection, None)}/services/oauth2/authorize?{urlencode(query)}"

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
        return _token(await _ask(http, _login_url(connection, None), form), connection, None)


def _login_url(connection: Connection | None, instance_url: str | None) -> str:
    settings = connection.settings if connection else {}
    url = settings.get("loginUrl") or settings.get("baseUrl") or instance_url or DEFAULT_LOGIN_URL
    return str(url).rstrip("/")


def _assertion(client: OAuthClient, audience: str) -> str:
    """What the app signs in place of a person's consent; good for three minutes, as Salesforce takes it."""
    username = client.arguments.get("username")
    if not isinstance(username, str) or not username:
        raise ConfigurationError("jwtBearer: the credential needs settings.username")
    expires = datetime.now(UTC) + ASSERTION_LIFETIME
    claims = {"iss": client.client_id, "sub": username, "aud": audience, "exp": expires}
    return signed(client, claims, key_is="jwtBearer, the credential's clientPrivateKey").get_secret_value()


async def _ask(http: HttpPool, login_url: str, form: Mapping[str, str], endpoint: str = "token") -> HttpReply:
    own = ensure_own(login_url, http, _DOMAINS, setting="loginUrl", provider="Salesforce")
    reply = await http.send("POST", f"{own}/services/oauth2/{endpoint}", form=form, safe=False)
    if reply.status != 200:
        detail = error_detail(error_body(reply), "error")
        raise classify(_RULES, "salesforce", reply.status, detail, retry_after_seconds(reply.headers))
    return reply


def _token(reply: HttpReply, connection: Connection | None, old: TokenSecret | None) -> TokenSecret:
    body = answer_body(reply)
    instance_url = body.get("instance_url") or (old and old.instance_url)
    if not isinstance(instance_url, str) or not instance_url:
        raise MalformedResponse("the token answer has no instance_url", status=reply.status)
    moment = _moment(body.get("issued_at")) or issued_at(reply)
    token = token_of(body, old, issued_at=moment, lifetime=_lifetime(connection))
    return token.model_copy(update={"instance_url": instance_url})


def _lifetime(connection: Connection | None) -> timedelta:
    # The answer has no expires_in: a session lives as long as the org's policy says, two hours unless it was changed.
    if connection is None:
        return timedelta(minutes=DEFAULT_SESSION_MINUTES)
    return timedelta(minutes=number(connection, "sessionMinutes", DEFAULT_SESSION_MINUTES))


def _moment(milliseconds: object) -> datetime | None:
    if isinstance(milliseconds, str) and milliseconds.isascii() and milliseconds.isdigit():
        try:
            return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
        except (OverflowError, ValueError, OSError):
            return None
    return None
