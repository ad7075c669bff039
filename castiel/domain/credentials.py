"""Credentials: metadata for Cosmos DB, and the secret that only Key Vault holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import Field, SecretStr, field_serializer

from castiel.domain.model import Document, Model, UtcDatetime, UtcSecond
from castiel.domain.rotation import RotationPolicy, SecretOverlap


class CredentialType(StrEnum):
    """What a credential document is. ``oauth2`` is a token pair; the other types hold one secret."""

    OAUTH2 = "oauth2"
    API_KEY = "apiKey"
    BASIC_AUTH_USER = "basicAuthUser"
    BASIC_AUTH_PASSWORD = "basicAuthPassword"  # noqa: S105  (the name of a type)
    CLIENT_CERTIFICATE = "clientCertificate"
    CLIENT_PRIVATE_KEY = "clientPrivateKey"
    WEBHOOK_SECRET = "webhookSecret"  # noqa: S105
    CUSTOM_SECRET = "customSecret"  # noqa: S105


class SecretKind(StrEnum):
    """The nine kinds of secret. An ``oauth2`` document holds the first two together; see ADR 5."""

    OAUTH_ACCESS_TOKEN = "oauthAccessToken"  # noqa: S105
    OAUTH_REFRESH_TOKEN = "oauthRefreshToken"  # noqa: S105
    API_KEY = "apiKey"
    BASIC_AUTH_USER = "basicAuthUser"
    BASIC_AUTH_PASSWORD = "basicAuthPassword"  # noqa: S105
    CLIENT_CERTIFICATE = "clientCertificate"
    CLIENT_PRIVATE_KEY = "clientPrivateKey"
    WEBHOOK_SECRET = "webhookSecret"  # noqa: S105
    CUSTOM_SECRET = "customSecret"  # noqa: S105


def kinds_of(kind: CredentialType) -> tuple[SecretKind, ...]:
    """The secrets that a document of this type stands for."""
    if kind is CredentialType.OAUTH2:
        return (SecretKind.OAUTH_ACCESS_TOKEN, SecretKind.OAUTH_REFRESH_TOKEN)
    return (SecretKind(kind.value),)


class RefreshMethod(StrEnum):
    """How an ``oauth2`` credential gets its next access token (``settings.refreshMethod``)."""

    REFRESH_TOKEN = "refreshToken"  # noqa: S105
    """The refresh-token grant (RFC 6749, section 6)."""
    JWT_BEARER = "jwtBearer"
    """A signed assertion in place of a refresh token (RFC 7523): Salesforce."""
    SERVICE_ACCOUNT = "serviceAccount"
    """The same with a service account's key: Google."""
    APP_INSTALLATION = "appInstallation"
    """An app's own JWT, exchanged for an installation's token: GitHub."""

    @property
    def needs_refresh_token(self) -> bool:
        """Whether it can do nothing without a refresh token."""
        return self is RefreshMethod.REFRESH_TOKEN

    @property
    def needs_app(self) -> bool:
        """Whether the provider has to know an app of ours. A service account is known by itself."""
        return self is not RefreshMethod.SERVICE_ACCOUNT


def refresh_method(settings: Mapping[str, Any]) -> RefreshMethod:
    """What a credential's settings say. A method nobody knows raises ValueError."""
    return RefreshMethod(str(settings.get("refreshMethod") or RefreshMethod.REFRESH_TOKEN.value))


class RefreshAttempt(Model):
    """The journal of the last refresh: written before the provider is called, closed when the pair is stored.

    One that stays ``open`` was interrupted between the two.
    """

    id: str
    started_at: UtcDatetime
    outcome: str = "open"
    """``open``, ``stored``, or the code of the error it ended with."""

    @property
    def is_open(self) -> bool:
        """Whether nobody wrote how it ended."""
        return self.outcome == "open"


class Credential(Document):
    """A document of the ``credentials`` container: everything but the secret.

    ``companion_ids`` are credentials of the same tenant that belong to this one: the user of a password, the
    private key of a certificate, the key that signs an assertion. ``warn_at`` is when its rotation or expiry
    first has to be looked at. ``settings`` hold ``refreshMethod`` and what that needs (``username``,
    ``installationId``, ``scopes`` …).
    """

    tenant_id: str
    integration_id: str
    type: CredentialType = CredentialType.OAUTH2
    connection_id: str | None = None
    registration_id: str | None = None
    name: str | None = None
    enabled: bool = True
    secret_name: str
    secret_version: str | None = None
    expiry_time: UtcSecond | None = None
    needs_reauth: bool = False
    reauth_reason: str | None = None
    refresh_count: int = 0
    refreshable: bool | None = None
    """Whether it can be renewed without a person; ``None`` before the first look at its secret."""
    last_refreshed_at: UtcDatetime | None = None
    last_attempt: RefreshAttempt | None = None
    last_error_code: str | None = None
    consecutive_failures: int | None = None
    client_secret_name: str | None = None
    token_url: str | None = None
    companion_ids: list[str] = Field(default_factory=list)
    rotation: RotationPolicy | None = None
    last_rotated_at: UtcDatetime | None = None
    warn_at: UtcSecond | None = None
    overlap: SecretOverlap | None = None
    revoked_at: UtcDatetime | None = None
    created_at: UtcDatetime | None = None
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def refresh_method(self) -> RefreshMethod:
        """How its token is renewed. A method nobody knows raises ValueError."""
        return refresh_method(self.settings)


class TokenSecret(Model):
    """What one Key Vault secret version holds for an ``oauth2`` credential: the pair and its expiry together.

    ``previous_refresh_token`` is the one that this pair was got with, kept until this pair's own refresh token
    has been used once with success.
    """

    access_token: SecretStr
    refresh_token: SecretStr | None = None
    previous_refresh_token: SecretStr | None = None
    expiry_time: UtcSecond | None = None
    issued_at: UtcDatetime | None = None
    instance_url: str | None = None
    token_type: str | None = None
    scope: str | None = None

    @field_serializer("access_token", "refresh_token", "previous_refresh_token", when_used="json")
    def _reveal(self, value: SecretStr | None) -> str | None:
        # JSON of this model goes to Key Vault only; repr() and logs show stars.
        return value.get_secret_value() if value is not None else None

    def followed_by(self, new: TokenSecret) -> TokenSecret:
        """The new pair as it is stored after this one: the refresh token just used stays recoverable."""
        used, got = self.refresh_token, new.refresh_token
        previous = used if used is not None and used != got else None
        return new.model_copy(update={"previous_refresh_token": previous})

    def with_previous(self) -> TokenSecret | None:
        """The pair as it would be refreshed with the refresh token before this one, if there is one."""
        if self.previous_refresh_token is None or self.previous_refresh_token == self.refresh_token:
            return None
        return self.model_copy(update={"refresh_token": self.previous_refresh_token})


class OAuthClient(Model):
    """The app's own identity at a provider, in Key Vault as ``oauth-client-{integrationId}``; or a service account's
    key file as Google gives it out, in a secret that the credential names.

    The rest is filled in from the credential before a provider's OAuth sees it: the method, the private key
    (PEM, of the credential's ``clientPrivateKey`` companion or of the app) and the credential's settings.
    """

    client_id: str
    client_secret: SecretStr | None = None
    private_key: SecretStr | None = None
    client_email: str | None = None
    private_key_id: str | None = None
    refresh_method: RefreshMethod = RefreshMethod.REFRESH_TOKEN
    arguments: dict[str, Any] = Field(default_factory=dict)

    @field_serializer("client_secret", "private_key", when_used="json")
    def _reveal(self, value: SecretStr | None) -> str | None:
        return value.get_secret_value() if value is not None else None


def refresh_horizon(now: datetime, threshold: timedelta, until_next_run: timedelta) -> datetime:
    """Tokens that expire before this moment are refreshed in this run: none may lapse before the next one."""
    return now + threshold + until_next_run


def expires_within(expiry: datetime | None, now: datetime, margin: timedelta) -> bool:
    """Whether a token should be renewed before it is used. A token that names no expiry is used until refused."""
    return expiry is not None and expiry <= now + margin
