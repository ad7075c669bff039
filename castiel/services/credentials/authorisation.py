"""A person authorises a connection: authorization code with state and PKCE (RFC 6749, 7636, 9700)."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr, ValidationError

from castiel import redaction
from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.connections import Connection
from castiel.domain.credentials import Credential, CredentialType, TokenSecret
from castiel.domain.model import Model
from castiel.errors import InvalidInput, NotFound
from castiel.ports.clock import Clock
from castiel.ports.coordination import Marks
from castiel.ports.stores import ConnectionStore, CredentialStore
from castiel.services.credentials.authorizer import ensure_same_provider
from castiel.services.credentials.documents import update
from castiel.services.credentials.management import secret_name_of
from castiel.services.credentials.reader import StoredToken
from castiel.services.credentials.reauthorisation import Reauthorisation
from castiel.services.credentials.refreshing import TokenRefresh

logger = logging.getLogger(__name__)

PENDING_SECONDS = 900.0
"""How long a person may take."""


@dataclass(frozen=True, slots=True)
class PendingAuthorization:
    """What the person opens, and what proves afterwards that the answer belongs to it.

    ``verifier`` stays with whoever began (PKCE); the server keeps neither it nor the state itself.
    """

    url: str
    state: str
    verifier: SecretStr
    redirect_uri: str
    expires_at: datetime


class _Pending(Model):
    tenant_id: str
    connection_id: str
    redirect_uri: str
    verifier_hash: str


class AuthorizationService:
    """Begins and completes a person's consent for a connection."""

    def __init__(
        self,
        connections: ConnectionStore,
        credentials: CredentialStore,
        refreshing: TokenRefresh,
        marks: Marks,
        providers: ProviderRegistry,
        http: HttpPool,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._credentials = credentials
        self._refreshing = refreshing
        self._marks = marks
        self._providers = providers
        self._http = http
        self._clock = clock

    @property
    def _reauthorisation(self) -> Reauthorisation:
        return self._refreshing.reauthorisation

    async def begin(self, connection: Connection, redirect_uri: str) -> PendingAuthorization:
        """The provider's URL for this connection; good for 15 minutes and one answer.

        Raises :class:`InvalidInput` for a connection whose credential is no token pair.
        """
        provider = self._providers.get(connection.integration_id)
        client = await self._refreshing.reader.client_of(await self._credential(connection))
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        redaction.remember(state, verifier)
        pending = _Pending(
            tenant_id=connection.tenant_id,
            connection_id=connection.id,
            redirect_uri=redirect_uri,
            verifier_hash=_hash(verifier),
        )
        await self._marks.put(_mark(state), pending.to_json_text(), seconds=PENDING_SECONDS)
        url = provider.oauth.authorization_url(
            connection, client, redirect_uri=redirect_uri, state=state, code_challenge=_challenge(verifier)
        )
        expires = self._clock.now() + timedelta(seconds=PENDING_SECONDS)
        return PendingAuthorization(url, state, SecretStr(verifier), redirect_uri, expires)

    async def complete(self, code: str, state: str, verifier: SecretStr) -> Connection:
        """Exchange the code, store the pair, and let the connection work again; returns the connection.

        Raises :class:`InvalidInput` for a state that is unknown, expired or used, or another's verifier, and
        what the provider's exchange raises.
        """
        redaction.remember(code, state, verifier)
        pending = await self._consume(state)
        if not secrets.compare_digest(pending.verifier_hash, _hash(verifier.get_secret_value())):
            raise InvalidInput("state: this authorization was begun by somebody else")
        connection = await self._connections.get(pending.tenant_id, pending.connection_id)
        provider = self._providers.get(connection.integration_id)
        credential = await self._credential(connection)
        token = await provider.oauth.exchange(
            self._http,
            connection,
            await self._refreshing.reader.client_of(credential),
            code=code,
            redirect_uri=pending.redirect_uri,
            code_verifier=verifier.get_secret_value(),
        )
        redaction.remember(token.access_token, token.refresh_token)
        stored = await self._store(credential, token)
        await self._reauthorisation.resume(stored.credential)
        return await self._connections.get(pending.tenant_id, pending.connection_id)

    async def _consume(self, state: str) -> _Pending:
        """The pending authorization, once."""
        mark = _mark(state)
        found = (await self._marks.get_many([mark])).get(mark)
        first = found is not None and await self._marks.put_if_absent(
            f"{mark}:used", "1", seconds=PENDING_SECONDS
        )
        if found is None or not first:
            raise InvalidInput("state: unknown, expired or used already; begin again")
        await self._marks.delete(mark)
        try:
            return _Pending.model_validate_json(found)
        except ValidationError:
            raise InvalidInput("state: unknown, expired or used already; begin again") from None

    async def _store(self, credential: Credential, token: TokenSecret) -> StoredToken:
        """Under the lease of a refresh: one that runs meanwhile must not put the old grant over the new one."""
        async with self._refreshing.after_others(credential.tenant_id, credential.id):
            return await self._store_alone(credential, token)

    async def _store_alone(self, credential: Credential, token: TokenSecret) -> StoredToken:
        if credential.etag is None:
            secret = await self._refreshing.pairs.save(credential, token)
            credential.secret_version = secret.version
            credential.expiry_time = token.expiry_time
            credential = await self._credentials.create(credential)
            return self._refreshing.reader.remember(credential, secret)
        if not credential.enabled:
            credential = await update(self._credentials, credential, _enable)
        return await self._refreshing.pairs.store(credential, token)

    async def _credential(self, connection: Connection) -> Credential:
        """The connection's credential; a new one, not stored yet, for a connection that was never authorised."""
        try:
            credential = await self._credentials.get(connection.tenant_id, connection.credential_id)
        except NotFound:
            return Credential(
                id=connection.credential_id,
                tenant_id=connection.tenant_id,
                integration_id=connection.integration_id,
                connection_id=connection.id,
                secret_name=secret_name_of(connection.tenant_id, connection.credential_id),
                created_at=self._clock.now(),
            )
        ensure_same_provider(connection, credential)
        if credential.type is not CredentialType.OAUTH2:
            # A pair in the place of its secret would be sent whole, refresh token and all, as that secret is.
            raise InvalidInput(f"credential {credential.id} is no token pair: nobody can consent to it")
        return credential


def _enable(credential: Credential) -> None:
    """Revoked or disabled before, it has a new grant now."""
    credential.enabled, credential.revoked_at = True, None


def _mark(state: str) -> str:
    # Redis holds no state that could be used: only its hash.
    return f"authorize:{_hash(state)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _challenge(verifier: str) -> str:
    """S256: https://www.rfc-editor.org/rfc/rfc7636#section-4.2"""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
