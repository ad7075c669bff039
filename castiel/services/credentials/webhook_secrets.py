"""Rotation of what does not renew itself: webhook secrets by Castiel, with an overlap; of the others, a warning.

A webhook secret keeps one Key Vault name. While a rotation overlaps, its registration accepts ``name`` (the newest
version) and ``name/version`` (the one before). Every step can be repeated, and a run goes on where one was cut off::

    note the old version → accept both → new version → receivers have read it → tell the provider → overlap over
        → accept the new one only

The old one is never dropped before the sender is known to have the new one: the provider's API took it, a delivery
was signed with it, or a person confirmed.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import SecretStr

from castiel import redaction
from castiel.adapters.registry import ProviderRegistry
from castiel.domain.credential_health import policy_of, rotation_of
from castiel.domain.credentials import Credential, CredentialType
from castiel.domain.rotation import RotationPolicy, RotationState, SecretOverlap, warn_at
from castiel.domain.webhooks import Registration
from castiel.errors import CastielError, ConnectionPaused
from castiel.ports.clock import Clock
from castiel.ports.secrets import SecretVault
from castiel.ports.stores import ConnectionStore, CredentialStore, RegistrationStore, WebhookAuditStore
from castiel.services.credentials.documents import update, update_registration
from castiel.services.credentials.management import generate_secret, require_registration
from castiel.services.credentials.refreshing import TokenRefresh
from castiel.services.credentials.token_pairs import secret_tags
from castiel.services.integrations import Integrations

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 60.0
"""Longer than a receiver keeps a registration and its secrets in memory."""


class TakesNewestSecret(Protocol):
    """What makes webhooks that end by themselves at the provider."""

    async def take_newest_secret(self, registration: Registration) -> bool:
        """Have another webhook, which sends with the newest secret. Returns whether it does."""


class SecretRotation:
    """Looks at every credential whose rotation or expiry is due."""

    def __init__(
        self,
        credentials: CredentialStore,
        registrations: RegistrationStore,
        connections: ConnectionStore,
        deliveries: WebhookAuditStore,
        vault: SecretVault,
        providers: ProviderRegistry,
        integrations: Integrations,
        clock: Clock,
        renewal: TakesNewestSecret,
        refreshing: TokenRefresh,
    ) -> None:
        """``refreshing``: whose lease says that nobody else replaces a credential's secret."""
        self._credentials = credentials
        self._registrations = registrations
        self._connections = connections
        self._deliveries = deliveries
        self._vault = vault
        self._providers = providers
        self._integrations = integrations
        self._clock = clock
        self._renewal = renewal
        self._refreshing = refreshing

    async def run(self) -> None:
        """Begin, continue and end rotations, and warn. What fails for one credential is logged; the rest goes on."""
        begun: list[Credential] = []
        try:
            async for credential in self._credentials.to_rotate(self._clock.now()):
                found = await self._look_at(credential)
                if found is not None:
                    begun.append(found)
        except CastielError as error:
            logger.error("rotation broke off: %s", error, extra={"error": error.code})
        if begun:
            await self._clock.sleep(SETTLE_SECONDS)
        for credential in begun:
            try:
                await self._tell_provider(credential)
            except CastielError as error:
                self._failed(credential, error)

    async def rotate(self, tenant_id: str, credential_id: str) -> Credential:
        """Begin a rotation now, unless one goes on already: both secrets are accepted when it returns; the provider is told by the next run.

        Raises :class:`NotFound`, and :class:`~castiel.errors.LeaseHeld` while another rotation of it does not end.
        """
        credential = await self._credentials.get(tenant_id, credential_id)
        if credential.overlap is not None and credential.overlap.dropped:
            # Over but for its last step: to go on with it would have the dropped secret accepted again.
            await self._end(credential, credential.overlap)
            credential = await self._credentials.get(tenant_id, credential_id)
        return await self._begin(credential)

    async def confirm(self, tenant_id: str, credential_id: str) -> Credential:
        """A person says that the sender has the new secret: the old one ends with the overlap."""
        credential = await self._credentials.get(tenant_id, credential_id)
        return await update(self._credentials, credential, _confirm)

    async def _look_at(self, credential: Credential) -> Credential | None:
        """The credential if a rotation was begun, whose provider is to be told."""
        policy = policy_of(credential)
        rotates = credential.type is CredentialType.WEBHOOK_SECRET and credential.registration_id is not None
        try:
            if not rotates:
                self._warn(credential)
            elif credential.overlap is not None:
                return await self._go_on(credential)
            elif policy is None or not policy.automatic:
                self._warn(credential)
            else:
                return await self._begin(credential)
        except CastielError as error:
            self._failed(credential, error)
        return None

    async def _begin(self, credential: Credential) -> Credential:
        """Up to where both are accepted and the new one exists. Two at once would make two, of which one is accepted."""
        async with self._refreshing.after_others(credential.tenant_id, credential.id):
            return await self._begin_alone(await self._credentials.get(credential.tenant_id, credential.id))

    async def _begin_alone(self, credential: Credential) -> Credential:
        registration_id = require_registration(credential)
        current = await self._vault.get(credential.secret_name)
        noted = _overlap(current.version, self._clock.now(), policy_of(credential))
        credential = await update(self._credentials, credential, lambda c: _note(c, noted))
        overlap = credential.overlap or noted
        name, old = credential.secret_name, f"{credential.secret_name}/{overlap.previous_version}"
        await update_registration(self._registrations, registration_id, lambda r: _accept(r, name, old))
        newest = await self._vault.get(name)
        if newest.version == overlap.previous_version:
            secret = generate_secret()
            redaction.remember(secret)
            newest = await self._vault.set(name, secret.get_secret_value(), tags=secret_tags(credential))
        now = self._clock.now()
        credential = await update(self._credentials, credential, lambda c: _has_new(c, newest.version, now))
        logger.info("webhook secret rotated", extra=_dimensions(credential))
        return credential

    async def _go_on(self, credential: Credential) -> Credential | None:
        overlap = credential.overlap
        if overlap is None or overlap.new_version is None:
            return await self._begin(credential)
        if not overlap.confirmed and self._is_new(credential):
            return credential
        if not overlap.confirmed:
            credential = await self._tell_provider(credential)
            overlap = credential.overlap or overlap
        if not overlap.confirmed:
            self._warn_unconfirmed(credential)
        elif overlap.ends_at <= self._clock.now():
            await self._end(credential, overlap)
        return None

    def _is_new(self, credential: Credential) -> bool:
        """Whether some receivers may not have read the newest secret yet, and would refuse what is signed with it."""
        rotated = credential.last_rotated_at
        return rotated is not None and self._clock.now() < rotated + timedelta(seconds=SETTLE_SECONDS)

    async def _tell_provider(self, credential: Credential) -> Credential:
        """Set the new secret at the provider where its API takes it; else see whether a delivery shows it."""
        registration = await self._registrations.get(require_registration(credential))
        if not (
            await self._set_there(credential, registration) or await self._seen(credential, registration)
        ):
            return credential
        return await update(self._credentials, credential, _confirm)

    async def _set_there(self, credential: Credential, registration: Registration) -> bool:
        try:
            if registration.renewal is not None:
                return await self._renewal.take_newest_secret(registration)
            set_secret = self._providers.get(registration.integration_id).set_webhook_secret
            if set_secret is None:
                return False
            connection = await self._connections.get(registration.tenant_id, registration.connection_id)
            secret = SecretStr((await self._vault.get(credential.secret_name)).value)
            return await set_secret(self._integrations.adapter(connection), registration, secret)
        except ConnectionPaused:
            return False

    async def _seen(self, credential: Credential, registration: Registration) -> bool:
        """Whether the newest verified delivery was signed with the newest secret."""
        since = (credential.last_rotated_at or self._clock.now()) + timedelta(seconds=SETTLE_SECONDS)
        async for delivery in self._deliveries.of_registration(registration.id, since):
            if delivery.verified and delivery.secret_index is not None:
                return delivery.secret_index == 0
        return False

    async def _end(self, credential: Credential, overlap: SecretOverlap) -> None:
        registration_id = require_registration(credential)
        name, old = credential.secret_name, f"{credential.secret_name}/{overlap.previous_version}"
        if not overlap.dropped:
            await update_registration(self._registrations, registration_id, lambda r: _drop(r, old))
            await update(self._credentials, credential, _dropped)
            return
        # By the next run no receiver remembers it.
        await self._vault.disable(name, overlap.previous_version)
        await update(self._credentials, credential, _ended)
        logger.info("old webhook secret dropped", extra=_dimensions(credential))

    def _warn(self, credential: Credential) -> None:
        state = rotation_of(credential, self._clock.now())
        if state is RotationState.OK:
            return
        level = logging.ERROR if state is RotationState.EXPIRED else logging.WARNING
        logger.log(
            level,
            "Credential %s should be replaced: %s",
            credential.id,
            state.value,
            extra={**_dimensions(credential), "alert": "credential_rotation", "state": state.value},
        )

    def _warn_unconfirmed(self, credential: Credential) -> None:
        logger.warning(
            "Webhook secret %s: set the new one at the provider; the old one is accepted until then",
            credential.id,
            extra={**_dimensions(credential), "alert": "webhook_secret_unconfirmed"},
        )

    @staticmethod
    def _failed(credential: Credential, error: CastielError) -> None:
        logger.error("rotation failed: %s", error, extra={**_dimensions(credential), "error": error.code})


def _overlap(version: str, now: datetime, policy: RotationPolicy | None) -> SecretOverlap:
    days = (policy or RotationPolicy()).overlap_days
    return SecretOverlap(previous_version=version, started_at=now, ends_at=now + timedelta(days=days))


def _note(credential: Credential, overlap: SecretOverlap) -> bool:
    if credential.overlap is not None:
        return False
    credential.overlap = overlap
    # Every run looks at it until it is over.
    credential.warn_at = overlap.started_at
    return True


def _accept(registration: Registration, name: str, old: str) -> bool:
    others = [each for each in registration.secret_names if each not in (name, old)]
    names = [name, old, *others]
    if registration.secret_names == names:
        return False
    registration.secret_names = names
    return True


def _drop(registration: Registration, old: str) -> bool:
    if old not in registration.secret_names:
        return False
    registration.secret_names = [each for each in registration.secret_names if each != old]
    return True


def _has_new(credential: Credential, version: str, now: datetime) -> bool:
    if credential.overlap is None or credential.overlap.new_version == version:
        return False
    credential.overlap.new_version = version
    credential.secret_version = version
    credential.last_rotated_at = now
    return True


def _confirm(credential: Credential) -> bool:
    if credential.overlap is None or credential.overlap.confirmed:
        return False
    credential.overlap.confirmed = True
    return True


def _dropped(credential: Credential) -> bool:
    if credential.overlap is None or credential.overlap.dropped:
        return False
    credential.overlap.dropped = True
    return True


def _ended(credential: Credential) -> None:
    credential.overlap = None
    credential.warn_at = warn_at(policy_of(credential), credential.last_rotated_at, credential.expiry_time)


def _dimensions(credential: Credential) -> dict[str, str]:
    return {
        "credentialId": credential.id,
        "tenantId": credential.tenant_id,
        "registrationId": credential.registration_id or "",
    }
