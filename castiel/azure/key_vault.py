"""Key Vault secrets, with its failures as Castiel's errors."""

from __future__ import annotations

from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.keyvault.secrets.aio import SecretClient

from castiel.errors import CastielError, ConfigurationError, NotFound, VaultUnavailable
from castiel.ports.secrets import StoredSecret


class KeyVault:
    """:class:`~castiel.ports.secrets.SecretVault` on Key Vault."""

    def __init__(self, client: SecretClient) -> None:
        self._client = client

    async def get(self, name: str, version: str | None = None) -> StoredSecret:
        try:
            secret = await self._client.get_secret(name, version)
        except (AzureError, TimeoutError) as error:
            raise _translate(error) from error
        return StoredSecret(name, secret.properties.version or "", secret.value or "")

    async def set(self, name: str, value: str, *, tags: dict[str, str] | None = None) -> StoredSecret:
        try:
            secret = await self._client.set_secret(name, value, content_type="application/json", tags=tags)
        except (AzureError, TimeoutError) as error:
            raise _translate(error) from error
        return StoredSecret(name, secret.properties.version or "", value)

    async def delete(self, name: str) -> None:
        try:
            await self._client.delete_secret(name)
        except ResourceNotFoundError:
            return
        except (AzureError, TimeoutError) as error:
            raise _translate(error) from error


def _translate(error: BaseException) -> CastielError:
    """https://learn.microsoft.com/azure/key-vault/general/rest-error-codes"""
    if isinstance(error, ResourceNotFoundError):
        return NotFound("no such secret")
    if isinstance(error, ClientAuthenticationError):
        return ConfigurationError(
            "KEY_VAULT_URL: Key Vault refused this identity; give it Key Vault Secrets Officer"
        )
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status is None or status in (408, 429) or status >= 500:
        response: Any = getattr(error, "response", None)
        headers = response.headers if response is not None else {}
        retry_after = headers.get("Retry-After", "")
        seconds = float(retry_after) if retry_after.isdigit() else None
        return VaultUnavailable(f"Key Vault: {status or type(error).__name__}", retry_after=seconds)
    if status == 403:
        return ConfigurationError(
            "KEY_VAULT_URL: Key Vault forbids this; check the identity's role and the secret"
        )
    return CastielError(f"Key Vault answered {status}")
