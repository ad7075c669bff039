"""Starts the local Functions host over an app, for tests that want the app as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.local.process import ServerProcess


class TimerFailedError(AssertionError):
    """A timer function that was run on demand failed or did not end in time; the text is the host's log."""


@dataclass
class RunningHost:
    """A host process and what a test does with it."""

    process: ServerProcess
    log_file: Path
    drain_seconds: float

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.process.port}"

    def log(self) -> str:
        """All that the host has logged, over all its starts."""
        return self.log_file.read_text(encoding="utf-8") if self.log_file.exists() else ""

    async def start(self) -> None:
        """Start it again, on the same port."""
        await asyncio.to_thread(self.process.start)

    async def stop(self) -> int | None:
        """Let it drain and end; returns its exit code."""
        return await asyncio.to_thread(self.process.stop, self.drain_seconds + 10.0)

    async def kill(self) -> None:
        """End it as a crash would."""
        await asyncio.to_thread(self.process.kill)

    async def run_timer(self, name: str, within: float = 60.0) -> None:
        """Run a timer function now and wait until it has succeeded. Raises TimerFailedError."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            answer = await client.post(f"/admin/functions/{name}", json={"input": ""})
        answer.raise_for_status()
        ended = re.compile(rf"Executed 'Functions\.\w+' \((\w+), Id={answer.headers['x-ms-invocation-id']}")
        deadline = time.monotonic() + within
        while (match := ended.search(self.log())) is None:
            if time.monotonic() > deadline or not self.process.running:
                raise TimerFailedError(f"{name} did not end within {within:g} s\n{self.log()}")
            await asyncio.sleep(0.02)
        if match[1] != "Succeeded":
            raise TimerFailedError(f"{name} failed\n{self.log()}")


@contextlib.asynccontextmanager
async def running_host(
    app_dir: Path,
    settings: Mapping[str, str],
    *,
    data: Path | None = None,
    drain_seconds: float = 10.0,
    start: bool = True,
) -> AsyncIterator[RunningHost]:
    """Run ``app_dir``'s function_app.py with these app settings on a free port, and stop it at the end.

    ``data`` keeps the timers' last runs across starts. Variables in the tests' own environment win over
    ``settings``, as they do for ``func start``.
    """
    with tempfile.TemporaryDirectory(prefix="host-") as folder:
        log_file = Path(folder, "host.log")
        arguments = ["--app-dir", str(app_dir), "--settings", str(_settings_file(Path(folder), settings))]
        arguments += ["--log-file", str(log_file), "--drain-seconds", str(drain_seconds)]
        host = RunningHost(ServerProcess("host", data=data, arguments=arguments), log_file, drain_seconds)
        try:
            if start:
                await host.start()
            yield host
        finally:
            await host.stop()


def _settings_file(folder: Path, settings: Mapping[str, str]) -> Path:
    path = folder / "local.settings.json"
    path.write_text(json.dumps({"IsEncrypted": False, "Values": dict(settings)}), encoding="utf-8")
    return path
