"""A vault in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from castiel.errors import NotFound, VaultUnavailable
from castiel.ports.secrets import StoredSecret
from tests.support.fakes.crash import CrashPoints


class MemoryVault:
    """:class:`~castiel.ports.secrets.SecretVault`. ``down``: nothing is answered; ``refuse_sets``: so many sets fail.

    ``during_set`` runs while a set is under way.
    """

    def __init__(self, crash: CrashPoints | None = None) -> None:
        self._crash = crash or CrashPoints()
        self._versions: dict[str, list[StoredSecret]] = {}
        self._disabled: set[tuple[str, str]] = set()
        self._deleted: dict[str, list[StoredSecret]] = {}
        self.down = False
        self.refuse_sets = 0
        self.during_set: Callable[[], Awaitable[object]] | None = None
        self.retry_after: float | None = None
        self.calls: list[tuple[str, str]] = []

    async def get(self, name: str, version: str | None = None) -> StoredSecret:
        self._note("get", name)
        found = [
            secret
            for secret in self._versions.get(name, [])
            if (version is None or secret.version == version)
        ]
        if not found or (name, found[-1].version) in self._disabled:
            raise NotFound("no such secret")
        return found[-1]

    async def set(self, name: str, value: str, *, tags: dict[str, str] | None = None) -> StoredSecret:
        self._note("set", name)
        if self.during_set is not None:
            await self.during_set()
        if self.refuse_sets > 0:
            self.refuse_sets -= 1
            raise VaultUnavailable("Key Vault: throttled", retry_after=self.retry_after)
        if name in self._deleted:
            self._versions[name] = self._deleted.pop(name)
        versions = self._versions.setdefault(name, [])
        secret = StoredSecret(name, f"v{len(versions) + 1}", value)
        versions.append(secret)
        self._crash.reach("after-vault")
        return secret

    async def delete(self, name: str) -> None:
        self._note("delete", name)
        if name in self._versions:
            self._deleted[name] = self._versions.pop(name)

    async def versions(self, name: str) -> list[str]:
        self._note("versions", name)
        return [s.version for s in self._versions.get(name, []) if (name, s.version) not in self._disabled]

    async def disable(self, name: str, version: str) -> None:
        self._note("disable", name)
        if any(secret.version == version for secret in self._versions.get(name, [])):
            self._disabled.add((name, version))

    def _note(self, operation: str, name: str) -> None:
        self.calls.append((operation, name))
        if self.down:
            raise VaultUnavailable("Key Vault: status 503", retry_after=self.retry_after)
