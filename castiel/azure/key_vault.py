"""Key Vault secrets, with its failures as Castiel's errors."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.keyvault.secrets.aio import SecretClient

from castiel.errors import CastielError, ConfigurationError, NotFound, VaultUnavailable
from castiel.ports.secrets import StoredSecret

T = TypeVar("T")

DELETED = "ObjectIsDeletedButRecoverable"
SETTLING = frozenset({"ObjectIsBeingDeleted", "ObjectIsBeingRecovered"})
SETTLING_SECONDS = 5.0
THROTTLED_SECONDS = 1.0
"""How long to leave a vault alone that says 429 without a time."""


class KeyVault:
    """:class:`~castiel.ports.secrets.SecretVault` on Key Vault.

    A 429 that outlives the SDK's own retries closes the vault for this process for as long as it asked: nobody
    else runs into it (https://learn.microsoft.com/azure/key-vault/general/overview-throttling).
    """

    def __init__(self, client: SecretClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._closed_until = 0.0

    async def get(self, name: str, version: str | None = None) -> StoredSecret:
        try:
            secret = await self._ask(self._client.get_secret, name, version)
        except HttpResponseError as error:
            if error.status_code == 403 and _inner_code(error) == "SecretDisabled":
                raise NotFound("the secret's version is disabled") from error
            raise self._translate(error) from error
        return StoredSecret(name, secret.properties.version or "", secret.value or "")

    async def set(self, name: str, value: str, *, tags: dict[str, str] | None = None) -> StoredSecret:
        try:
            secret = await self._write(name, value, tags)
        except ResourceExistsError as error:
            if _inner_code(error) != DELETED:
                raise self._translate(error) from error
            await self._recover(name)
            try:
                secret = await self._write(name, value, tags)
            except HttpResponseError as still:
                raise self._translate(still) from still
        except HttpResponseError as error:
            raise self._translate(error) from error
        return StoredSecret(name, secret.properties.version or "", value)

    async def delete(self, name: str) -> None:
        try:
            await self._ask(self._client.delete_secret, name)
        except ResourceNotFoundError:
            return
        except HttpResponseError as error:
            raise self._translate(error) from error

    async def versions(self, name: str) -> list[str]:
        try:
            found = [
                each async for each in self._client.list_properties_of_secret_versions(name) if each.enabled
            ]
        except ResourceNotFoundError:
            return []
        except (AzureError, TimeoutError) as error:
            raise self._translate(error) from error
        found.sort(key=lambda each: each.created_on.timestamp() if each.created_on else 0.0)
        return [each.version for each in found if each.version]

    async def disable(self, name: str, version: str) -> None:
        try:
            await self._client.update_secret_properties(name, version, enabled=False)
        except ResourceNotFoundError:
            return
        except (AzureError, TimeoutError) as error:
            raise self._translate(error) from error

    async def _write(self, name: str, value: str, tags: dict[str, str] | None) -> Any:
        return await self._ask(
            self._client.set_secret, name, value, content_type="application/json", tags=tags
        )

    async def _recover(self, name: str) -> None:
        try:
            await self._client.recover_deleted_secret(name)
        except (AzureError, TimeoutError) as error:
            raise self._translate(error) from error

    async def _ask(self, call: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
        """One call, unless the vault is closed. HTTP refusals are the caller's to read."""
        wait = self._closed_until - self._monotonic()
        if wait > 0:
            raise VaultUnavailable("Key Vault: throttled, asked to wait", retry_after=wait)
        try:
            return await call(*arguments, **options)
        except HttpResponseError:
            raise
        except (AzureError, TimeoutError) as error:
            raise self._translate(error) from error

    def _translate(self, error: BaseException) -> CastielError:
        """https://learn.microsoft.com/azure/key-vault/general/rest-error-codes"""
        translated = _translate(error)
        if isinstance(error, HttpResponseError) and error.status_code == 429:
            self._closed_until = self._monotonic() + (translated.retry_after or THROTTLED_SECONDS)
        return translated


def _translate(error: BaseException) -> CastielError:
    if isinstance(error, ResourceNotFoundError):
        return NotFound("no such secret")
    if isinstance(error, ClientAuthenticationError):
        return ConfigurationError(
            "KEY_VAULT_URL: Key Vault refused this identity; give it Key Vault Secrets Officer"
        )
    if isinstance(error, HttpResponseError) and _inner_code(error) in SETTLING:
        return VaultUnavailable("Key Vault: the secret is being deleted", retry_after=SETTLING_SECONDS)
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status is None or status in (408, 429) or status >= 500:
        reason = "throttled" if status == 429 else f"status {status}" if status else type(error).__name__
        return VaultUnavailable(f"Key Vault: {reason}", retry_after=_retry_after(error))
    if status == 403:
        return ConfigurationError(
            "KEY_VAULT_URL: Key Vault forbids this; check the identity's role and the secret"
        )
    return CastielError(f"Key Vault answered {status}")


def _retry_after(error: BaseException) -> float | None:
    response: Any = getattr(error, "response", None)
    text = response.headers.get("Retry-After", "") if response is not None else ""
    try:
        return max(0.0, float(text))
    except ValueError:
        return None


def _inner_code(error: HttpResponseError) -> str | None:
    """The code that tells the kinds of a refusal apart (``error.innererror.code``)."""
    body: Any = getattr(error.error, "innererror", None)
    return body.get("code") if isinstance(body, dict) else None
