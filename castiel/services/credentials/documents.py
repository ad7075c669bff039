"""Read-modify-write of a tenant's document, whoever else writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from castiel.domain.connections import Connection
from castiel.domain.credentials import Credential
from castiel.domain.webhooks import Registration
from castiel.errors import Conflict

D = TypeVar("D", Connection, Credential)
TRIES = 10


class TenantStore(Protocol[D]):
    """A store of documents that belong to tenants."""

    async def get(self, tenant_id: str, document_id: str, /) -> D: ...
    async def replace(self, document: D, /) -> D: ...


class RegistrationsById(Protocol):
    """The registrations, which are found by id alone."""

    async def get(self, registration_id: str) -> Registration: ...
    async def replace(self, registration: Registration) -> Registration: ...


async def update(store: TenantStore[D], document: D, change: Callable[[D], bool | None]) -> D:
    """Apply ``change`` and write; when somebody wrote meanwhile, read again and apply it to that.

    ``change`` returns False when there is nothing to write (any more). Raises :class:`Conflict` when others keep
    winning, and what the store raises.
    """
    document = document.copy_of()
    for _ in range(TRIES):
        if change(document) is False:
            return document
        try:
            return await store.replace(document)
        except Conflict:
            document = await store.get(document.tenant_id, document.id)
    raise Conflict(f"{type(document).__name__} {document.id}: others keep writing it")


async def update_registration(
    store: RegistrationsById, registration_id: str, change: Callable[[Registration], bool | None]
) -> Registration:
    """The same for a registration."""
    for _ in range(TRIES):
        registration = (await store.get(registration_id)).copy_of()
        if change(registration) is False:
            return registration
        try:
            return await store.replace(registration)
        except Conflict:
            continue
    raise Conflict(f"registration {registration_id}: others keep writing it")
