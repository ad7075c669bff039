"""The local stack with Castiel's services in this process, for benchmarks; nothing is limited but the machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from castiel.bootstrap import Application, Services
from infra.local.sample import SALESFORCE, TENANT, plant
from infra.local.sandbox.client import SandboxControl
from infra.local.stack import LocalStack

UNLIMITED = dict.fromkeys(("integration", "fetch", "create", "update", "delete", "tenant"), 10_000_000)


@dataclass
class Bench:
    """A running stack, the services over it, and the sandbox's controls."""

    stack: LocalStack
    services: Services
    control: SandboxControl

    async def provider_calls(self) -> tuple[int, float]:
        """How many calls the sandbox has answered since its journal was emptied, and milliseconds spent in them."""
        calls = await self.control.calls()
        return len(calls), sum(call["durationMs"] for call in calls)


@contextlib.asynccontextmanager
async def bench(data: Path | None = None) -> AsyncIterator[Bench]:
    """On free ports; in memory, or over the data in a folder."""
    stack = LocalStack(data)
    await asyncio.to_thread(stack.start_all)
    try:
        os.environ.update(stack.environment())
        # As a worker process of the Functions host has them.
        services = await Application().services()
        control = SandboxControl(stack.environment()["CASTIEL_SANDBOX_URL"], "salesforce")
        try:
            await plant(services, control)
            connection = await services.stores.connections.get(TENANT, SALESFORCE.connection_id)
            connection.rate_limits = dict(UNLIMITED)
            await services.stores.connections.replace(connection)
            yield Bench(stack, services, control)
        finally:
            await control.close()
            await services.aclose()
    finally:
        await asyncio.to_thread(stack.stop_all)


class Stopwatch:
    """Wall and processor time of a block, in milliseconds. Processor time is this process's: Castiel and the SDKs."""

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_ms = (time.perf_counter() - self._wall) * 1000
        self.cpu_ms = (time.process_time() - self._cpu) * 1000
