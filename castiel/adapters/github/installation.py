"""Tokens of a GitHub App's installation: signed for by the app, an hour long, without a refresh token.

Source: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app,
…/generating-a-json-web-token-jwt-for-a-github-app
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import SecretStr

from castiel.adapters.errors_table import ErrorDetail, ErrorRule, classify
from castiel.adapters.github.dialect import limit_met, row
from castiel.adapters.github.moments import parse_moment
from castiel.adapters.github.settings import DEFAULT_API_VERSION, base_url, ensure_github
from castiel.adapters.http import HttpPool
from castiel.adapters.http_dates import answered_at
from castiel.adapters.oauth import issued_at, signed
from castiel.adapters.retry_after import retry_after_seconds
from castiel.domain.connections import Connection
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import (
    MalformedResponse,
    ProviderRateLimited,
    ProviderRejected,
    ReauthRequired,
)

JWT_LIFETIME = timedelta(minutes=9)
"""GitHub takes at most ten."""
CLOCK_DRIFT = timedelta(seconds=60)
"""How far back the JWT is dated, as GitHub advises."""

_RULES = (
    ErrorRule(ProviderRateLimited, code="rate_limit"),
    ErrorRule(ReauthRequired, code="installation_suspended"),
    ErrorRule(ReauthRequired, code="installation_not_found"),
    ErrorRule(ProviderRejected, range(400, 408)),
)
_CODES = {403: "installation_suspended", 404: "installation_not_found"}
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": DEFAULT_API_VERSION}


async def installation_token(
    http: HttpPool, connection: Connection | None, client: OAuthClient, installation: int
) -> TokenSecret:
    """A token for all that the installation may do.

    Raises :class:`ReauthRequired` when the installation was removed or suspended, :class:`ProviderRejected` when
    GitHub doesn't know the app's key, :class:`ConfigurationError` without a key.
    """
    api = ensure_github(base_url(connection), http, "baseUrl")
    # This address costs no quota, and its Date is the clock that the JWT is judged by.
    now = answered_at((await http.send("GET", f"{api}/rate_limit", headers=_HEADERS)).headers)
    reply = await http.send(
        "POST",
        f"{api}/app/installations/{installation}/access_tokens",
        headers={**_HEADERS, "Authorization": f"Bearer {_app_jwt(client, now)}"},
        # Repeated, it makes another token and takes none away.
        safe=True,
    )
    if reply.status != 201:
        limit, wait = limit_met(reply)
        code = "rate_limit" if limit else _CODES.get(reply.status)
        detail = ErrorDetail(code, retry_after=wait)
        raise classify(_RULES, "github", reply.status, detail, retry_after_seconds(reply.headers))
    body = row(reply)
    token = body.get("token")
    if not isinstance(token, str) or not token:
        raise MalformedResponse("the installation's answer has no token", status=reply.status)
    return TokenSecret(
        access_token=SecretStr(token),
        expiry_time=parse_moment(body.get("expires_at")),
        issued_at=issued_at(reply),
        token_type="bearer",  # noqa: S106  (the type's name)
    )


def _app_jwt(client: OAuthClient, now: datetime) -> str:
    claims = {"iat": now - CLOCK_DRIFT, "exp": now + JWT_LIFETIME, "iss": client.client_id}
    key_is = "oauth-client-github, the app's privateKey beside its clientId"
    return signed(client, claims, key_is=key_is).get_secret_value()
