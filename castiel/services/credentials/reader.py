"""Credentials and their secrets, read together and cached for a short time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pydantic import SecretStr, ValidationError

from castiel import redaction
from castiel.domain.credentials import (
    Credential,
    CredentialType,
    OAuthClient,
    TokenSecret,
    expires_within,
)
from castiel.errors import ConfigurationError, NotFound, StoreUnavailable, VaultUnavailable
from castiel.ports.clock import Clock
from castiel.ports.secrets import SecretVault, StoredSecret
from castiel.ports.stores import CredentialStore
from castiel.services.flights import Flights

logger = logging.getLogger(__name__)

CACHE_SECONDS = 30.0
CLIENT_CACHE_SECONDS = 300.0
CACHE_ENTRIES = 10_000

Key = tuple[str, str]
"""Tenant and credential."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A credential with its secret, as last read. ``version`` is the vault's."""

    credential: Credential
    token: TokenSecret
    read_at: float
    version: str = ""

    @property
    def key(self) -> Key:
        """Tenant and credential."""
        return (self.credential.tenant_id, self.credential.id)


class CredentialReader:
    """Reads each credential once however many ask, and lives through an outage of what it reads from."""

    def __init__(self, credentials: CredentialStore, vault: SecretVault, clock: Clock) -> None:
        self._credentials = credentials
        self._vault = vault
        self._clock = clock
        self._cache: dict[Key, StoredToken] = {}
        self._clients: dict[str, tuple[float, OAuthClient]] = {}
        self._reads: Flights[Key, StoredToken] = Flights()
        self._client_reads: Flights[str, OAuthClient] = Flights()

    async def get(self, tenant_id: str, credential_id: str) -> StoredToken:
        """The credential, at most :data:`CACHE_SECONDS` old; older while the stores are down and the token lives."""
        key = (tenant_id, credential_id)
        cached = self._cache.get(key)
        if cached and self._clock.monotonic() - cached.read_at < CACHE_SECONDS:
            return cached
        try:
            return await self._reads.run(key, lambda: self.get_fresh(tenant_id, credential_id))
        except (VaultUnavailable, StoreUnavailable) as error:
            if cached is None or expires_within(cached.token.expiry_time, self._clock.now(), timedelta(0)):
                raise
            logger.warning(
                "credential %s: %s; its cached token is used until it expires",
                credential_id,
                error,
                extra={"credentialId": credential_id, "tenantId": tenant_id, "error": error.code},
            )
            return cached

    async def get_fresh(
        self, tenant_id: str, credential_id: str, known: Credential | None = None
    ) -> StoredToken:
        """The credential as it is stored now. Raises :class:`NotFound`, and :class:`ConfigurationError` for a
        disabled one.

        ``known``: its document, read a while ago. Only the secret is read then: whoever goes on to write the
        document finds out whether it is still that one.
        """
        try:
            credential = known or await self._credentials.get(tenant_id, credential_id)
        except NotFound:
            raise NotFound(
                f"there is no credential {credential_id}; a connection's is made by its authorization"
            ) from None
        if not credential.enabled:
            self.forget((tenant_id, credential_id))
            raise ConfigurationError(f"credential {credential_id}: it is disabled")
        return self.remember(credential, await self.secret_of(credential))

    async def secret_of(self, credential: Credential) -> StoredSecret:
        """The newest version of its secret. The error names the credential and what is wrong with the vault."""
        try:
            return await self._vault.get(credential.secret_name)
        except NotFound:
            raise ConfigurationError(
                f"credential {credential.id}: Key Vault has no secret {credential.secret_name}"
            ) from None
        except VaultUnavailable as error:
            raise VaultUnavailable(
                f"credential {credential.id}: {error}", retry_after=error.retry_after
            ) from error

    def remember(self, credential: Credential, secret: StoredSecret) -> StoredToken:
        """Cache what was read or written. Raises :class:`ConfigurationError` for a secret of the wrong form."""
        token = _parse(credential, secret.value)
        redaction.remember(token.access_token, token.refresh_token, token.previous_refresh_token)
        return self.keep(StoredToken(credential, token, self._clock.monotonic(), secret.version))

    def keep(self, stored: StoredToken) -> StoredToken:
        """Cache it."""
        _bounded(self._cache)[stored.key] = stored
        return stored

    def forget(self, key: Key) -> None:
        """Read it anew next time."""
        self._cache.pop(key, None)

    async def read_secret(self, name: str) -> str:
        """A secret by its name, or one version of it by ``name/version``."""
        name, _, version = name.partition("/")
        value = (await self._vault.get(name, version or None)).value
        redaction.remember(value)
        return value

    async def client_of(self, credential: Credential) -> OAuthClient:
        """The app's identity for this credential, with its method, key and arguments filled in."""
        try:
            method = credential.refresh_method
        except ValueError:
            raise ConfigurationError(
                f"credential {credential.id}, settings.refreshMethod: nobody knows this method"
            ) from None
        name = credential.client_secret_name
        if name is None and method.needs_app:
            name = f"oauth-client-{credential.integration_id}"
        client = await self._client(name) if name else OAuthClient(client_id="")
        key = await self.companion(credential, CredentialType.CLIENT_PRIVATE_KEY)
        return client.model_copy(
            update={
                "refresh_method": method,
                "private_key": key or client.private_key,
                "arguments": {**client.arguments, **credential.settings},
            }
        )

    async def companion(self, credential: Credential, kind: CredentialType) -> SecretStr | None:
        """The secret of the companion of that type, or ``None`` where the credential has none."""
        for companion_id in credential.companion_ids:
            stored = await self.get(credential.tenant_id, companion_id)
            if stored.credential.type is kind:
                return stored.token.access_token
        return None

    def forget_clients(self) -> None:
        """Read the apps' identities anew: one of them was refused."""
        self._clients.clear()

    async def _client(self, name: str) -> OAuthClient:
        cached = self._clients.get(name)
        now = self._clock.monotonic()
        if cached and cached[0] > now:
            return cached[1]
        try:
            client = await self._client_reads.run(name, lambda: self._read_client(name))
        except VaultUnavailable:
            if cached is None:
                raise
            return cached[1]
        self._clients[name] = (now + CLIENT_CACHE_SECONDS, client)
        return client

    async def _read_client(self, name: str) -> OAuthClient:
        try:
            secret = await self._vault.get(name)
        except NotFound:
            raise ConfigurationError(
                f"Key Vault secret {name}: missing; store the app's clientId and clientSecret there as JSON"
            ) from None
        client = _validated(
            lambda: OAuthClient.model_validate_json(secret.value),
            f"Key Vault secret {name}: not JSON with clientId and clientSecret",
        )
        redaction.remember(client.client_secret, client.private_key)
        return client


def _parse(credential: Credential, text: str) -> TokenSecret:
    if credential.type is not CredentialType.OAUTH2:
        return TokenSecret(access_token=SecretStr(text), expiry_time=credential.expiry_time)
    return _validated(
        lambda: TokenSecret.model_validate_json(text),
        f"credential {credential.id}: its secret is no token pair",
    )


def _validated(read: Callable[[], T], problem: str) -> T:
    try:
        return read()
    except ValidationError:
        # The validation's own text quotes its input.
        raise ConfigurationError(problem) from None


def _bounded(cache: dict[Key, StoredToken]) -> dict[Key, StoredToken]:
    while len(cache) >= CACHE_ENTRIES:
        del cache[next(iter(cache))]
    return cache
