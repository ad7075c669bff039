"""The vault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One version of a secret. Its value is not shown by ``repr``."""

    name: str
    version: str
    value: str

    def __repr__(self) -> str:
        return f"StoredSecret(name={self.name!r}, version={self.version!r})"


class SecretVault(Protocol):
    """Key Vault. Raises :class:`~castiel.errors.VaultUnavailable` when it doesn't answer or asks to slow down."""

    async def get(self, name: str, version: str | None = None) -> StoredSecret:
        """The newest (or one) version. Raises :class:`~castiel.errors.NotFound`."""

    async def set(self, name: str, value: str, *, tags: dict[str, str] | None = None) -> StoredSecret:
        """A new version; durable when it returns."""

    async def delete(self, name: str) -> None:
        """Delete all versions (recoverable as the vault's policy says). What is gone already is fine."""
