"""What the random run takes place in: the local stack, two functions hosts, and a company with three systems."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from castiel.bootstrap import Services, build
from castiel.domain.tasks import SyncTask, TaskStatus
from castiel.errors import CastielError, Conflict
from castiel.ports.clock import SystemClock
from infra.local.process import CHECKOUT, ServerProcess
from infra.local.sample import SampleProvider, plant, webhook_secret
from infra.local.sandbox.client import SandboxControl
from infra.local.sandbox.notion.ids import CONTACTS_ID
from infra.local.session import Session, session
from tests.support.app import bus_config, settings_for

TENANT = "tenant-random"
HOSTS = 2
SETTINGS = {
    "SYNC_LEASE_SECONDS": "3",
    "SYNC_BATCH_SIZE": "20",
    "SYNC_RETRY_BASE_SECONDS": "0.3",
    "SYNC_MAX_RETRIES": "12",
    "PROVIDER_TIMEOUT_SECONDS": "3",
    "TENANT_RATE_LIMIT_PER_MINUTE": "1000000",
    "WEBHOOK_RATE_LIMIT_PER_MINUTE": "1000000",
}
_PAGES_AS_CONTACTS: Mapping[str, Any] = {
    "labelField": "lastName",
    "mappings": [
        {"kind": "direct", "field": "lastName", "source": "title"},
        {"kind": "direct", "field": "email", "source": "Email"},
        {"kind": "direct", "field": "phone", "source": "Phone"},
        {"kind": "direct", "field": "title", "source": "Role"},
    ],
}
SYSTEMS = (
    SampleProvider("salesforce", "random-sf", {"Contact": "contact"}, {"Contact": 8}, tenant=TENANT),
    SampleProvider("google", "random-go", {"Contact": "contact"}, {"Contact": 6, "Event": 1}, tenant=TENANT),
    SampleProvider(
        "notion",
        "random-no",
        {"Page": "contact"},
        {"Page": 6},
        {"dataSourceId": CONTACTS_ID},
        tenant=TENANT,
        schemas={"Page": _PAGES_AS_CONTACTS},
    ),
)


class LaterClock(SystemClock):
    """The time at which what crashed workers and schedulers left is old enough to be swept and repaired."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=2)


@dataclass
class World:
    """The running company. ``later`` are the services of somebody who looks two hours later."""

    app: Session
    hosts: list[ServerProcess]
    controls: dict[str, SandboxControl]
    later: Services

    @property
    def services(self) -> Services:
        return self.app.services

    def control(self, system: SampleProvider) -> SandboxControl:
        return self.controls[system.integration_id]

    @property
    def ports(self) -> list[int]:
        """Of the hosts that run."""
        return [host.port for host in self.hosts if host.running]

    async def run_scheduler(self) -> bool:
        """On whichever host takes it."""
        for port in self.ports:
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                    url = f"http://127.0.0.1:{port}/admin/functions/SyncScheduler"
                    if (await client.post(url, json={"input": ""})).status_code == 202:
                        return True
        return False

    async def make_due(self, system: SampleProvider) -> None:
        """The system's next pull. One that is under way is left alone."""
        with contextlib.suppress(Conflict):
            task = await self.task(system)
            if task.status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
                task.next_scheduled = datetime.now(UTC)
                await self.services.stores.tasks.replace(task)

    async def task(self, system: SampleProvider) -> SyncTask:
        return await self.services.stores.tasks.get(TENANT, system.task_id)

    async def tell(
        self, system: SampleProvider, entity: str, record_id: str, operation: str, port: int
    ) -> bool:
        """The system's webhook about a record. Returns whether it was taken."""
        with contextlib.suppress(CastielError, httpx.HTTPError):
            sent = await self.control(system).send_event(
                f"http://127.0.0.1:{port}/webhooks/{system.registration_id}/events",
                entity=entity,
                id=record_id,
                operation=operation,
                secret=await webhook_secret(self.services, system),
            )
            return bool(sent["status"] == 200)
        return False


@contextlib.asynccontextmanager
async def running_world(folder: Path) -> AsyncIterator[World]:
    """Everything started, and stopped at the end."""
    settings_file = folder / "local.settings.json"
    async with contextlib.AsyncExitStack() as opened:
        app = await opened.enter_async_context(
            session(
                data=folder / "data",
                settings_file=settings_file,
                server_arguments={"servicebus": bus_config(folder, lock=timedelta(seconds=4))},
                settings=SETTINGS,
            )
        )
        assert isinstance(app.host, ServerProcess)
        hosts = [app.host]
        for number in range(1, HOSTS):
            arguments = ["--app-dir", str(CHECKOUT), "--settings", str(settings_file)]
            host = ServerProcess("host", data=folder / f"host-{number}", arguments=arguments)
            await asyncio.to_thread(host.start)
            opened.callback(host.stop)
            hosts.append(host)
        later = build(settings_for(app.stack, SETTINGS), clock=LaterClock())
        opened.push_async_callback(later.aclose)
        controls = {
            system.integration_id: await opened.enter_async_context(app.control(system.integration_id))
            for system in SYSTEMS
        }
        world = World(app, hosts, controls, later)
        for system in SYSTEMS:
            await plant(app.services, world.control(system), system, pulled=False)
            await _unlimited(world, system)
        yield world


async def _unlimited(world: World, system: SampleProvider) -> None:
    """Limits are other tests' matter: here they would only make a minute longer."""
    connection = await world.services.stores.connections.get(TENANT, system.connection_id)
    names = ("integration", "tenant", "fetch", "create", "update", "delete")
    connection.rate_limits = dict.fromkeys(names, 100_000)
    await world.services.stores.connections.replace(connection)
