"""What goes wrong meanwhile: hosts and servers are killed and come back, the database and the providers fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx

from tests.faults.random_run.world import SYSTEMS, World
from tests.support.faults import database_faults

SERVERS = ("redis", "servicebus", "cosmos", "sandbox", "keyvault", "eventgrid")


class Trouble:
    """The actor. One trouble may begin before another is over."""

    def __init__(self, world: World, rng: random.Random, log: Callable[[str], None]) -> None:
        self._world = world
        self._rng = rng
        self._log = log
        self._busy: set[str] = set()

    async def act(self) -> None:
        """One trouble, until it is over."""
        actions = (self._kill_host, self._cut_server, self._database_fault, self._provider_fault)
        await self._rng.choices(actions, (3, 3, 3, 4))[0]()

    async def _kill_host(self) -> None:
        number = self._rng.randrange(len(self._world.hosts))
        await self._while_gone(f"host {number}", self._world.hosts[number])

    async def _cut_server(self) -> None:
        name = self._rng.choice(SERVERS)
        await self._while_gone(name, self._world.app.stack.servers[name])

    async def _while_gone(self, name: str, server: Any) -> None:
        if name in self._busy:
            return
        self._busy.add(name)
        seconds = self._rng.uniform(0.1, 4)
        self._log(f"kill {name} for {seconds:.1f} s")
        await asyncio.to_thread(server.kill)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(server.start)
            self._log(f"{name} is back")
            self._busy.discard(name)

    async def _database_fault(self) -> None:
        fault: dict[str, Any] = self._rng.choice(
            [
                {"status": 429, "subStatus": 3200, "retryAfterMs": self._rng.choice([10, 200])},
                {"status": 503},
                {"dropAnswer": True},
                {"delayMs": self._rng.randrange(100, 1500)},
                {"delayMs": self._rng.randrange(100, 1500), "status": 503},
            ]
        )
        fault["count"] = self._rng.randrange(1, 15)
        fault["path"] = self._rng.choice(["colls/shards", "colls/sync-tasks", "colls/sync-results", "colls/"])
        self._log(f"database: {fault}")
        try:
            await database_faults(self._world.services).order(**fault)
        except httpx.HTTPError:
            self._log("  the database is gone")

    async def _provider_fault(self) -> None:
        system = self._rng.choice(SYSTEMS)
        kind, options = self._rng.choice(
            [
                ("status", {"status": 503}),
                ("status", {"status": 503, "processed": True}),
                ("status", {"status": 429, "retry_after": 1}),
                ("drop_before", {}),
                ("drop_after", {}),
                ("slow", {"delay_ms": self._rng.randrange(200, 4000)}),
                ("truncated", {}),
            ]
        )
        times = self._rng.randrange(1, 5)
        self._log(f"{system.integration_id}: {kind} {options} × {times}")
        try:
            await self._world.control(system).fault(kind, times=times, **options)
        except httpx.HTTPError:
            self._log("  the providers are gone")
