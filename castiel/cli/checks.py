"""The doctor's checks: each answers with what it found, and never raises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from castiel.azure import probes
from castiel.azure.cosmos_containers import CONTAINERS
from castiel.bootstrap import Services, build
from castiel.cli.advice import CLOCK, SETTINGS, advice_for
from castiel.domain.connections import Connection
from castiel.errors import (
    CacheUnavailable,
    CastielError,
    ConfigurationError,
    DependencyUnavailable,
    ProviderUnavailable,
    VaultUnavailable,
)
from castiel.redaction import redact
from castiel.settings import Settings, load_settings

DEADLINE_SECONDS = 20.0
MAX_SKEW_SECONDS = 2.0


@dataclass
class Check:
    """One finding. ``status``: ``ok``, ``failed`` or ``skipped``."""

    area: str
    status: str
    detail: str
    advice: str | None = None
    milliseconds: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done."""
        return self.status != "failed"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        known = {
            "area": self.area,
            "status": self.status,
            "detail": self.detail,
            "milliseconds": self.milliseconds,
        }
        return {**known, "advice": self.advice} if self.advice else known


def skew_of(before: datetime, theirs: datetime, after: datetime) -> float:
    """Seconds between our clock and another, which was read at some moment from ``before`` to ``after``; 0 when it can
    be right. A slow answer is no wrong clock."""
    return max(0.0, (before - theirs).total_seconds()) or min(0.0, (after - theirs).total_seconds())


Checking = Callable[[], Awaitable[list[Check]]]


@dataclass
class Checkup:
    """The settings as found, and, once entered, the checks of what they point to."""

    found: Settings | None
    settings: list[Check] = field(default_factory=list)
    _services: Services | None = None
    _lost_certificate: str | None = None

    @classmethod
    def of_environment(cls) -> Checkup:
        """Read the settings; what is wrong with them is the first finding."""
        try:
            found = load_settings()
        except ConfigurationError as error:
            return cls(None, [Check("settings", "failed", str(error), SETTINGS)])
        place = "this machine" if found.castiel_environment == "local" else "the cloud"
        return cls(found, [Check("settings", "ok", f"complete, for {place}")])

    @property
    def ready(self) -> bool:
        """Whether there is anything to check."""
        return self.found is not None

    async def __aenter__(self) -> Checkup:
        self._services = build(self._without_lost_certificate())
        return self

    def _without_lost_certificate(self) -> Settings:
        """The emulator's certificate goes when it stops: that is one finding, and no reason to check nothing."""
        file = self._settings.key_vault_ca_file
        if file is None or Path(file).is_file():
            return self._settings
        self._lost_certificate = file
        return self._settings.model_copy(update={"key_vault_ca_file": None})

    async def __aexit__(self, *_: object) -> None:
        await self._it.aclose()

    @property
    def _settings(self) -> Settings:
        assert self.found is not None  # noqa: S101  (``ready`` was asked)
        return self.found

    @property
    def _it(self) -> Services:
        assert self._services is not None  # noqa: S101  (entered)
        return self._services

    def checks(self, tenant: str | None) -> list[Checking]:
        """All of them, to run at the same time."""
        queues = (self._settings.service_bus_queue, self._settings.service_bus_queue_outbound)
        found: list[Checking] = [self._cosmos, self._vault, self._redis, self._topic, self._providers]
        found += [lambda queue=queue: self._queue(queue) for queue in queues]  # type: ignore[misc]
        if self._settings.castiel_sandbox_url:
            found.append(self._sandbox)
        if tenant is not None:
            found.append(lambda: self._connections(tenant))
        return found

    async def _cosmos(self) -> list[Check]:
        client, database = self._it.clients.cosmos, self._settings.cosmos_database
        first = await self._try(
            "cosmos", f"database {database}", lambda: probes.probe_database(client, database)
        )
        if not first.ok:
            return [first]
        named = {
            "sync-tasks": self._settings.cosmos_container,
            "sync-results": self._settings.sync_results_container,
            "credentials": self._settings.credentials_container,
        }
        containers = [(named.get(each.name, each.name), each) for each in CONTAINERS]
        found = await asyncio.gather(
            *(
                self._try(
                    "cosmos",
                    f"container {name}",
                    lambda name=name, each=each: probes.probe_container(client, database, name, each),  # type: ignore[misc]
                )
                for name, each in containers
            )
        )
        return [first, *found]

    async def _queue(self, queue: str) -> list[Check]:
        probe = self._try(
            "service-bus",
            f"queue {queue}: send, listen",
            lambda: probes.probe_queue(self._it.clients.service_bus, queue),
        )
        return [await probe]

    async def _vault(self) -> list[Check]:
        if self._lost_certificate is not None:
            gone = VaultUnavailable(f"KEY_VAULT_CA_FILE: {self._lost_certificate} is not there")
            return [self._failed("key-vault", gone)]
        probe = self._try(
            "key-vault", "secrets can be written and read", lambda: probes.probe_vault(self._it.vault)
        )
        return [await probe]

    async def _redis(self) -> list[Check]:
        times: list[float] = []

        async def look() -> None:
            before = datetime.now(UTC)
            theirs = await probes.probe_redis(self._it.clients.redis)
            times.append(skew_of(before, theirs, datetime.now(UTC)))

        found = await self._try("redis", "answers, runs scripts", look)
        if not times:
            return [found, Check("clock", "skipped", "nothing to compare it with")]
        skew = times[0]
        if abs(skew) > MAX_SKEW_SECONDS:
            return [found, Check("clock", "failed", f"{skew:+.1f} s away from Redis' clock", CLOCK)]
        return [found, Check("clock", "ok", f"{abs(skew) * 1000:.0f} ms away from Redis' clock")]

    async def _topic(self) -> list[Check]:
        topic = self._it.clients.event_grid
        if topic is None:
            return [
                Check("event-grid", "skipped", "no topic configured (EVENT_GRID_TOPIC_ENDPOINT): no events")
            ]
        return [await self._try("event-grid", "takes events", lambda: probes.probe_topic(topic))]

    async def _sandbox(self) -> list[Check]:
        async def look() -> None:
            try:
                async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
                    await client.get(self._settings.castiel_sandbox_url or "")
            except httpx.HTTPError as error:
                raise DependencyUnavailable(f"sandbox: {type(error).__name__}") from error

        return [await self._try("sandbox", "answers", look)]

    async def _providers(self) -> list[Check]:
        names = ", ".join(sorted(each.integration_id for each in self._it.providers))
        return [Check("providers", "ok", names)]

    async def _connections(self, tenant: str) -> list[Check]:
        try:
            connections = await self._it.stores.connections.of_tenant(tenant)
        except CastielError:
            return [Check("connections", "skipped", "they can't be read, see cosmos")]
        if not connections:
            return [Check("connections", "skipped", f"tenant {tenant} has none")]
        return list(await asyncio.gather(*map(self._connection, connections)))

    async def _connection(self, connection: Connection) -> Check:
        async def look() -> None:
            try:
                await self._it.integrations.adapter(connection).check()
            except ProviderUnavailable as error:
                raise DependencyUnavailable(str(error)) from error

        return await self._try("connections", f"{connection.id} ({connection.integration_id})", look)

    async def _try(self, area: str, what: str, probe: Callable[[], Awaitable[None]]) -> Check:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await probe()
        except CastielError as error:
            found = self._failed(area, error)
        except TimeoutError:
            found = self._failed(area, CacheUnavailable(f"{what}: no answer in {DEADLINE_SECONDS:g} s"))
        else:
            found = Check(area, "ok", what)
        found.milliseconds = round((loop.time() - started) * 1000)
        return found

    def _failed(self, area: str, error: CastielError) -> Check:
        local = self._settings.castiel_environment == "local"
        return Check(area, "failed", redact(str(error)), advice_for(area, error, local=local))
