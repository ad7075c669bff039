"""Credentials: metadata for Cosmos DB, and the secret that only Key Vault holds."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import Field, SecretStr, field_serializer

from castiel.domain.model import Document, Model, UtcDatetime, UtcSecond


class CredentialType(StrEnum):
    """What a credential is. ``oauth2`` is a token pair; the other types hold one secret."""

    OAUTH2 = "oauth2"
    API_KEY = "apiKey"
    BASIC_AUTH_USER = "basicAuthUser"
    BASIC_AUTH_PASSWORD = "basicAuthPassword"  # noqa: S105  (the name of a type)
    CLIENT_CERTIFICATE = "clientCertificate"
    CLIENT_PRIVATE_KEY = "clientPrivateKey"
    WEBHOOK_SECRET = "webhookSecret"  # noqa: S105
    CUSTOM_SECRET = "customSecret"  # noqa: S105


class Credential(Document):
    """A document of the ``credentials`` container: everything but the secret."""

    tenant_id: str
    integration_id: str
    type: CredentialType = CredentialType.OAUTH2
    connection_id: str | None = None
    enabled: bool = True
    secret_name: str
    secret_version: str | None = None
    expiry_time: UtcSecond | None = None
    needs_reauth: bool = False
    reauth_reason: str | None = None
    refresh_count: int = 0
    last_refreshed_at: UtcDatetime | None = None
    last_error_code: str | None = None
    client_secret_name: str | None = None
    token_url: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class TokenSecret(Model):
    """What one Key Vault secret version holds for an ``oauth2`` credential: the pair and its expiry together."""

    access_token: SecretStr
    refresh_token: SecretStr | None = None
    expiry_time: UtcSecond | None = None
    issued_at: UtcDatetime | None = None
    instance_url: str | None = None
    token_type: str | None = None
    scope: str | None = None

    @field_serializer("access_token", "refresh_token", when_used="json")
    def _reveal(self, value: SecretStr | None) -> str | None:
        # JSON of this model goes to Key Vault only; repr() and logs show stars.
        return value.get_secret_value() if value is not None else None


class OAuthClient(Model):
    """The app's own identity at a provider, in Key Vault as ``oauth-client-{integrationId}``."""

    client_id: str
    client_secret: SecretStr | None = None

    @field_serializer("client_secret", when_used="json")
    def _reveal(self, value: SecretStr | None) -> str | None:
        return value.get_secret_value() if value is not None else None


def refresh_horizon(now: datetime, threshold: timedelta, until_next_run: timedelta) -> datetime:
    """Tokens that expire before this moment are refreshed in this run: none may lapse before the next one."""
    return now + threshold + until_next_run


def expires_within(expiry: datetime | None, now: datetime, margin: timedelta) -> bool:
    """Whether a token should be renewed before it is used. A token that names no expiry is used until refused."""
    return expiry is not None and expiry <= now + margin
