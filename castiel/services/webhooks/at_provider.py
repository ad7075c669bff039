"""Registrations whose webhook Castiel makes and deletes at the provider itself, where the provider's API does that."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from castiel.adapters.base import CreateWebhook, MadeWebhook
from castiel.domain.webhooks import Registration
from castiel.errors import CastielError, ConnectionPaused, InvalidInput, NotFound
from castiel.ports.stores import ConnectionStore, RegistrationStore
from castiel.services.credentials.documents import update_registration
from castiel.services.integrations import Integrations
from castiel.services.webhooks.management import (
    IssuedRegistration,
    NewRegistration,
    WebhookRegistrations,
    path_of,
)
from castiel.services.webhooks.renewal import WebhookRenewal

logger = logging.getLogger(__name__)


class ProviderWebhooks:
    """Every method raises :class:`~castiel.errors.NotFound` for what the tenant does not have."""

    def __init__(
        self,
        manage: WebhookRegistrations,
        registrations: RegistrationStore,
        connections: ConnectionStore,
        integrations: Integrations,
        renewal: WebhookRenewal,
    ) -> None:
        self._manage = manage
        self._registrations = registrations
        self._connections = connections
        self._integrations = integrations
        self._renewal = renewal

    async def create(self, new: NewRegistration, base_url: str) -> IssuedRegistration:
        """A registration, and its webhook at the provider, which sends to the app at ``base_url``.

        The secret goes to the provider and is not handed out. What the provider refuses leaves no registration.
        Raises :class:`InvalidInput` for a provider that has no such API, and ProviderError.
        """
        connection = await self._connections.get(new.tenant_id, new.connection_id)
        make = self._maker(connection.integration_id)
        _check(base_url)
        issued = await self._manage.create(new)
        registration = issued.registration
        try:
            if issued.secret is None:
                raise InvalidInput("scheme: the provider signs with a secret, and this scheme has none")
            address = base_url.rstrip("/") + path_of(registration)
            if self._integrations.provider(connection.integration_id).webhooks_end:
                registration = await self._renewal.begin(registration, address)
            else:
                adapter = self._integrations.adapter(connection)
                made = await make(adapter, registration, address, issued.secret)
                registration = await self._name(registration, made)
        except CastielError:
            await self._manage.delete(new.tenant_id, registration.id)
            raise
        logger.info(
            "webhook made at the provider",
            extra={"registrationId": registration.id, "tenantId": registration.tenant_id},
        )
        return IssuedRegistration(registration, issued.path)

    async def _name(self, registration: Registration, made: MadeWebhook) -> Registration:
        def change(current: Registration) -> None:
            current.settings = {**current.settings, **made.settings}

        return await update_registration(self._registrations, registration.id, change)

    async def delete(self, tenant_id: str, registration_id: str) -> bool:
        """Delete the webhook at the provider, if the registration names one, and then the registration.

        Returns whether it was deleted there. What the provider refuses leaves the registration as it is.
        """
        registration = await self._manage.get(tenant_id, registration_id)
        there = await self._delete_there(registration)
        await self._manage.delete(tenant_id, registration_id)
        return there

    async def _delete_there(self, registration: Registration) -> bool:
        remove = self._integrations.provider(registration.integration_id).delete_webhook
        if remove is None or not registration.settings:
            return False
        try:
            connection = await self._connections.get(registration.tenant_id, registration.connection_id)
            adapter = self._integrations.adapter(connection)
        except (NotFound, ConnectionPaused):
            raise ConnectionPaused(
                f"connection {registration.connection_id} can't be used: delete the webhook here alone, and at"
                " the provider by hand"
            ) from None
        for past in registration.renewal.past if registration.renewal else ():
            await remove(adapter, registration.model_copy(update={"settings": past.settings}))
        return await remove(adapter, registration)

    def _maker(self, integration_id: str) -> CreateWebhook:
        provider = self._integrations.provider(integration_id)
        if provider.create_webhook is None:
            raise InvalidInput(
                f"{provider.title} has no API for this: set the address and the secret there by hand"
            )
        return provider.create_webhook


def _check(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("url: give the app's address, https://…")
