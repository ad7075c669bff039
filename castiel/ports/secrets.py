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
    """Key Vault. Raises :class:`~castiel.errors.VaultUnavailable` when it doesn't answer or asks to slow down,
    with ``retry_after`` where it said for how long."""

    async def get(self, name: str, version: str | None = None) -> StoredSecret:
        """The newest (or one) version. Raises :class:`~castiel.errors.NotFound`, also for a disabled version."""

    async def set(self, name: str, value: str, *, tags: dict[str, str] | None = None) -> StoredSecret:
        """A new version; durable when it returns. A deleted secret of that name is recovered first."""

    async def delete(self, name: str) -> None:
        """Delete all versions (recoverable as the vault's policy says). What is gone already is fine."""

    async def versions(self, name: str) -> list[str]:
        """The enabled versions, oldest first; none for a secret that does not exist."""

    async def disable(self, name: str, version: str) -> None:
        """Make one version unreadable. What is gone already is fine."""
