"""One refresh of one token pair, safe against a crash at every step.

The order, under a lease that one worker in the world holds::

    read the stored pair → journal the attempt (conditional write) → ask the provider
        → the new pair to Key Vault, the old refresh token inside it → metadata and journal to Cosmos DB

What is lost when the process dies at each step, and at which providers, is in ADR 5.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.connections import Connection
from castiel.domain.credentials import (
    Credential,
    CredentialType,
    OAuthClient,
    TokenSecret,
)
from castiel.errors import (
    CacheUnavailable,
    CastielError,
    Conflict,
    LeaseHeld,
    NotFound,
    ProviderRejected,
    ReauthRequired,
)
from castiel.ports.clock import Clock
from castiel.ports.coordination import Leases
from castiel.ports.stores import ConnectionStore
from castiel.services.credentials.reader import CredentialReader, StoredToken
from castiel.services.credentials.reauthorisation import Reauthorisation
from castiel.services.credentials.refresh_journal import RefreshJournal
from castiel.services.credentials.token_pairs import TokenPairs

logger = logging.getLogger(__name__)

_Refresh = Callable[[HttpPool, Connection | None, OAuthClient, TokenSecret], Awaitable[TokenSecret]]

T = TypeVar("T")
Needed = Callable[[StoredToken], bool]
"""Asked of what is stored, once nobody else can change it: whether it still has to be refreshed."""

LEASE_SECONDS = 30.0
WAIT_FOR_OTHERS_SECONDS = 45.0
"""Longer than a lease lives, so that those who wait outlive the lease of a worker that crashed."""


class TokenRefresh:
    """Refreshes one credential. The caller sees to it that this process does so once at a time."""

    def __init__(
        self,
        reader: CredentialReader,
        pairs: TokenPairs,
        journal: RefreshJournal,
        connections: ConnectionStore,
        leases: Leases,
        providers: ProviderRegistry,
        http: HttpPool,
        reauthorisation: Reauthorisation,
        clock: Clock,
    ) -> None:
        self.reader = reader
        self.pairs = pairs
        self.journal = journal
        self._connections = connections
        self._leases = leases
        self._providers = providers
        self._http = http
        self.reauthorisation = reauthorisation
        self._clock = clock

    async def refresh(
        self, tenant_id: str, credential_id: str, needed: Needed, known: Credential | None = None
    ) -> StoredToken:
        """A new token; or, when the stored one turns out not to need it (any more), that one.

        ``known``: the document as a query found it, which spares reading it again while nobody has written it.
        """
        deadline = self._clock.monotonic() + WAIT_FOR_OTHERS_SECONDS
        while True:
            try:
                async with self.alone(tenant_id, credential_id) as leased:
                    return await self._refresh(tenant_id, credential_id, needed, known, leased=leased)
            except (LeaseHeld, Conflict) as error:
                if known is not None and isinstance(error, Conflict):
                    # Written since the query: nobody is in the way, it only has to be read.
                    known = None
                    continue
                if self._clock.monotonic() > deadline:
                    raise
                await self._clock.sleep(0.1 + 0.2 * self._clock.random())

    @asynccontextmanager
    async def alone(self, tenant_id: str, credential_id: str) -> AsyncIterator[bool]:
        """Nobody else refreshes or replaces this credential in the block. Raises :class:`LeaseHeld`.

        False when Redis is gone: then the journal in Cosmos DB has to keep the others away.
        """
        async with AsyncExitStack() as stack:
            lease = self._leases.hold(f"credential:{tenant_id}:{credential_id}", seconds=LEASE_SECONDS)
            try:
                await stack.enter_async_context(lease)
                leased = True
            except CacheUnavailable:
                logger.warning("credentials are refreshed without Redis", extra={"alert": "lease_fallback"})
                leased = False
            yield leased

    @asynccontextmanager
    async def after_others(self, tenant_id: str, credential_id: str) -> AsyncIterator[bool]:
        """The same, once whoever is at it has ended. Raises :class:`LeaseHeld` when that takes too long."""
        deadline = self._clock.monotonic() + WAIT_FOR_OTHERS_SECONDS
        async with AsyncExitStack() as stack:
            while True:
                try:
                    leased = await stack.enter_async_context(self.alone(tenant_id, credential_id))
                    break
                except LeaseHeld:
                    if self._clock.monotonic() > deadline:
                        raise
                    await self._clock.sleep(0.2)
            yield leased

    async def _refresh(
        self, tenant_id: str, credential_id: str, needed: Needed, known: Credential | None, *, leased: bool
    ) -> StoredToken:
        stored = await self.reader.get_fresh(tenant_id, credential_id, known)
        held_back = await self.pairs.store_held_back(stored)
        if held_back is not None:
            return held_back
        if not needed(stored):
            return await self.pairs.adopt(stored)
        if stored.credential.needs_reauth:
            raise ReauthRequired(f"credential {credential_id} waits for re-authorisation")
        if stored.credential.type is not CredentialType.OAUTH2:
            return await self._refuse(stored)
        # What the call needs is read while the journal is written: neither waits for the other.
        opened, client, connection = await asyncio.gather(
            self.journal.open(stored.credential, leased=leased, current=known is None),
            self.reader.client_of(stored.credential),
            self.connection_of(stored.credential),
            return_exceptions=True,
        )
        credential, interrupted = _raised(opened)
        try:
            token = await self._ask(stored, _raised(client), _raised(connection))
        except ReauthRequired as error:
            newer = await self._newer(stored)
            if newer is not None:
                return await self.pairs.adopt(newer)
            await self._give_up(credential, error, interrupted)
            raise
        except CastielError as error:
            await self.journal.close(credential, error)
            raise
        return await self.pairs.store(credential, stored.token.followed_by(token), follows=stored.version)

    async def _ask(
        self, stored: StoredToken, client: OAuthClient, connection: Connection | None
    ) -> TokenSecret:
        """The provider's new pair; with the refresh token before the newest, once, when that one is refused."""
        credential = stored.credential
        provider = self._providers.get(credential.integration_id)
        try:
            return await self._ask_with(provider.oauth.refresh, connection, client, stored.token)
        except ReauthRequired:
            earlier = stored.token.with_previous()
            if earlier is None or await self._newer(stored) is not None:
                raise
            logger.warning(
                "credential %s: its refresh token is refused, the one before is tried",
                credential.id,
                extra={"credentialId": credential.id, "tenantId": credential.tenant_id},
            )
            return await self._ask_with(provider.oauth.refresh, connection, client, earlier)

    async def _ask_with(
        self, call: _Refresh, connection: Connection | None, client: OAuthClient, token: TokenSecret
    ) -> TokenSecret:
        try:
            return await call(self._http, connection, client, token)
        except ProviderRejected:
            # Perhaps the app's own secret was rotated: the next attempt reads it anew.
            self.reader.forget_clients()
            raise

    async def _newer(self, stored: StoredToken) -> StoredToken | None:
        """What somebody else stored since ``stored`` was read, if its refresh token is another."""
        current = await self.reader.get_fresh(*stored.key)
        changed = current.token.refresh_token != stored.token.refresh_token
        return current if changed and current.version != stored.version else None

    async def _refuse(self, stored: StoredToken) -> StoredToken:
        """A secret that no refresh can renew was refused: a person has to replace it."""
        error = ReauthRequired(
            f"credential {stored.credential.id} is refused", provider_code="secret_refused"
        )
        await self.reauthorisation.require(stored.credential, error, error.code)
        self.reader.forget(stored.key)
        raise error

    async def _give_up(self, credential: Credential, error: ReauthRequired, interrupted: bool) -> None:
        outcome = "interrupted" if interrupted else error.code
        if interrupted:
            logger.error(
                "credential %s: an earlier refresh was cut off after the provider was called, and its answer is lost",
                credential.id,
                extra={"credentialId": credential.id, "tenantId": credential.tenant_id},
            )
        await self.reauthorisation.require(credential, error, outcome)
        self.reader.forget((credential.tenant_id, credential.id))

    async def connection_of(self, credential: Credential) -> Connection | None:
        """The connection whose settings the provider needs, if there is one."""
        if credential.connection_id is not None:
            try:
                return await self._connections.get(credential.tenant_id, credential.connection_id)
            except NotFound:
                return None
        return next(iter(await self._connections.by_credential(credential.tenant_id, credential.id)), None)


def _raised(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
