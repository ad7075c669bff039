"""What operators do with credentials: store, list, rotate, revoke, delete, and ask how they are.

A secret goes to Key Vault before the document that names it, and leaves it after the document is gone: a crash in
between leaves a secret that nobody names, never a document without its secret.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from castiel import redaction
from castiel.adapters.http import HttpPool
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.certificates import certificate_expiry, check_private_key
from castiel.domain.connections import REVOKED, Connection, ConnectionStatus
from castiel.domain.credential_health import (
    CredentialHealth,
    CredentialStatistics,
    assess,
    policy_of,
    summarise,
)
from castiel.domain.credentials import Credential, CredentialType, TokenSecret, refresh_method
from castiel.domain.ids import check_document_id
from castiel.domain.rotation import RotationPolicy, warn_at
from castiel.errors import CastielError, ConfigurationError, InUse, InvalidInput, NotFound
from castiel.ports.clock import Clock
from castiel.ports.secrets import SecretVault
from castiel.ports.stores import ConnectionStore, CredentialStore, RegistrationStore
from castiel.services.credentials.documents import update
from castiel.services.credentials.reader import CredentialReader
from castiel.services.credentials.refreshing import TokenRefresh
from castiel.services.credentials.token_pairs import secret_tags

logger = logging.getLogger(__name__)

GENERATED_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential to store. ``secret``: a token pair for ``oauth2``, else one secret's text (PEM for certificates
    and keys). Without one a webhook secret is generated, and an ``oauth2`` credential that signs for its tokens
    (``settings.refreshMethod``) gets the first when it is first used."""

    id: str
    tenant_id: str
    integration_id: str
    type: CredentialType
    secret: TokenSecret | SecretStr | None = None
    connection_id: str | None = None
    registration_id: str | None = None
    name: str | None = None
    expiry_time: datetime | None = None
    rotation: RotationPolicy | None = None
    companion_ids: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CredentialUsers:
    """The ids of the connections that authenticate with a credential, of the credentials it is a companion of, and of
    the webhook registration whose deliveries are signed with it."""

    connections: tuple[str, ...] = ()
    companion_of: tuple[str, ...] = ()
    registration: str | None = None

    def __bool__(self) -> bool:
        return bool(self.connections or self.companion_of or self.registration)

    def __str__(self) -> str:
        return ", ".join(
            [f"connection {each}" for each in self.connections]
            + [f"credential {each}, whose companion it is" for each in self.companion_of]
            + ([f"webhook {self.registration}"] if self.registration else [])
        )


class CredentialManagement:
    """Every method raises :class:`NotFound` for a credential that the tenant does not have."""

    def __init__(
        self,
        reader: CredentialReader,
        refreshing: TokenRefresh,
        credentials: CredentialStore,
        connections: ConnectionStore,
        registrations: RegistrationStore,
        vault: SecretVault,
        providers: ProviderRegistry,
        http: HttpPool,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._refreshing = refreshing
        self._credentials = credentials
        self._connections = connections
        self._registrations = registrations
        self._vault = vault
        self._providers = providers
        self._http = http
        self._clock = clock

    async def store(self, new: NewCredential) -> Credential:
        """Store a new credential. Raises :class:`~castiel.errors.AlreadyExists` and :class:`InvalidInput`."""
        # Before its secret is written: the vault would take it.
        check_document_id(new.id)
        now = self._clock.now()
        text, expiry = _checked(new.type, new.secret or _unissued(new, now), new.expiry_time)
        credential = Credential(
            id=new.id,
            tenant_id=new.tenant_id,
            integration_id=new.integration_id,
            type=new.type,
            connection_id=new.connection_id,
            registration_id=new.registration_id,
            name=new.name,
            secret_name=secret_name_of(new.tenant_id, new.id),
            expiry_time=expiry,
            rotation=new.rotation,
            companion_ids=list(new.companion_ids),
            settings=dict(new.settings),
            created_at=now,
            last_rotated_at=now,
        )
        try:
            await self._credentials.get(new.tenant_id, new.id)
        except NotFound:
            secret = await self._vault.set(credential.secret_name, text, tags=secret_tags(credential))
            credential.secret_version = secret.version
        credential.warn_at = _warning(credential)
        # Of one that exists the secret was left alone: this write says so.
        return await self._credentials.create(credential)

    async def get(self, tenant_id: str, credential_id: str) -> Credential:
        """The metadata."""
        return await self._credentials.get(tenant_id, credential_id)

    async def list(self, tenant_id: str) -> list[Credential]:
        """The metadata of all of a tenant's credentials."""
        return [credential async for credential in self._credentials.of_tenant(tenant_id)]

    async def get_secret(self, tenant_id: str, credential_id: str) -> SecretStr:
        """The secret of a credential that is no token pair."""
        stored = await self._reader.get(tenant_id, credential_id)
        if stored.credential.type is CredentialType.OAUTH2:
            raise InvalidInput(f"credential {credential_id} is a token pair: use get_credential")
        return stored.token.access_token

    async def rotate(
        self,
        tenant_id: str,
        credential_id: str,
        secret: SecretStr | None = None,
        *,
        expiry_time: datetime | None = None,
    ) -> Credential:
        """A new version of its secret; the one before can no longer be read. A token pair is refreshed.

        Raises :class:`InvalidInput` for the secret of a registration, which rotates with an overlap instead.
        """
        credential = await self._credentials.get(tenant_id, credential_id)
        if credential.type is CredentialType.OAUTH2:
            return (await self._refreshing.refresh(tenant_id, credential_id, lambda _: True)).credential
        if credential.registration_id is not None:
            raise InvalidInput(f"credential {credential_id} rotates with its registration's overlap")
        if secret is None and credential.type is not CredentialType.WEBHOOK_SECRET:
            raise InvalidInput(f"credential {credential_id}: give the new secret")
        text, expiry = _checked(credential.type, secret, expiry_time)
        before = credential.secret_version
        written = await self._vault.set(credential.secret_name, text, tags=secret_tags(credential))
        now = self._clock.now()

        def change(current: Credential) -> None:
            current.secret_version = written.version
            current.last_rotated_at = now
            current.expiry_time = expiry
            current.needs_reauth = False
            current.reauth_reason = current.last_error_code = current.consecutive_failures = None
            current.warn_at = _warning(current)

        rotated = await update(self._credentials, credential, change)
        self._reader.forget((tenant_id, credential_id))
        if before is not None and before != written.version:
            await self._vault.disable(credential.secret_name, before)
        if credential.needs_reauth:
            await self._refreshing.reauthorisation.resume(rotated)
        return rotated

    async def revoke(self, tenant_id: str, credential_id: str) -> Credential:
        """It serves nobody any more, from now on: withdrawn at the provider where it takes that, unreadable in the
        vault, its connections paused. The provider's refusal or silence is logged and stops nothing.

        Raises :class:`~castiel.errors.LeaseHeld` when a refresh goes on that does not end: then only the first and the
        last are done, and it can be called again.
        """
        credential = await self._credentials.get(tenant_id, credential_id)
        now = self._clock.now()

        def change(current: Credential) -> None:
            current.enabled = False
            current.revoked_at = now

        revoked = await update(self._credentials, credential, change)
        for connection in await self._connections.by_credential(tenant_id, credential_id):
            await update(self._connections, connection, _paused)
        # A refresh that is under way stores one more pair: that one, too, is withdrawn and made unreadable.
        async with self._refreshing.after_others(tenant_id, credential_id):
            if credential.type is CredentialType.OAUTH2:
                await self._withdraw(credential)
            for version in await self._vault.versions(credential.secret_name):
                await self._vault.disable(credential.secret_name, version)
            self._reader.forget((tenant_id, credential_id))
        return revoked

    async def users(self, tenant_id: str, credential_id: str) -> CredentialUsers:
        """Who could not do without it."""
        connections = await self._connections.by_credential(tenant_id, credential_id)
        return CredentialUsers(
            tuple(sorted(each.id for each in connections)),
            tuple(
                sorted(
                    [
                        each.id
                        async for each in self._credentials.of_tenant(tenant_id)
                        if credential_id in each.companion_ids
                    ]
                )
            ),
            await self._registration_of(tenant_id, credential_id),
        )

    async def _registration_of(self, tenant_id: str, credential_id: str) -> str | None:
        """The registration that its secret belongs to, while there is one."""
        try:
            registration_id = (await self._credentials.get(tenant_id, credential_id)).registration_id
            if registration_id is None:
                return None
            registration = await self._registrations.get(registration_id)
        except NotFound:
            return None
        return registration.id if registration.credential_id == credential_id else None

    async def delete(self, tenant_id: str, credential_id: str) -> None:
        """Forget it. Raises :class:`InUse` while a connection uses it, a credential that it belongs to, or a webhook
        whose every delivery would be refused without it."""
        await self._credentials.get(tenant_id, credential_id)
        users = await self.users(tenant_id, credential_id)
        if users:
            raise InUse(f"credential {credential_id} is used by {users}")
        # What a refresh that is under way stores would bring a deleted secret back.
        async with self._refreshing.after_others(tenant_id, credential_id):
            credential = await self._credentials.get(tenant_id, credential_id)
            await self._credentials.delete(credential)
            await self._vault.delete(credential.secret_name)
            self._reader.forget((tenant_id, credential_id))

    async def statistics(self, tenant_id: str) -> CredentialStatistics:
        """Counts over the tenant's credentials."""
        return summarise(await self.list(tenant_id), self._clock.now())

    async def health(self, tenant_id: str, credential_id: str) -> CredentialHealth:
        """The verdict on one of them."""
        return assess(await self._credentials.get(tenant_id, credential_id), self._clock.now())

    async def _withdraw(self, credential: Credential) -> None:
        """At the provider."""
        try:
            stored = self._reader.remember(credential, await self._reader.secret_of(credential))
            provider = self._providers.get(credential.integration_id)
            client = await self._reader.client_of(credential)
            connection = await self._refreshing.connection_of(credential)
            done = await provider.oauth.revoke(self._http, connection, client, stored.token)
        except CastielError as error:
            logger.warning(
                "credential %s could not be withdrawn at its provider: %s",
                credential.id,
                error,
                extra={"credentialId": credential.id, "tenantId": credential.tenant_id},
            )
            return
        logger.info(
            "credential revoked",
            extra={"credentialId": credential.id, "tenantId": credential.tenant_id, "atProvider": done},
        )


def secret_name_of(tenant_id: str, credential_id: str) -> str:
    """The Key Vault name of a credential's secret: readable, and never another tenant's.

    https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#object-identifiers
    """
    readable = re.sub(r"[^0-9A-Za-z]+", "-", credential_id).strip("-")[:60]
    own = hashlib.sha256(f"{tenant_id}\x00{credential_id}".encode()).hexdigest()[:24]
    return f"credential-{readable or 'id'}-{own}"


def generate_secret() -> SecretStr:
    """A random secret of 256 bits."""
    return SecretStr(secrets.token_urlsafe(GENERATED_BYTES))


def _unissued(new: NewCredential, now: datetime) -> TokenSecret | None:
    """A pair that has to be refreshed before its first use, for a method that needs no refresh token."""
    if new.type is not CredentialType.OAUTH2:
        return None
    try:
        method = refresh_method(new.settings)
    except ValueError:
        raise InvalidInput("settings.refreshMethod: nobody knows this method") from None
    return None if method.needs_refresh_token else TokenSecret(access_token=SecretStr(""), expiry_time=now)


def _checked(
    kind: CredentialType, secret: TokenSecret | SecretStr | None, expiry: datetime | None
) -> tuple[str, datetime | None]:
    """The text for the vault, and until when it is good."""
    if kind is CredentialType.OAUTH2:
        if not isinstance(secret, TokenSecret):
            raise InvalidInput("an oauth2 credential is a token pair")
        redaction.remember(secret.access_token, secret.refresh_token)
        return secret.to_json_text(), secret.expiry_time
    if secret is None and kind is CredentialType.WEBHOOK_SECRET:
        secret = generate_secret()
    if not isinstance(secret, SecretStr) or not secret.get_secret_value():
        raise InvalidInput(f"a credential of type {kind.value} is one secret that is not empty")
    redaction.remember(secret)
    text = secret.get_secret_value()
    if kind is CredentialType.CLIENT_CERTIFICATE:
        return text, certificate_expiry(text)
    if kind is CredentialType.CLIENT_PRIVATE_KEY:
        check_private_key(text)
    return text, expiry


def _warning(credential: Credential) -> datetime | None:
    if credential.type is CredentialType.OAUTH2:
        return None
    return warn_at(policy_of(credential), credential.last_rotated_at, credential.expiry_time)


def _paused(connection: Connection) -> bool:
    if connection.status is ConnectionStatus.PAUSED:
        return False
    connection.status = ConnectionStatus.PAUSED
    connection.status_reason = REVOKED
    return True


def require_registration(credential: Credential) -> str:
    """The registration that a webhook secret belongs to. Raises :class:`ConfigurationError`."""
    if credential.registration_id is None:
        raise ConfigurationError(f"credential {credential.id}, registrationId: missing")
    return credential.registration_id
