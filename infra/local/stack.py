"""All servers of the local stack together."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from infra.local.containers import ensure_containers
from infra.local.process import ServerFailedError, ServerProcess
from infra.local.settings import DATABASE, app_settings

SERVERS = ("cosmos", "servicebus", "keyvault", "eventgrid", "redis", "sandbox")
"""In the order in which they are waited for: the slowest first."""

DEFAULT_PORTS: Mapping[str, int] = {
    "servicebus": 5672,
    "cosmos": 8081,
    "keyvault": 8443,
    "eventgrid": 8444,
    "redis": 6379,
    "sandbox": 8445,
}
_STATUS_PORT = 5300  # of Microsoft's Service Bus emulator

T = TypeVar("T")


class LocalStack:
    """Starts, stops, kills and restarts the servers, each by its name, and knows the settings of the app for them.

    ``with LocalStack(folder) as stack:`` or ``async with`` starts all and stops all. A server that is stopped or
    killed comes back on its port with its data (in memory, ``data=None``, without). Methods block; in async code
    wrap them in ``asyncio.to_thread``. Raises ServerFailedError when a server does not start, after stopping the rest.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        only: Sequence[str] = SERVERS,
        ports: Mapping[str, int] | None = None,
        redis_url: str | None = None,
        arguments: Mapping[str, Sequence[str]] | None = None,
        host: str = "127.0.0.1",
        verbose: bool = False,
    ) -> None:
        """``ports`` defaults to free ones; ``redis_url`` names a running server to use instead of our own;
        ``arguments`` are further command-line arguments by server."""
        self.data = data
        self.host = host
        self.seconds_to_ready: dict[str, float] = {}
        """Of the last :meth:`start_all`: until each server (and ``containers``) was there."""
        self._lock_file: IO[str] | None = None
        self.servers: dict[str, ServerProcess] = {
            name: ServerProcess(
                name,
                data=None if data is None else data / name,
                host=host,
                port=(ports or {}).get(name, 0),
                arguments=[*_own_arguments(name, ports, redis_url), *(arguments or {}).get(name, ())],
                start_timeout=60.0,
                verbose=verbose,
            )
            for name in SERVERS
            if name in only
        }

    def start_all(self) -> None:
        """Start every server at once, wait for all, and create the Cosmos DB containers."""
        self._lock_data()
        begin = time.monotonic()
        try:
            launched = {name: server for name, server in self.servers.items() if not server.running}
            for server in launched.values():
                server.launch()
            for name, server in launched.items():
                server.wait_ready()
                self.seconds_to_ready[name] = time.monotonic() - begin
                if name == "cosmos":
                    self.ensure_containers()
                    self.seconds_to_ready["containers"] = time.monotonic() - begin
        except BaseException:
            self.stop_all()
            raise

    def stop_all(self) -> None:
        """Stop every server that runs, all at the same time."""
        self._for_all(ServerProcess.stop)
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def start(self, name: str) -> dict[str, Any]:
        """Start one server where it was; returns its ready line."""
        return self.servers[name].start()

    def stop(self, name: str) -> None:
        """Stop one server in order."""
        self.servers[name].stop()

    def kill(self, name: str) -> None:
        """End one server without warning, as a crash would."""
        self.servers[name].kill()

    def restart(self, name: str) -> dict[str, Any]:
        """Stop one server if it runs, and start it where it was."""
        return self.servers[name].restart()

    def ready(self, name: str) -> dict[str, Any]:
        """A server's ready line: its port and what else it told."""
        return self.servers[name].ready

    def ended(self) -> list[str]:
        """The servers that do not run."""
        return [name for name, server in self.servers.items() if not server.running]

    def environment(self) -> dict[str, str]:
        """The app's settings for the servers of this stack, by the names of their environment variables."""
        return app_settings(
            {name: (f"{self.host}:{each.port}", each.ready) for name, each in self.servers.items()}
        )

    def ensure_containers(self) -> None:
        """Create Castiel's database and containers where they are missing."""
        settings = self.environment()
        ensure_containers(settings["COSMOS_ENDPOINT"], settings["COSMOS_KEY"], DATABASE)

    def __enter__(self) -> LocalStack:
        self.start_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    async def __aenter__(self) -> LocalStack:
        await asyncio.to_thread(self.start_all)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop_all)

    def _for_all(self, do: Callable[[ServerProcess], T]) -> list[T]:
        with ThreadPoolExecutor(max_workers=len(self.servers) or 1) as pool:
            return list(pool.map(do, self.servers.values()))

    def _lock_data(self) -> None:
        """Two stacks over one folder would corrupt each other's files."""
        if self.data is None or self._lock_file is not None:
            return
        self.data.mkdir(parents=True, exist_ok=True)
        lock_file = (self.data / "lock").open("w")
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.closing(lock_file):
                raise ServerFailedError(f"another local stack uses {self.data}: end that one first") from None
        self._lock_file = lock_file


def _own_arguments(name: str, ports: Mapping[str, int] | None, redis_url: str | None) -> list[str]:
    if name == "redis" and redis_url:
        return ["--existing", redis_url]
    if name == "servicebus":
        return ["--status-port", str(_STATUS_PORT if (ports or {}).get(name) else 0)]
    return []
