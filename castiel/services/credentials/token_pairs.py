"""Where a token pair is kept: one version in Key Vault first, then its metadata in Cosmos DB."""

from __future__ import annotations

import logging

from castiel.domain.credentials import Credential, TokenSecret
from castiel.domain.retry import backoff
from castiel.errors import CastielError, ConfigurationError, Conflict, StoreUnavailable, VaultUnavailable
from castiel.ports.clock import Clock
from castiel.ports.secrets import SecretVault, StoredSecret
from castiel.ports.stores import CredentialStore
from castiel.services.credentials.documents import update
from castiel.services.credentials.reader import CredentialReader, Key, StoredToken
from castiel.services.credentials.reauthorisation import Reauthorisation

logger = logging.getLogger(__name__)

SAVE_SECONDS = 120.0
"""How long a new pair is offered to a vault that does not take it."""


class TokenPairs:
    """Stores new pairs, whatever fails on the way; the caller holds the credential's lease."""

    def __init__(
        self,
        reader: CredentialReader,
        credentials: CredentialStore,
        vault: SecretVault,
        reauthorisation: Reauthorisation,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._credentials = credentials
        self._vault = vault
        self._reauthorisation = reauthorisation
        self._clock = clock
        self._unsaved: dict[Key, tuple[TokenSecret, str | None]] = {}
        """Pairs that could not be stored, each with the version it was to follow (``None``: whatever is there)."""

    async def store(
        self, credential: Credential, token: TokenSecret, *, follows: str | None = None
    ) -> StoredToken:
        """The pair goes to Key Vault as one version before anything uses it; the metadata follows.

        ``follows``: the version that it was got with, after which alone it may be stored late.
        """
        key = (credential.tenant_id, credential.id)
        secret = await self.save(credential, token, follows=follows)
        self._unsaved.pop(key, None)
        stored = self._reader.remember(credential, secret)
        return await self._record(stored, renewed=True)

    async def store_held_back(self, stored: StoredToken) -> StoredToken | None:
        """Store the pair that this process holds back for the credential, if it is still to follow what is stored."""
        unsaved, follows = self._unsaved.get(stored.key, (None, None))
        if unsaved is not None and follows in (None, stored.version):
            return await self.store(stored.credential, unsaved, follows=follows)
        # What somebody stored meanwhile (a new consent, say) is newer than a pair that was held back.
        self._unsaved.pop(stored.key, None)
        return None

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

    async def adopt(self, stored: StoredToken) -> StoredToken:
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
        if not credential.enabled:
            # Revoked while this went on: the pair is for whoever withdraws it, and for nobody's use.
            self._reader.forget(stored.key)
            raise ConfigurationError(f"credential {credential.id}: it is disabled")
        if was_dead:
            await self._reauthorisation.resume(credential)
        return self._reader.keep(
            StoredToken(credential, stored.token, self._clock.monotonic(), stored.version)
        )


def secret_tags(credential: Credential) -> dict[str, str]:
    """Whose secret it is, for a person who looks into the vault."""
    return {
        "tenantId": credential.tenant_id[:256],
        "credentialId": credential.id[:256],
        "type": credential.type.value,
    }


def _refreshable(token: TokenSecret) -> bool:
    """A token that names no expiry and has no refresh token lives until it is refused."""
    return token.refresh_token is not None or token.expiry_time is not None
