"""The credentials as the five functions see them."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import datetime, timedelta

from castiel.adapters.http import HttpPool
from castiel.adapters.mutual_tls import ClientCertificate
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.credentials import Credential, CredentialType, TokenSecret, expires_within
from castiel.errors import CastielError, ReauthRequired
from castiel.ports.clock import Clock
from castiel.ports.coordination import Leases
from castiel.ports.messaging import EventPublisher
from castiel.ports.secrets import SecretVault
from castiel.ports.stores import ConnectionStore, CredentialStore, RegistrationStore
from castiel.services.credentials.management import CredentialManagement
from castiel.services.credentials.reader import CACHE_ENTRIES, CredentialReader, Key, StoredToken
from castiel.services.credentials.reauthorisation import Reauthorisation
from castiel.services.credentials.refresh_journal import RefreshJournal
from castiel.services.credentials.refreshing import Needed, TokenRefresh
from castiel.services.credentials.token_pairs import TokenPairs
from castiel.services.flights import Flights

logger = logging.getLogger(__name__)

REFRESH_MARGIN = timedelta(minutes=5)
"""A token that expires within this is refreshed before it is used."""
RETRY_SECONDS = 15.0
"""How long a token that has not expired is used before its failed refresh is tried again, unless more was asked for."""


class SecureCredentialService:
    """Reads, refreshes and stores credentials. Secrets are in Key Vault only.

    ``manage`` is what operators do: store, list, rotate, revoke, delete, statistics, health.
    """

    def __init__(
        self,
        credentials: CredentialStore,
        connections: ConnectionStore,
        registrations: RegistrationStore,
        vault: SecretVault,
        leases: Leases,
        providers: ProviderRegistry,
        http: HttpPool,
        events: EventPublisher,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._vault = vault
        self.reader = CredentialReader(credentials, vault, clock)
        reauthorisation = Reauthorisation(credentials, connections, events)
        self.refreshing = TokenRefresh(
            self.reader,
            TokenPairs(self.reader, credentials, vault, reauthorisation, clock),
            RefreshJournal(credentials, clock),
            connections,
            leases,
            providers,
            http,
            reauthorisation,
            clock,
        )
        self.manage = CredentialManagement(
            self.reader,
            self.refreshing,
            credentials,
            connections,
            registrations,
            vault,
            providers,
            http,
            clock,
        )
        self._flights: Flights[Key, StoredToken] = Flights()
        self._retry_at: OrderedDict[Key, float] = OrderedDict()
        """When a failed refresh is tried again by the use of a token that still lives."""

    async def get_credential(self, tenant_id: str, credential_id: str) -> StoredToken:
        """The credential with a token that is good now, refreshed if it is about to expire.

        While a refresh fails for a reason that may pass, a token that has not expired is still given out, and the
        refresh is left alone for a while: every use of the token would be another attempt.
        Raises :class:`ReauthRequired` when a person has to authorise again.
        """
        stored = await self.reader.get(tenant_id, credential_id)
        if stored.credential.needs_reauth:
            raise ReauthRequired(f"credential {credential_id} waits for re-authorisation")
        now = self._clock.now()
        if stored.credential.type is not CredentialType.OAUTH2 or not expires_within(
            stored.token.expiry_time, now, REFRESH_MARGIN
        ):
            return stored
        lives = not expires_within(stored.token.expiry_time, now, timedelta(0))
        if lives and self._clock.monotonic() < self._retry_at.get(stored.key, 0.0):
            return stored
        try:
            return await self.refresh_oauth_token(tenant_id, credential_id, refused=stored.token)
        except CastielError as error:
            if not error.retryable or not lives:
                raise
            self._retry_later(stored.key, max(error.retry_after or 0.0, RETRY_SECONDS))
            logger.warning(
                "credential %s could not be refreshed yet: %s",
                credential_id,
                error,
                extra={"credentialId": credential_id, "tenantId": tenant_id, "error": error.code},
            )
            return stored

    def _retry_later(self, key: Key, seconds: float) -> None:
        self._retry_at[key] = self._clock.monotonic() + seconds
        self._retry_at.move_to_end(key)
        if len(self._retry_at) > CACHE_ENTRIES:
            self._retry_at.popitem(last=False)

    async def refresh_oauth_token(
        self, tenant_id: str, credential_id: str, *, refused: TokenSecret | None = None
    ) -> StoredToken:
        """A new token, unless somebody else got one meanwhile: then that one.

        ``refused``: the token that no longer serves. One refresh at a time per credential, across all
        instances: a provider that rotates refresh tokens takes each only once.
        """
        stored = await self._refresh(tenant_id, credential_id, lambda now: _is_refused(now, refused))
        if refused is not None and stored.token.access_token == refused.access_token:
            # The flight we joined had been started for another reason, and found our token good.
            stored = await self._refresh(tenant_id, credential_id, lambda now: _is_refused(now, refused))
        return stored

    def still_new_for(self, stored: StoredToken, seconds: float) -> float:
        """How long it is until the token's refresh is ``seconds`` ago; 0 when it is, or when there was none."""
        refreshed = stored.credential.last_refreshed_at
        if refreshed is None:
            return 0.0
        return max(0.0, seconds - (self._clock.now() - refreshed).total_seconds())

    async def refresh_due(self, found: Credential) -> StoredToken:
        """Refresh a token that was found due, unless somebody has renewed it since.

        One that names no expiry is refreshed to keep its refresh token alive; without a refresh token it is left
        as it is, and lives until it is refused.
        """
        return await self._refresh(
            found.tenant_id, found.id, lambda now: _is_due(now, found.expiry_time), found
        )

    async def _refresh(
        self, tenant_id: str, credential_id: str, needed: Needed, known: Credential | None = None
    ) -> StoredToken:
        return await self._flights.run(
            (tenant_id, credential_id),
            lambda: self.refreshing.refresh(tenant_id, credential_id, needed, known),
        )

    async def read_secret(self, name: str) -> str:
        """A secret that is no token pair (a webhook's, say); ``name/version`` is one version of it."""
        return await self.reader.read_secret(name)

    async def delete_secret(self, name: str) -> None:
        """Delete a secret that belongs to no credential."""
        await self._vault.delete(name)

    async def client_certificate(self, stored: StoredToken) -> ClientCertificate | None:
        """The certificate and key to present to the provider, for a credential that has them (mutual TLS)."""
        credential = stored.credential
        if credential.type is CredentialType.CLIENT_CERTIFICATE:
            certificate = stored.token.access_token
        else:
            found = await self.reader.companion(credential, CredentialType.CLIENT_CERTIFICATE)
            if found is None:
                return None
            certificate = found
        key = await self.reader.companion(credential, CredentialType.CLIENT_PRIVATE_KEY)
        if key is None:
            return None
        owner = (stored.credential.tenant_id, stored.credential.id)
        return ClientCertificate(certificate.get_secret_value(), key, owner)


def _is_refused(stored: StoredToken, refused: TokenSecret | None) -> bool:
    return refused is None or stored.token.access_token == refused.access_token


def _is_due(stored: StoredToken, expiry: datetime | None) -> bool:
    if expiry is None or stored.token.expiry_time is None:
        return expiry is stored.token.expiry_time and stored.token.refresh_token is not None
    return stored.token.expiry_time <= expiry
