"""The secrets that a registration's deliveries are signed with."""

from __future__ import annotations

from pydantic import SecretStr

from castiel.domain.credentials import CredentialType
from castiel.domain.rotation import DEFAULT_POLICIES
from castiel.domain.webhooks import Registration
from castiel.services.credentials import SecureCredentialService
from castiel.services.credentials.management import NewCredential
from castiel.services.webhooks.first_secret import TAKEN


class RegistrationSecrets:
    """Issues, reads and deletes them. A new one that follows another is rotation's business."""

    def __init__(self, credentials: SecureCredentialService) -> None:
        self._credentials = credentials

    async def issue(self, registration: Registration, given: SecretStr | None) -> SecretStr:
        """A secret to sign with, ``given`` or generated: into Key Vault, as a credential of its own that rotates."""
        policy = DEFAULT_POLICIES["webhookSecret"]
        credential = await self._credentials.manage.store(
            NewCredential(
                f"webhook-{registration.id}",
                registration.tenant_id,
                registration.integration_id,
                CredentialType.WEBHOOK_SECRET,
                given,
                connection_id=registration.connection_id,
                registration_id=registration.id,
                # A secret that the sender chose is not ours to replace.
                rotation=policy if given is None else policy.model_copy(update={"automatic": False}),
            )
        )
        registration.credential_id = credential.id
        registration.secret_names = [credential.secret_name]
        return await self.newest(registration)

    async def newest(self, registration: Registration) -> SecretStr:
        """The one that its sender is to sign with now."""
        return SecretStr(await self._credentials.read_secret(registration.secret_names[0]))

    async def delete(self, registration: Registration) -> None:
        """Delete all of them, for a registration that is gone."""
        if registration.credential_id is not None:
            await self._credentials.manage.delete(registration.tenant_id, registration.credential_id)
        await self.delete_taken(registration)

    async def delete_taken(self, registration: Registration) -> None:
        """Delete those that the registration's sender handed over."""
        for name in registration.secret_names:
            if name.startswith(TAKEN):
                await self._credentials.delete_secret(name)
