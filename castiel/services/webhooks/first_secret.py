"""The secret that a sender hands over by its first delivery, before anything could be signed with it (Notion).

https://developers.notion.com/reference/webhooks: the ``verification_token`` of a new subscription is the key of all
its signatures.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from castiel import redaction
from castiel.domain.webhooks import Registration, WebhookRequest
from castiel.errors import Conflict, NotFound
from castiel.ports.secrets import SecretVault
from castiel.ports.stores import RegistrationStore
from castiel.services.webhooks.registrations import RegistrationCache

logger = logging.getLogger(__name__)

TAKEN = "webhook-token-"
"""How the names of secrets begin that were taken so: each is one registration's alone."""


@runtime_checkable
class OffersSecret(Protocol):
    """A webhook format whose sender chooses the secret and hands it over."""

    def offered_secret(self, request: WebhookRequest) -> SecretStr | None:
        """The secret, if the delivery does nothing but hand one over."""


class FirstSecret:
    """Takes it once, and only while an operator has the registration wait for it."""

    def __init__(
        self, registrations: RegistrationStore, vault: SecretVault, cache: RegistrationCache
    ) -> None:
        self._registrations = registrations
        self._vault = vault
        self._cache = cache

    async def take(self, registration: Registration, offer: SecretStr) -> bool:
        """Make the offer the registration's secret. False when it no longer waits for one.

        The secret is in the vault before the registration names it, under a name of its own: of two offers at once
        only the one whose name is written counts.
        """
        current = await self._registrations.get(registration.id)
        if not current.pending_verification or current.secret_names or not current.enabled:
            self._cache.forget(registration.id)
            return False
        redaction.remember(offer)
        name = _name_for(registration, offer)
        tags = {"registrationId": registration.id, "tenantId": registration.tenant_id}
        await self._vault.set(name, offer.get_secret_value(), tags=tags)
        current.pending_verification = False
        current.secret_names = [name]
        try:
            await self._registrations.replace(current)
        except (Conflict, NotFound):
            taken = await self._secret_names(registration.id)
            if name not in taken:
                await self._vault.delete(name)
            return name in taken
        finally:
            self._cache.forget(registration.id)
        logger.info(
            "verification token stored",
            extra={"registrationId": registration.id, "tenantId": registration.tenant_id},
        )
        return True

    async def _secret_names(self, registration_id: str) -> list[str]:
        try:
            return (await self._registrations.get(registration_id)).secret_names
        except NotFound:
            return []


def _name_for(registration: Registration, offer: SecretStr) -> str:
    about = f"{registration.id}\x00{offer.get_secret_value()}"
    return f"{TAKEN}{hashlib.sha256(about.encode()).hexdigest()[:40]}"
