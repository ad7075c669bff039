"""The end of a connection over stores in memory: what keeps it, what goes with it, and what a crash leaves."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import SecretStr

from castiel.domain.connections import Connection
from castiel.domain.credentials import CredentialType
from castiel.domain.tasks import SyncMode, SyncTask, TaskType
from castiel.domain.webhooks import Registration
from castiel.errors import InUse, LeaseHeld, NotFound, StoreUnavailable
from castiel.services.connection_deletion import ConnectionDeletion
from castiel.services.credentials.management import NewCredential
from castiel.services.sync_tasks import connection_lease
from castiel.services.webhooks.at_provider import ProviderWebhooks
from tests.support.credentials import CREDENTIAL, TENANT, World
from tests.support.fakes.documents import MemoryRegistrations
from tests.support.fakes.records import MemoryTasks

CONNECTION = f"conn-{CREDENTIAL}"
ALL = {"with_tasks": True, "with_webhooks": True, "with_credential": True}


class _Tasks(MemoryTasks):
    """``restless``: the scheduler writes each task once between our read and our delete."""

    restless = False

    async def delete(self, task: SyncTask) -> None:
        if self.restless:
            self.restless = False
            await self.replace(await self.get(task.tenant_id, task.id))
        await super().delete(task)


class _Webhooks:
    def __init__(self, registrations: MemoryRegistrations) -> None:
        self._registrations = registrations

    async def delete(self, tenant_id: str, registration_id: str) -> bool:
        await self._registrations.delete(await self._registrations.get(registration_id))
        return False


class Ending:
    """A connection that somebody has authorised, and its end."""

    def __init__(self) -> None:
        self.world = World()
        self.tasks, self.registrations = _Tasks(), MemoryRegistrations()
        self.manage = self.world.process().manage
        self.service = ConnectionDeletion(
            self.world.connections,
            self.tasks,
            self.registrations,
            self.manage,
            cast("ProviderWebhooks", _Webhooks(self.registrations)),
            self.world.leases,
            lease_seconds=30,
        )

    async def task(self, name: str, **more: Any) -> SyncTask:
        values: dict[str, Any] = {"connection_id": CONNECTION, **more}
        return await self.tasks.create(
            SyncTask(
                id=name, integration_id="salesforce", tenant_id=TENANT, sync_mode=SyncMode.PULL, **values
            )
        )

    async def registration(self, name: str, connection_id: str = CONNECTION) -> None:
        await self.registrations.create(
            Registration(
                id=name,
                tenant_id=TENANT,
                integration_id="salesforce",
                connection_id=connection_id,
                scheme="standard-webhooks",
            )
        )

    async def delete(self, **options: bool) -> None:
        await self.service.delete(TENANT, CONNECTION, **options)

    async def connections(self) -> list[str]:
        return sorted(each.id for each in await self.world.connections.of_tenant(TENANT))

    def left(self) -> tuple[list[str], list[str]]:
        return sorted(t.id for t in self.tasks.all()), sorted(r.id for r in self.registrations.all())


@pytest.fixture
async def ending() -> Ending:
    ending = Ending()
    await ending.world.plant()
    await ending.world.connections.create(
        Connection(id="conn-b", tenant_id=TENANT, integration_id="salesforce", credential_id="cred-b")
    )
    await ending.task("theirs", connection_id="conn-b")
    await ending.registration("wh-theirs", "conn-b")
    return ending


async def test_what_uses_it_keeps_it_and_is_named(ending: Ending) -> None:
    await ending.task("hourly")
    await ending.registration("wh-1")
    with pytest.raises(InUse, match=r"enabled tasks: hourly .*webhooks: wh-1 "):
        await ending.delete()
    with pytest.raises(InUse, match="webhooks: wh-1"):
        await ending.delete(with_tasks=True)
    assert ending.left() == (["hourly", "theirs"], ["wh-1", "wh-theirs"])
    await ending.delete(with_tasks=True, with_webhooks=True)
    assert ending.left() == (["theirs"], ["wh-theirs"])
    assert await ending.connections() == ["conn-b"]
    # Without a word about it, the credential stays, and still serves.
    assert (await ending.manage.get(TENANT, CREDENTIAL)).enabled
    with pytest.raises(NotFound):
        await ending.delete()


async def test_what_can_do_nothing_without_it_goes_unasked(ending: Ending) -> None:
    await ending.task("asleep", enabled=False)
    await ending.task("webhook-1", type=TaskType.WEBHOOK)
    ending.tasks.restless = True
    await ending.delete()
    assert ending.left() == (["theirs"], ["wh-theirs"])


async def test_its_credential_goes_when_it_is_said_and_nobody_elses(ending: Ending) -> None:
    other = await ending.world.connections.get(TENANT, "conn-b")
    other.credential_id = CREDENTIAL
    await ending.world.connections.replace(other)
    with pytest.raises(InUse, match=f"{CREDENTIAL} is used by connection conn-b"):
        await ending.delete(with_credential=True)
    assert await ending.connections() == ["conn-b", CONNECTION]
    assert (await ending.manage.get(TENANT, CREDENTIAL)).enabled
    other.credential_id = "cred-b"
    await ending.world.connections.replace(other)

    await ending.manage.store(
        NewCredential("key-1", TENANT, "salesforce", CredentialType.API_KEY, SecretStr("made-up-key-of-acme"))
    )
    await ending.delete(with_credential=True)
    assert [each.id for each in await ending.manage.list(TENANT)] == ["key-1"]
    with pytest.raises(NotFound):
        await ending.world.vault.get(f"credential-{CREDENTIAL}")


async def test_one_that_was_never_authorised_has_no_credential_to_delete(ending: Ending) -> None:
    found = await ending.service.dependents(TENANT, "conn-b")
    assert (found.credential, [each.id for each in found.tasks]) == (None, ["theirs"])
    await ending.service.delete(TENANT, "conn-b", **ALL)
    assert await ending.connections() == [CONNECTION]


@pytest.mark.parametrize("lease", [CONNECTION, f"{CONNECTION}:push"])
async def test_a_worker_at_work_comes_first(ending: Ending, lease: str) -> None:
    async with ending.world.leases.hold(connection_lease(TENANT, lease), seconds=30):
        with pytest.raises(LeaseHeld, match="is being synced"):
            await ending.delete()
    assert await ending.connections() == ["conn-b", CONNECTION]
    await ending.delete()
    assert not await ending.world.leases.is_held(connection_lease(TENANT, CONNECTION))


async def test_what_is_cut_off_is_begun_again(ending: Ending) -> None:
    """Whatever comes last is the connection: as long as it is there, the command finds the rest."""
    await ending.task("hourly")
    await ending.registration("wh-1")
    ending.world.credentials.down = True
    with pytest.raises(StoreUnavailable):
        await ending.delete(**ALL)
    ending.world.credentials.down = False

    async def unreachable(_: Connection) -> None:
        raise StoreUnavailable

    reached = ending.world.connections.delete
    ending.world.connections.delete = unreachable  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await ending.delete(**ALL)
    assert (ending.left(), await ending.connections()) == (
        (["theirs"], ["wh-theirs"]),
        ["conn-b", CONNECTION],
    )
    ending.world.connections.delete = reached  # type: ignore[method-assign]
    await ending.delete(**ALL)
    assert (await ending.connections(), await ending.manage.list(TENANT)) == (["conn-b"], [])
