"""Tokens of a Google service account: signed for by its own key, an hour long, without a refresh token.

Source: https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from castiel.adapters.oauth import JWT_BEARER_GRANT, signed
from castiel.domain.credentials import OAuthClient
from castiel.errors import ConfigurationError

AUDIENCE = "https://oauth2.googleapis.com/token"
"""Whom every assertion is for, as the key file's ``token_uri`` says."""
ASSERTION_LIFETIME = timedelta(minutes=10)
"""Google takes at most an hour."""
CLOCK_DRIFT = timedelta(seconds=60)
"""How far back an assertion is dated: one from the future is refused."""


def assertion_form(client: OAuthClient, default_scopes: str) -> dict[str, str]:
    """The grant for a credential whose ``refreshMethod`` is ``serviceAccount``.

    The account is the credential's ``clientEmail`` with a ``clientPrivateKey`` companion, or the key file as Google
    gives it out, in the secret that ``clientSecretName`` names. ``subject``: the person to act as, where the
    organisation's administrator has delegated that (contacts and calendars are people's); ``scopes``: what the
    administrator has allowed, exactly. Raises :class:`ConfigurationError`.
    """
    arguments = client.arguments
    email = _text(arguments, "clientEmail") or client.client_email
    if email is None:
        raise ConfigurationError("serviceAccount: the credential needs settings.clientEmail")
    now = datetime.now(UTC)
    claims = {
        "iss": email,
        "scope": _text(arguments, "scopes") or default_scopes,
        "aud": AUDIENCE,
        "iat": now - CLOCK_DRIFT,
        "exp": now + ASSERTION_LIFETIME,
    }
    subject = _text(arguments, "subject")
    if subject is not None:
        claims["sub"] = subject
    key_id = _text(arguments, "privateKeyId") or client.private_key_id
    key_is = "serviceAccount, the credential's clientPrivateKey"
    assertion = signed(client, claims, key_is=key_is, key_id=key_id)
    return {"grant_type": JWT_BEARER_GRANT, "assertion": assertion.get_secret_value()}


def _text(arguments: dict[str, Any], name: str) -> str | None:
    given = arguments.get(name)
    if given in (None, ""):
        return None
    if not isinstance(given, str):
        raise ConfigurationError(f"serviceAccount, settings.{name}: a text is needed")
    return given
