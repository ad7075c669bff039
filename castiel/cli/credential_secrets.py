"""What a new credential's secret is read as: one secret's text, or a token pair."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr, ValidationError

from castiel import redaction
from castiel.cli.exits import UsageProblem
from castiel.cli.secret_input import read_secret
from castiel.domain.credentials import CredentialType, RefreshMethod, TokenSecret

SPENT = datetime(2020, 1, 1, tzinfo=UTC)
"""The expiry of an access token that is not there yet: the first use fetches one."""
PROMPTS: Mapping[CredentialType, str] = {
    CredentialType.OAUTH2: "The refresh token, or the token pair as JSON",
    CredentialType.API_KEY: "The API key",
    CredentialType.BASIC_AUTH_USER: "The user name",
    CredentialType.BASIC_AUTH_PASSWORD: "The password",
    CredentialType.CLIENT_CERTIFICATE: "The certificate (PEM)",
    CredentialType.CLIENT_PRIVATE_KEY: "The private key (PEM)",
    CredentialType.WEBHOOK_SECRET: "The webhook's secret",
    CredentialType.CUSTOM_SECRET: "The secret",
}


def new_secret(kind: CredentialType, settings: Mapping[str, Any]) -> TokenSecret | SecretStr:
    """The secret of a new credential, read from a prompt or from stdin.

    A token that is renewed by a key, not by a refresh token (``refreshMethod``), needs no secret of its own.
    Raises :class:`UsageProblem`.
    """
    if kind is not CredentialType.OAUTH2:
        return read_secret(PROMPTS[kind])
    if not _method(settings).needs_refresh_token:
        return _spent(None)
    text = read_secret(PROMPTS[kind])
    value = text.get_secret_value().strip()
    return _pair(value) if value.startswith("{") else _spent(SecretStr(value))


def _method(settings: Mapping[str, Any]) -> RefreshMethod:
    known = [method.value for method in RefreshMethod]
    name = str(settings.get("refreshMethod") or RefreshMethod.REFRESH_TOKEN.value)
    if name not in known:
        raise UsageProblem(f"--set refreshMethod={name}: there are {', '.join(known)}")
    return RefreshMethod(name)


def _spent(refresh_token: SecretStr | None) -> TokenSecret:
    return TokenSecret(access_token=SecretStr("none-yet"), refresh_token=refresh_token, expiry_time=SPENT)


def _pair(text: str) -> TokenSecret:
    try:
        pair = TokenSecret.model_validate_json(text)
    except ValidationError as error:
        # The validation's own text quotes its input.
        names = sorted(
            {str(problem["loc"][0]) for problem in error.errors(include_input=False) if problem["loc"]}
        )
        wrong = f": {', '.join(names)}" if names else ""
        raise UsageProblem(
            f"the token pair is JSON with accessToken, refreshToken and expiryTime; something is wrong{wrong}"
        ) from None
    redaction.remember(pair.access_token, pair.refresh_token, pair.previous_refresh_token)
    return pair
