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
from datetime import timedelta
from typing import TypeVar

from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.connections import Connection
from castiel.domain.credentials import (
    Credential,
    CredentialType,
    OAuthClient,
    RefreshAttempt,
    TokenSecret,
)
from castiel.domain.retry import backoff
from castiel.errors import (
    CacheUnavailable,
    CastielError,
    Conflict,
    LeaseHeld,
    NotFound,
    ProviderRejected,
    ReauthRequired,
    StoreUnavailable,
    VaultUnavailable,
)
from castiel.ports.clock import Clock
from castiel.ports.coordination import Leases
from castiel.ports.secrets import SecretVault, StoredSecret
from castiel.ports.stores import ConnectionStore, CredentialStore
from castiel.services.credentials.documents import update
from castiel.services.credentials.reader import CredentialReader, Key, StoredToken
from castiel.services.credentials.reauthorisation import Reauthorisation

logger = logging.getLogger(__name__)

_Refresh = Callable[[HttpPool, Connection | None, OAuthClient, TokenSecret], Awaitable[TokenSecret]]

T = TypeVar("T")
Needed = Callable[[StoredToken], bool]
"""Asked of what is stored, once nobody else can change it: whether it still has to be refreshed."""

LEASE_SECONDS = 30.0
WAIT_FOR_OTHERS_SECONDS = 45.0
"""Longer than a lease lives, so that those who wait outlive the lease of a worker that crashed."""
ATTEMPT_SECONDS = 90.0
"""Without Redis an open attempt in the journal keeps others away for so long."""
SAVE_SECONDS = 120.0
"""How long a new pair is offered to a vault that does not take it."""


class TokenRefresh:
    """Refreshes one credential. The caller sees to it that this process does so once at a time."""

    def __init__(
        self,
        reader: CredentialReader,
        credentials: CredentialStore,
        connections: ConnectionStore,
        vault: SecretVault,
        leases: Leases,
        providers: ProviderRegistry,
        http: HttpPool,
        reauthorisation: Reauthorisation,
        clock: Clock,
    ) -> None:
        self.reader = reader
        self._credentials = credentials
        self._connections = connections
        self._vault = vault
        self._leases = leases
        self._providers = providers
        self._http = http
        self.reauthorisation = reauthorisation
        self._clock = clock
        self._unsaved: dict[Key, tuple[TokenSecret, str | None]] = {}
        """Pairs that could not be stored, each with the version it was to follow (``None``: whatever is there)."""

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

    async def _refresh(
        self, tenant_id: str, credential_id: str, needed: Needed, known: Credential | None, *, leased: bool
    ) -> StoredToken:
        stored = await self.reader.get_fresh(tenant_id, credential_id, known)
        unsaved, follows = self._unsaved.get(stored.key, (None, None))
        if unsaved is not None and follows in (None, stored.version):
            return await self.store(stored.credential, unsaved, follows=follows)
        # What somebody stored meanwhile (a new consent, say) is newer than a pair that was held back.
        self._unsaved.pop(stored.key, None)
        if not needed(stored):
            return await self._adopt(stored)
        if stored.credential.needs_reauth:
            raise ReauthRequired(f"credential {credential_id} waits for re-authorisation")
        if stored.credential.type is not CredentialType.OAUTH2:
            return await self._refuse(stored)
        # What the call needs is read while the journal is written: neither waits for the other.
        opened, client, connection = await asyncio.gather(
            self._open_attempt(stored.credential, leased=leased, current=known is None),
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
                return await self._adopt(newer)
            await self._give_up(credential, error, interrupted)
            raise
        except CastielError as error:
            await self._close_attempt(credential, error)
            raise
        return await self.store(credential, stored.token.followed_by(token), follows=stored.version)

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

    # The journal ---------------------------------------------------------------------------------------

    async def _open_attempt(
        self, credential: Credential, *, leased: bool, current: bool
    ) -> tuple[Credential, bool]:
        """Journal that the provider is about to be called; and whether the attempt before was interrupted.

        Raises :class:`Conflict` for a document that is not ``current`` and has been written since it was read.
        """
        now = self._clock.now()
        last = credential.last_attempt
        interrupted = last is not None and last.is_open
        attempt = RefreshAttempt(id=self._clock.new_id(), started_at=now)
        if last is not None and interrupted:
            if not leased and now - last.started_at < timedelta(seconds=ATTEMPT_SECONDS):
                raise LeaseHeld("another worker refreshes this credential", retry_after=ATTEMPT_SECONDS)
            logger.warning(
                "credential %s: its refresh of %s was interrupted",
                credential.id,
                last.started_at.isoformat(timespec="seconds"),
                extra={"credentialId": credential.id, "tenantId": credential.tenant_id},
            )
        if leased and current:
            return await update(self._credentials, credential, lambda c: _begin(c, attempt)), interrupted
        # Without Redis this write is the lease: whoever comes second meets its ETag. So does who read it too early.
        credential = credential.copy_of()
        _begin(credential, attempt)
        return await self._credentials.replace(credential), interrupted

    async def note_failure(self, tenant_id: str, credential_id: str, code: str) -> None:
        """Journal a failure that came before the provider could be asked: a secret that can't be read, say."""
        attempt = RefreshAttempt(id=self._clock.new_id(), started_at=self._clock.now(), outcome=code)

        def change(credential: Credential) -> bool:
            if credential.last_attempt is not None and credential.last_attempt.is_open:
                return False
            credential.last_attempt = attempt
            _failed(credential, code)
            return True

        try:
            await update(self._credentials, await self._credentials.get(tenant_id, credential_id), change)
        except CastielError as also:
            logger.warning(
                "a failed refresh could not be journalled: %s",
                also,
                extra={"credentialId": credential_id, "tenantId": tenant_id},
            )

    async def _close_attempt(self, credential: Credential, error: CastielError) -> None:
        try:
            await update(self._credentials, credential, lambda c: _failed(c, error.code))
        except CastielError as also:
            logger.warning(
                "the outcome of a refresh could not be journalled: %s",
                also,
                extra={"credentialId": credential.id, "tenantId": credential.tenant_id},
            )

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

    # The new pair --------------------------------------------------------------------------------------

    async def store(
        self, credential: Credential, token: TokenSecret, *, follows: str | None = None
    ) -> StoredToken:
        """The pair goes to Key Vault as one version before anything uses it; the metadata follows.

        ``follows``: the version that it was got with, after which alone it may be stored late.
        """
        key = (credential.tenant_id, credential.id)
        secret = await self.save(credential, token, follows=follows)
        self._unsaved.pop(key, None)
        stored = self.reader.remember(credential, secret)
        return await self._record(stored, renewed=True)

    async def save(
        self, credential: Credential, token: TokenSecret, *, follows: str | None = None
    ) -> StoredSecret:
        """Offer the pair to the vault for a while: the provider may already have withdrawn the one before."""
        started, attempt = self._clock.monotonic(), 0
        while True:
            try:
                return await self._vault.set(
                    credential.secret_name, token.to_json_text(), tags=secret_tags(credential)
                )
            except CastielError as error:
                waited = self._clock.monotonic() - started
                if not isinstance(error, VaultUnavailable) or waited > SAVE_SECONDS:
                    self._hold_back(credential, token, follows, error)
                    raise
                pause = min(15.0, max(error.retry_after or 0.0, 0.1 + backoff(attempt, self._clock.random)))
                attempt += 1
                await self._clock.sleep(pause)

    def _hold_back(
        self, credential: Credential, token: TokenSecret, follows: str | None, error: CastielError
    ) -> None:
        """Nothing may use a pair that is not stored; this process keeps it and stores it at its next chance."""
        self._unsaved[(credential.tenant_id, credential.id)] = (token, follows)
        logger.error(
            "credential %s: its new token pair could not be stored (%s) and is held in memory only",
            credential.id,
            error,
            extra={
                "credentialId": credential.id,
                "tenantId": credential.tenant_id,
                "alert": "unsaved_token_pair",
            },
        )

    async def _adopt(self, stored: StoredToken) -> StoredToken:
        """Use what is stored; put the metadata right where a crash left it behind the vault."""
        credential = stored.credential
        in_step = (
            credential.secret_version == stored.version
            and credential.expiry_time == stored.token.expiry_time
            and credential.refreshable == _refreshable(stored.token)
            and not (credential.last_attempt and credential.last_attempt.is_open)
        )
        return stored if in_step else await self._record(stored, renewed=False)

    async def _record(self, stored: StoredToken, *, renewed: bool) -> StoredToken:
        """The metadata. The pair is safe already, so a store that is down spoils nothing."""
        was_dead = stored.credential.needs_reauth
        now = self._clock.now()

        def change(credential: Credential) -> None:
            nonlocal was_dead
            was_dead = credential.needs_reauth
            credential.secret_version = stored.version
            credential.expiry_time = stored.token.expiry_time
            credential.refreshable = _refreshable(stored.token)
            credential.needs_reauth = False
            credential.reauth_reason = credential.last_error_code = credential.consecutive_failures = None
            if renewed:
                credential.refresh_count += 1
                credential.last_refreshed_at = now
            if credential.last_attempt is not None:
                credential.last_attempt.outcome = "stored"

        try:
            credential = await update(self._credentials, stored.credential, change)
        except (StoreUnavailable, Conflict) as error:
            logger.warning(
                "credential %s: its metadata is behind its secret: %s",
                stored.credential.id,
                error,
                extra={"credentialId": stored.credential.id, "tenantId": stored.credential.tenant_id},
            )
            return stored
        if was_dead:
            await self.reauthorisation.resume(credential)
        return self.reader.keep(
            StoredToken(credential, stored.token, self._clock.monotonic(), stored.version)
        )

    async def connection_of(self, credential: Credential) -> Connection | None:
        """The connection whose settings the provider needs, if there is one."""
        if credential.connection_id is not None:
            try:
                return await self._connections.get(credential.tenant_id, credential.connection_id)
            except NotFound:
                return None
        return next(iter(await self._connections.by_credential(credential.tenant_id, credential.id)), None)


def secret_tags(credential: Credential) -> dict[str, str]:
    """Whose secret it is, for a person who looks into the vault."""
    return {
        "tenantId": credential.tenant_id[:256],
        "credentialId": credential.id[:256],
        "type": credential.type.value,
    }


def _raised(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result


def _refreshable(token: TokenSecret) -> bool:
    """A token that names no expiry and has no refresh token lives until it is refused."""
    return token.refresh_token is not None or token.expiry_time is not None


def _begin(credential: Credential, attempt: RefreshAttempt) -> None:
    credential.last_attempt = attempt


def _failed(credential: Credential, code: str) -> None:
    credential.last_error_code = code
    credential.consecutive_failures = (credential.consecutive_failures or 0) + 1
    if credential.last_attempt is not None:
        credential.last_attempt.outcome = code
