"""When a grant is dead: everything of the credential stops, and somebody is told. And when it lives again."""

from __future__ import annotations

import logging

from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.credentials import Credential
from castiel.errors import ReauthRequired
from castiel.ports.messaging import Event, EventPublisher
from castiel.ports.stores import ConnectionStore, CredentialStore
from castiel.services.credentials.documents import update

logger = logging.getLogger(__name__)

NO_CODE = "refused"


class Reauthorisation:
    """Marks and unmarks credentials; pauses and resumes their connections."""

    def __init__(
        self, credentials: CredentialStore, connections: ConnectionStore, events: EventPublisher
    ) -> None:
        self._credentials = credentials
        self._connections = connections
        self._events = events

    async def require(self, credential: Credential, error: ReauthRequired, attempt_outcome: str) -> None:
        """No more attempts until a person has re-authorised: connections, alert, event, and the credential last.

        The mark ends the attempts, so it comes when the rest is done: a crash in between repeats the alert.
        """
        reason = error.provider_code or NO_CODE
        for connection in await self._connections.by_credential(credential.tenant_id, credential.id):
            await update(self._connections, connection, lambda c: _pause(c, reason))
        self._alert(credential, reason)
        await self._events.publish(
            Event(
                "castiel.credential.reauth_required",
                f"credentials/{credential.id}",
                {
                    "credentialId": credential.id,
                    "integrationId": credential.integration_id,
                    "reason": reason,
                },
                credential.tenant_id,
            )
        )
        await update(self._credentials, credential, lambda c: _mark(c, reason, error.code, attempt_outcome))

    async def resume(self, credential: Credential) -> list[Connection]:
        """A person has re-authorised: its connections work again. Those that a person paused stay paused."""
        waiting = await self._connections.by_credential(credential.tenant_id, credential.id)
        resumed = [
            await update(self._connections, connection, _resume)
            for connection in waiting
            if connection.needs_authorization and credential.enabled
        ]
        logger.info(
            "credential authorised again",
            extra={
                "credentialId": credential.id,
                "tenantId": credential.tenant_id,
                "connections": len(resumed),
            },
        )
        return resumed

    @staticmethod
    def _alert(credential: Credential, reason: str) -> None:
        logger.error(
            "Credential %s requires reauth",
            credential.id,
            extra={
                "function": "TokenRefresher",
                "credentialId": credential.id,
                "tenantId": credential.tenant_id,
                "integrationId": credential.integration_id,
                "reason": reason,
                "alert": "reauth_required",
            },
        )


def _pause(connection: Connection, reason: str) -> bool:
    if connection.status is not ConnectionStatus.ACTIVE:
        return False
    connection.status = ConnectionStatus.NEEDS_REAUTH
    connection.status_reason = reason
    return True


def _resume(connection: Connection) -> bool:
    if not connection.needs_authorization:
        return False
    connection.status = ConnectionStatus.ACTIVE
    connection.status_reason = None
    return True


def _mark(credential: Credential, reason: str, error_code: str, attempt_outcome: str) -> None:
    credential.needs_reauth = True
    credential.reauth_reason = reason
    credential.last_error_code = error_code
    credential.consecutive_failures = (credential.consecutive_failures or 0) + 1
    if credential.last_attempt is not None:
        credential.last_attempt.outcome = attempt_outcome
