"""SecureCredentialService: tokens that are fresh when they are used, refreshed once however many ask."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from castiel.adapters.http import AccessToken, HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.credentials import Credential, OAuthClient, TokenSecret, expires_within
from castiel.errors import ConfigurationError, Conflict, LeaseHeld, NotFound, ReauthRequired, VaultUnavailable
from castiel.ports.clock import Clock
from castiel.ports.coordination import Leases
from castiel.ports.messaging import Event, EventPublisher
from castiel.ports.secrets import SecretVault
from castiel.ports.stores import ConnectionStore, CredentialStore

logger = logging.getLogger(__name__)

REFRESH_MARGIN = timedelta(minutes=5)
"""A token that expires within this is refreshed before it is used."""
CACHE_SECONDS = 30.0
LEASE_SECONDS = 60.0
WAIT_FOR_OTHERS_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A credential with its secret, as last read."""

    credential: Credential
    token: TokenSecret
    read_at: float


class SecureCredentialService:
    """Reads, refreshes and stores credentials. Secrets are in Key Vault only."""

    def __init__(
        self,
        credentials: CredentialStore,
        connections: ConnectionStore,
        vault: SecretVault,
        leases: Leases,
        providers: ProviderRegistry,
        http: HttpPool,
        events: EventPublisher,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._connections = connections
        self._vault = vault
        self._leases = leases
        self._providers = providers
        self._http = http
        self._events = events
        self._clock = clock
        self._cache: dict[tuple[str, str], StoredToken] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get_credential(self, tenant_id: str, credential_id: str) -> StoredToken:
        """The credential with a token that is good now, refreshed if it is about to expire.

        Raises :class:`ReauthRequired` when a person has to authorise again.
        """
        stored = await self._read(tenant_id, credential_id)
        if stored.credential.needs_reauth:
            raise ReauthRequired(f"credential {credential_id} waits for re-authorisation")
        if expires_within(stored.token.expiry_time, self._clock.now(), REFRESH_MARGIN):
            return await self.refresh_oauth_token(tenant_id, credential_id, refused=stored.token)
        return stored

    async def refresh_oauth_token(
        self, tenant_id: str, credential_id: str, *, refused: TokenSecret | None = None
    ) -> StoredToken:
        """A new token, unless somebody else got one meanwhile: then that one.

        ``refused``: the token that no longer serves. One refresh at a time per credential, across all
        instances: a provider that rotates refresh tokens takes each only once.
        """
        key = (tenant_id, credential_id)
        async with self._locks[key]:
            deadline = self._clock.monotonic() + WAIT_FOR_OTHERS_SECONDS
            while True:
                current = await self._read(tenant_id, credential_id, fresh=True)
                if refused is not None and current.token.access_token != refused.access_token:
                    return current
                try:
                    async with self._leases.hold(
                        f"credential:{tenant_id}:{credential_id}", seconds=LEASE_SECONDS
                    ):
                        return await self._refresh(tenant_id, credential_id, refused)
                except LeaseHeld:
                    if self._clock.monotonic() > deadline:
                        raise
                    await self._clock.sleep(0.2 + 0.2 * self._clock.random())

    async def refresh_due(self, tenant_id: str, credential_id: str, expiry: datetime | None) -> StoredToken:
        """Refresh a token that expires at ``expiry``, unless somebody has renewed it since it was found due."""
        current = await self._read(tenant_id, credential_id, fresh=True)
        if current.credential.expiry_time != expiry:
            return current
        return await self.refresh_oauth_token(tenant_id, credential_id, refused=current.token)

    async def _refresh(self, tenant_id: str, credential_id: str, refused: TokenSecret | None) -> StoredToken:
        stored = await self._read(tenant_id, credential_id, fresh=True)
        if refused is not None and stored.token.access_token != refused.access_token:
            return stored
        provider = self._providers.get(stored.credential.integration_id)
        client = await self._client(stored.credential)
        connection = await self._connection_of(stored.credential)
        try:
            token = await provider.oauth.refresh(self._http, connection, client, stored.token)
        except ReauthRequired as error:
            await self._require_reauth(stored.credential, error)
            raise
        return await self._store(stored.credential, token)

    async def _store(self, credential: Credential, token: TokenSecret) -> StoredToken:
        """The pair goes to Key Vault as one version before anything uses it; the metadata follows."""
        secret = await self._vault.set(credential.secret_name, token.to_json_text())
        for _ in range(5):
            credential.secret_version = secret.version
            credential.expiry_time = token.expiry_time
            credential.refresh_count += 1
            credential.last_refreshed_at = self._clock.now()
            credential.needs_reauth = False
            credential.last_error_code = None
            try:
                credential = await self._credentials.replace(credential)
                break
            except Conflict:
                credential = await self._credentials.get(credential.tenant_id, credential.id)
        stored = StoredToken(credential, token, self._clock.monotonic())
        self._cache[(credential.tenant_id, credential.id)] = stored
        return stored

    async def _read(self, tenant_id: str, credential_id: str, *, fresh: bool = False) -> StoredToken:
        cached = self._cache.get((tenant_id, credential_id))
        if cached and not fresh and self._clock.monotonic() - cached.read_at < CACHE_SECONDS:
            return cached
        credential = await self._credentials.get(tenant_id, credential_id)
        if not credential.enabled:
            raise ConfigurationError(f"credential {credential_id}: it is disabled")
        try:
            secret = await self._vault.get(credential.secret_name)
        except VaultUnavailable:
            if (
                cached
                and not expires_within(cached.token.expiry_time, self._clock.now(), timedelta(0))
                and not fresh
            ):
                return cached
            raise
        stored = StoredToken(credential, _parse_token(credential, secret.value), self._clock.monotonic())
        self._cache[(tenant_id, credential_id)] = stored
        return stored

    async def _client(self, credential: Credential) -> OAuthClient:
        name = credential.client_secret_name or f"oauth-client-{credential.integration_id}"
        try:
            secret = await self._vault.get(name)
        except NotFound:
            raise ConfigurationError(
                f"Key Vault secret {name}: missing; store the app's clientId and clientSecret there as JSON"
            ) from None
        try:
            return OAuthClient.model_validate_json(secret.value)
        except ValidationError:
            raise ConfigurationError(
                f"Key Vault secret {name}: not JSON with clientId and clientSecret"
            ) from None

    async def _connection_of(self, credential: Credential) -> Connection | None:
        if credential.connection_id is not None:
            try:
                return await self._connections.get(credential.tenant_id, credential.connection_id)
            except NotFound:
                return None
        return next(iter(await self._connections.by_credential(credential.tenant_id, credential.id)), None)

    async def _require_reauth(self, credential: Credential, error: ReauthRequired) -> None:
        """No more attempts until a person has re-authorised: the credential, its connections, an alert, an event."""
        for _ in range(5):
            credential.needs_reauth = True
            credential.reauth_reason = error.provider_code
            credential.last_error_code = error.code
            try:
                await self._credentials.replace(credential)
                break
            except Conflict:
                credential = await self._credentials.get(credential.tenant_id, credential.id)
        self._cache.pop((credential.tenant_id, credential.id), None)
        for connection in await self._connections.by_credential(credential.tenant_id, credential.id):
            if connection.status is ConnectionStatus.ACTIVE:
                connection.status = ConnectionStatus.NEEDS_REAUTH
                connection.status_reason = error.provider_code
                await self._connections.replace(connection)
        logger.error(
            "Credential %s requires reauth",
            credential.id,
            extra={
                "function": "TokenRefresher",
                "credentialId": credential.id,
                "tenantId": credential.tenant_id,
                "alert": "reauth_required",
            },
        )
        await self._events.publish(
            Event(
                "castiel.credential.reauth_required",
                f"credentials/{credential.id}",
                {"credentialId": credential.id, "integrationId": credential.integration_id},
                credential.tenant_id,
            )
        )

    async def read_secret(self, name: str) -> str:
        """A secret that is no token pair: a webhook's, say."""
        return (await self._vault.get(name)).value


def _parse_token(credential: Credential, text: str) -> TokenSecret:
    try:
        return TokenSecret.model_validate_json(text)
    except ValidationError:
        raise ConfigurationError(f"credential {credential.id}: its secret is no token pair") from None


class CredentialAuthorizer:
    """Where one connection's calls get their token."""

    def __init__(self, credentials: SecureCredentialService, connection: Connection) -> None:
        self._credentials = credentials
        self._connection = connection

    async def current(self) -> AccessToken:
        """The token to use now."""
        stored = await self._credentials.get_credential(
            self._connection.tenant_id, self._connection.credential_id
        )
        return AccessToken(stored.token.access_token, stored.token.instance_url)

    async def replace(self, refused: AccessToken) -> AccessToken:
        """Another token, after the provider refused this one."""
        stored = await self._credentials.refresh_oauth_token(
            self._connection.tenant_id,
            self._connection.credential_id,
            refused=TokenSecret(access_token=refused.value),
        )
        return AccessToken(stored.token.access_token, stored.token.instance_url)
