"""The local stack, the functions host over it, and the services to look into the stores with: one session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from castiel.bootstrap import Services, build
from castiel.settings import load_settings
from infra.local.func_host import FuncHost, func_is_usable
from infra.local.process import CHECKOUT, ServerProcess
from infra.local.sandbox.client import SandboxControl
from infra.local.settings import write_settings_file
from infra.local.stack import LocalStack

T = TypeVar("T")


class StepFailedError(Exception):
    """Something that should have happened did not; the text says what."""


@dataclass
class Session:
    """A running Castiel on this machine."""

    stack: LocalStack
    host: ServerProcess | FuncHost
    services: Services
    settings_file: Path

    @property
    def url(self) -> str:
        """The functions host's address."""
        return f"http://127.0.0.1:{self.host.port}"

    def control(self, provider: str) -> SandboxControl:
        """The sandbox's controls for one provider; close it after use."""
        return SandboxControl(self.services.settings.castiel_sandbox_url or "", provider)

    async def run_timer(self, name: str) -> None:
        """Run a timer function now, as the platform's admin endpoint does."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.post(f"{self.url}/admin/functions/{name}", json={"input": ""})
        if answer.status_code != 202:
            raise StepFailedError(f"{name} could not be run: the host answered {answer.status_code}")


@contextlib.asynccontextmanager
async def session(
    *,
    data: Path | None,
    ports: Mapping[str, int] | None = None,
    host_port: int = 0,
    settings_file: Path = CHECKOUT / "local.settings.json",
    verbose: bool = False,
    show_log: bool = False,
    host_arguments: tuple[str, ...] = (),
    server_arguments: Mapping[str, Sequence[str]] | None = None,
    settings: Mapping[str, str] | None = None,
    prefer_func: bool = False,
) -> AsyncIterator[Session]:
    """Start everything; stop everything at the end. ``data=None`` keeps nothing; ``settings`` are the app's own.

    ``prefer_func``: use ``func start`` where it is installed and Azurite is up, else our own host.
    """
    stack = LocalStack(data, ports=ports, arguments=server_arguments)
    host: ServerProcess | FuncHost = ServerProcess(
        "host",
        data=None if data is None else data / "host",
        port=host_port,
        arguments=["--app-dir", str(CHECKOUT), "--settings", str(settings_file), *host_arguments],
        verbose=verbose,
        show_log=show_log,
    )
    if prefer_func and func_is_usable():
        host = FuncHost(host_port, verbose=verbose or show_log)
    await asyncio.to_thread(stack.start_all)
    try:
        environment = {**stack.environment(), **(settings or {})}
        write_settings_file(settings_file, environment)
        with _environment(environment):
            services = build(load_settings())
        try:
            with _environment(environment):
                await asyncio.to_thread(host.start)
            yield Session(stack, host, services, settings_file)
        finally:
            await asyncio.to_thread(host.stop, 40.0)
            await services.aclose()
    finally:
        await asyncio.to_thread(stack.stop_all)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


async def until(
    look: Callable[[], Awaitable[T | None]], what: str, *, within: float = 60.0, every: float = 0.05
) -> T:
    """Wait for something to be there. Raises :class:`StepFailedError` naming it."""
    deadline = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise StepFailedError(f"{what}: not within {within:g} s")
        await asyncio.sleep(every)
