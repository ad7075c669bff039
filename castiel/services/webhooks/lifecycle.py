"""Events about the connection itself: its grant was withdrawn, the app was suspended. Never a change of a record."""

from __future__ import annotations

import logging
from collections.abc import Callable

from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.webhooks import Delivery, Registration
from castiel.errors import NotFound, ReauthRequired
from castiel.ports.stores import ConnectionStore, CredentialStore
from castiel.services.credentials.documents import update
from castiel.services.credentials.reauthorisation import Reauthorisation

logger = logging.getLogger(__name__)

_DEAD = frozenset({"revoked", "uninstalled"})
SUSPENDED = "suspended_at_provider"
"""Why a connection is paused, so that ``resumed`` does not undo what a person did."""


class ConnectionLifecycle:
    """Marks what an event says of its registration's connection. Saying it again changes nothing."""

    def __init__(
        self, connections: ConnectionStore, credentials: CredentialStore, reauthorisation: Reauthorisation
    ) -> None:
        self._connections = connections
        self._credentials = credentials
        self._reauthorisation = reauthorisation

    async def apply(self, registration: Registration, delivery: Delivery) -> str | None:
        """Act on the delivery's lifecycle events; returns the last one's name, ``None`` where there is none."""
        found = [event.lifecycle for event in delivery.events if event.lifecycle]
        for lifecycle in found:
            try:
                await self._apply(registration, lifecycle)
            except NotFound:
                logger.warning("a lifecycle event's connection is gone", extra=_dimensions(registration))
        return found[-1] if found else None

    async def _apply(self, registration: Registration, lifecycle: str) -> None:
        logger.warning(
            "connection %s: its provider says %s",
            registration.connection_id,
            lifecycle,
            extra={**_dimensions(registration), "lifecycle": lifecycle},
        )
        if lifecycle in _DEAD:
            await self._require_reauthorisation(registration, lifecycle)
        elif lifecycle == "suspended":
            await self._change(registration, _suspend)
        elif lifecycle == "resumed":
            await self._change(registration, _resume)

    async def _require_reauthorisation(self, registration: Registration, lifecycle: str) -> None:
        connection = await self._connections.get(registration.tenant_id, registration.connection_id)
        credential = await self._credentials.get(registration.tenant_id, connection.credential_id)
        if credential.needs_reauth:
            return
        error = ReauthRequired(f"the provider says {lifecycle}", provider_code=lifecycle)
        await self._reauthorisation.require(credential, error, lifecycle)

    async def _change(self, registration: Registration, change: Callable[[Connection], bool | None]) -> None:
        connection = await self._connections.get(registration.tenant_id, registration.connection_id)
        await update(self._connections, connection, change)


def _suspend(connection: Connection) -> bool:
    if connection.status is not ConnectionStatus.ACTIVE:
        return False
    connection.status = ConnectionStatus.PAUSED
    connection.status_reason = SUSPENDED
    return True


def _resume(connection: Connection) -> bool:
    if connection.status is not ConnectionStatus.PAUSED or connection.status_reason != SUSPENDED:
        return False
    connection.status = ConnectionStatus.ACTIVE
    connection.status_reason = None
    return True


def _dimensions(registration: Registration) -> dict[str, str]:
    return {
        "registrationId": registration.id,
        "tenantId": registration.tenant_id,
        "connectionId": registration.connection_id,
    }
