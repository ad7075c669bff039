"""What OAuth 2.0 has in common everywhere: the pieces that the providers' flows are put together from.

Sources: RFC 6749 (grants and answers), RFC 7636 (PKCE), RFC 7523 (a signed assertion in place of a grant)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
from pydantic import SecretStr

from castiel.adapters.http import HttpPool, HttpReply
from castiel.adapters.http_dates import http_date
from castiel.adapters.urls import origin_of
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.errors import ConfigurationError, MalformedResponse, ReauthRequired

JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
MAX_LIFETIME_SECONDS = 10**9


def ensure_own(
    url: str,
    http: HttpPool,
    hosts: Sequence[str],
    *,
    setting: str,
    provider: str,
    paths: Sequence[str] = ("",),
) -> str:
    """The URL, if the app's own secrets may go there, whatever a tenant's settings say.

    ``hosts``: the provider's own; one that begins with a dot stands for all below it. ``paths``: what may follow,
    since on a provider's host a customer's own code may answer (Apex REST, Apps Script). An origin that the operator
    trusts (the sandbox) is as good. Raises :class:`ConfigurationError`, which names the setting.
    """
    origin = origin_of(url)
    if origin and origin in http.policy.trusted_origins:
        return url
    host = (urlsplit(url).hostname or "") if origin else ""
    own = any(host.endswith(known) if known.startswith(".") else host == known for known in hosts)
    if own and any(url.lower() in (f"https://{host}{path}", f"{origin}{path}") for path in paths):
        return url
    raise ConfigurationError(f"{setting}: not an address of {provider}")


def client_identity(client: OAuthClient) -> dict[str, str]:
    """Who asks, in the form: the app's id and, where it has one, its secret (RFC 6749, section 2.3.1)."""
    secret = client.client_secret
    return {"client_id": client.client_id} | ({"client_secret": secret.get_secret_value()} if secret else {})


def refresh_grant(token: TokenSecret) -> dict[str, str]:
    """The refresh-token grant. Raises :class:`ReauthRequired` for a pair that has no refresh token."""
    if token.refresh_token is None:
        raise ReauthRequired("no refresh token was granted", provider_code="no_refresh_token")
    return {"grant_type": "refresh_token", "refresh_token": token.refresh_token.get_secret_value()}


def code_grant(code: str, redirect_uri: str) -> dict[str, str]:
    """The authorization-code grant."""
    return {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}


def pkce(code_challenge: str) -> dict[str, str]:
    """PKCE's part of the address that a person is sent to."""
    return {"code_challenge": code_challenge, "code_challenge_method": "S256"}


def signed(
    client: OAuthClient, claims: Mapping[str, Any], *, key_is: str, key_id: str | None = None
) -> SecretStr:
    """An RS256 JWT, signed with the client's private key.

    ``key_is``: what to call the key in the :class:`ConfigurationError` for one that is missing or none.
    """
    if client.private_key is None:
        raise ConfigurationError(f"{key_is}: missing")
    headers = {"kid": key_id} if key_id else None
    try:
        text = jwt.encode(dict(claims), client.private_key.get_secret_value(), "RS256", headers)
    except (jwt.PyJWTError, ValueError, TypeError):
        # The library's own text may quote the key.
        raise ConfigurationError(f"{key_is}: no RSA key in PEM") from None
    return SecretStr(text)


def error_body(reply: HttpReply) -> dict[str, Any]:
    """A refusal's JSON object; an empty one for what is none."""
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def answer_body(reply: HttpReply) -> dict[str, Any]:
    """A token answer's JSON object. Raises :class:`MalformedResponse`."""
    body = reply.json()
    if not isinstance(body, dict):
        raise MalformedResponse("the token answer is no object", status=reply.status)
    return body


def issued_at(reply: HttpReply) -> datetime:
    """When a token answer was made: the server's clock, or ours where it has no ``Date``.

    What was issued is never thrown away for the want of a header: the refresh token before it may be dead already.
    """
    return http_date(reply.headers.get("date")) or datetime.now(UTC)


def lifetime_of(body: Mapping[str, Any]) -> timedelta | None:
    """``expires_in``, or ``None`` for a token that names none."""
    seconds = body.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < MAX_LIFETIME_SECONDS:
        return None
    return timedelta(seconds=seconds)


def token_of(
    body: Mapping[str, Any], old: TokenSecret | None, *, issued_at: datetime, lifetime: timedelta | None
) -> TokenSecret:
    """What a token answer says (RFC 6749, section 5.1); without a refresh token in it, the old one stays.

    Raises :class:`MalformedResponse` for an answer without an access token.
    """
    access_token, refresh_token = _text(body, "access_token"), _text(body, "refresh_token")
    if access_token is None:
        raise MalformedResponse("the token answer has no access_token")
    return TokenSecret(
        access_token=SecretStr(access_token),
        refresh_token=SecretStr(refresh_token) if refresh_token else old and old.refresh_token,
        expiry_time=issued_at + lifetime if lifetime else None,
        issued_at=issued_at,
        token_type=_text(body, "token_type"),
        scope=_text(body, "scope") or (old and old.scope),
    )


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None
