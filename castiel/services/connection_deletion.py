"""The end of a connection: what hangs on it goes first, so that whatever is cut off can be begun again.

What is left in the queues for it is dropped or ends as failed; see :mod:`castiel.services.push` and the workers.
Shards keep their fields, and their references to the records they are at the provider.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from castiel.domain.connections import Connection
from castiel.domain.tasks import SyncTask, TaskType
from castiel.domain.webhooks import Registration
from castiel.errors import Conflict, InUse, LeaseHeld, NotFound
from castiel.ports.coordination import Leases
from castiel.ports.stores import ConnectionStore, RegistrationStore, TaskStore
from castiel.services.credentials.management import CredentialManagement, CredentialUsers
from castiel.services.sync_tasks import connection_lease
from castiel.services.webhooks.at_provider import ProviderWebhooks

logger = logging.getLogger(__name__)

TRIES = 10


@dataclass(frozen=True, slots=True)
class Dependents:
    """What hangs on a connection."""

    connection: Connection
    tasks: tuple[SyncTask, ...]
    registrations: tuple[Registration, ...]
    credential: str | None
    """Its credential's id, where that is stored."""
    credential_users: CredentialUsers
    """Who else uses that."""

    def check(self, *, with_tasks: bool, with_webhooks: bool, with_credential: bool) -> None:
        """Raises :class:`InUse` for what would be left without its connection, or is not its alone."""
        running = [each.id for each in self.tasks if each.enabled and each.type is not TaskType.WEBHOOK]
        reasons: list[str] = []
        if running and not with_tasks:
            reasons.append(f"enabled tasks: {', '.join(sorted(running))} (--with-tasks deletes them, too)")
        if self.registrations and not with_webhooks:
            ids = ", ".join(sorted(each.id for each in self.registrations))
            reasons.append(f"webhooks: {ids} (--with-webhooks deletes them, too)")
        if reasons:
            raise InUse(f"connection {self.connection.id} is used by {'; '.join(reasons)}")
        if with_credential and self.credential_users:
            raise InUse(f"credential {self.credential} is used by {self.credential_users}, too")


class ConnectionDeletion:
    """Every method raises :class:`NotFound` for a connection that the tenant does not have."""

    def __init__(
        self,
        connections: ConnectionStore,
        tasks: TaskStore,
        registrations: RegistrationStore,
        credentials: CredentialManagement,
        webhooks: ProviderWebhooks,
        leases: Leases,
        *,
        lease_seconds: float,
    ) -> None:
        self._connections = connections
        self._tasks = tasks
        self._registrations = registrations
        self._credentials = credentials
        self._webhooks = webhooks
        self._leases = leases
        self._lease_seconds = lease_seconds

    async def dependents(self, tenant_id: str, connection_id: str) -> Dependents:
        """What hangs on it."""
        connection = await self._connections.get(tenant_id, connection_id)
        users = await self._credentials.users(tenant_id, connection.credential_id)
        return Dependents(
            connection,
            tuple(await self._tasks_of(connection)),
            tuple(
                [
                    each
                    async for each in self._registrations.of_tenant(tenant_id)
                    if each.connection_id == connection_id
                ]
            ),
            await self._credential_of(connection),
            CredentialUsers(
                tuple(each for each in users.connections if each != connection_id), users.companion_of
            ),
        )

    async def delete(
        self,
        tenant_id: str,
        connection_id: str,
        *,
        with_tasks: bool = False,
        with_webhooks: bool = False,
        with_credential: bool = False,
    ) -> Dependents:
        """Forget it, and what was said to go with it; returns what hung on it.

        Disabled tasks and those that webhooks made for themselves always go with it. Raises what
        :meth:`Dependents.check` raises, :class:`LeaseHeld` while a worker syncs the connection, and
        :class:`~castiel.errors.ConnectionPaused` when a webhook can't be deleted at the provider.
        """
        name = connection_lease(tenant_id, connection_id)
        # A worker in the middle of its work would write on for a task that is gone.
        async with self._leases.hold_many([name, f"{name}:push"], seconds=self._lease_seconds) as held:
            if len(held) < 2:
                raise LeaseHeld(f"connection {connection_id} is being synced: try again when that has ended")
            return await self._delete(
                tenant_id,
                connection_id,
                with_tasks=with_tasks,
                with_webhooks=with_webhooks,
                with_credential=with_credential,
            )

    async def _delete(
        self,
        tenant_id: str,
        connection_id: str,
        *,
        with_tasks: bool,
        with_webhooks: bool,
        with_credential: bool,
    ) -> Dependents:
        found = await self.dependents(tenant_id, connection_id)
        found.check(with_tasks=with_tasks, with_webhooks=with_webhooks, with_credential=with_credential)
        for registration in found.registrations:
            # While the connection can still be used at the provider.
            await self._webhooks.delete(tenant_id, registration.id)
        for task in found.tasks:
            await self._delete_task(task)
        if with_credential and found.credential is not None:
            # While it says where the provider is. It pauses the connection.
            await self._credentials.revoke(tenant_id, found.credential)
        await self._delete_connection(tenant_id, connection_id)
        if with_credential and found.credential is not None:
            await self._credentials.delete(tenant_id, found.credential)
        logger.info(
            "connection deleted",
            extra={
                "connectionId": connection_id,
                "tenantId": tenant_id,
                "integrationId": found.connection.integration_id,
            },
        )
        return found

    async def _delete_task(self, task: SyncTask) -> None:
        """Whatever the scheduler does with it meanwhile."""
        for _ in range(TRIES):
            try:
                await self._tasks.delete(task)
            except Conflict:
                try:
                    task = await self._tasks.get(task.tenant_id, task.id)
                except NotFound:
                    return
            else:
                return
        raise Conflict(f"task {task.id} keeps changing: try again")

    async def _delete_connection(self, tenant_id: str, connection_id: str) -> None:
        for _ in range(TRIES):
            try:
                await self._connections.delete(await self._connections.get(tenant_id, connection_id))
            except Conflict:
                continue
            return
        raise Conflict(f"connection {connection_id} keeps changing: try again")

    async def _tasks_of(self, connection: Connection) -> list[SyncTask]:
        return [
            task
            async for task in self._tasks.of_tenant(connection.tenant_id)
            if task.connection_id == connection.id
        ]

    async def _credential_of(self, connection: Connection) -> str | None:
        try:
            return (await self._credentials.get(connection.tenant_id, connection.credential_id)).id
        except NotFound:
            return None
