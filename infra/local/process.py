"""The servers of the local stack as processes: what each of them does at its door, and how others start them.

A server is started as ``python -m infra.local.<name> --host H --port P (--data DIR | --memory)``. When it can
serve, it prints one JSON line on stdout, ``{"ready": "<name>", "port": 1234, ...}``; logs go to stderr. SIGTERM
and SIGINT stop it with exit code 0.

A server that was started by :class:`ServerProcess` also stops when its parent is gone, however that died: its
standard input is a pipe whose other end only the parent holds, so it reads end-of-file. Unlike
``PR_SET_PDEATHSIG`` this works on macOS too, and does not mistake the end of the starting *thread* for the end of
the process.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from infra.local.ports import ReservedPort

CHECKOUT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 2.0
"""How long a server may take to stop after SIGTERM before it is cut off."""

_WATCH_PARENT = "CASTIEL_LOCAL_WATCH_PARENT"
_STDERR_TAIL_BYTES = 4000

Serve = Callable[[argparse.Namespace, asyncio.Event], Awaitable[None]]


# For servers ------------------------------------------------------------------------------------------------


def server_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The arguments every server takes: ``host``, ``port``, ``data`` (a Path, or None with --memory), ``verbose``.

    A server adds its own with ``add_argument``. It must create the data folder itself (see :func:`data_folder`).
    """
    parser = argparse.ArgumentParser(prog=f"python -m infra.local.{name}", description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one (default)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="DIR", help="folder that keeps the data across restarts")
    where.add_argument("--memory", action="store_true", help="keep everything in memory")
    parser.add_argument("--verbose", action="store_true", help="log every request to stderr")
    return parser


def data_folder(options: argparse.Namespace) -> Path | None:
    """The ``--data`` folder, created if need be, or None with ``--memory``."""
    folder: Path | None = options.data
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def announce(name: str, port: int, **extras: Any) -> None:
    """Print the ready line. Call it once, when the first request would be answered."""
    print(json.dumps({"ready": name, "port": port, **extras}), flush=True)


def run_server(serve: Serve, options: argparse.Namespace) -> int:
    """Run ``serve(options, stopping)`` until it returns; SIGTERM, SIGINT or the parent's end set ``stopping``.

    ``serve`` starts listening, calls :func:`announce`, awaits ``stopping.wait()``, closes what it opened and
    returns; if closing takes longer than :data:`STOP_SECONDS` it is cancelled. Returns the exit code.
    """
    configure_logging(verbose=options.verbose)
    try:
        asyncio.run(_serve_until_stopped(serve, options))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve_until_stopped(serve: Serve, options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop_signal, stopping.set)
    stop_with_parent()
    serving = asyncio.ensure_future(serve(options, stopping))
    stop_requested = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({serving, stop_requested}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        await asyncio.wait({serving}, timeout=STOP_SECONDS)
    stop_requested.cancel()
    if serving.done():
        serving.result()
        return
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def configure_logging(*, verbose: bool) -> None:
    """Logs to stderr: everything with ``verbose``, else warnings."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )


def stop_with_parent() -> None:
    """Send this process SIGTERM when the parent that started it through :class:`ServerProcess` is gone.

    :func:`run_server` calls it; a server with a loop of its own calls it after installing its signal handlers.
    Without such a parent it does nothing.
    """
    if os.environ.pop(_WATCH_PARENT, None) is None:
        return
    threading.Thread(target=_stop_at_end_of_stdin, name="parent-watch", daemon=True).start()


def _stop_at_end_of_stdin() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * STOP_SECONDS)
    os._exit(1)


# For whoever starts them ------------------------------------------------------------------------------------


class ServerFailedError(Exception):
    """A server did not become ready, or ended before it did; the text carries the end of its stderr."""


_running: weakref.WeakSet[ServerProcess] = weakref.WeakSet()


class ServerProcess:
    """One server of the local stack: started, stopped, killed, and started again where it was.

    With ``port=0`` the first start reserves a free port (:mod:`infra.local.ports`); later starts use the same port and the same data. Not
    thread-safe; all methods block (in async code: ``await asyncio.to_thread(server.start)``).
    """

    def __init__(
        self,
        name: str,
        *,
        data: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 30.0,
        verbose: bool = False,
        show_log: bool = False,
        module: str | None = None,
    ) -> None:
        """``data`` None means ``--memory``; ``arguments`` are the server's own; ``environment`` is added to ours.

        ``show_log`` lets the server log to our stderr, and ``verbose`` everything; else its stderr is kept for the
        error text only.
        """
        self.name = name
        self.host = host
        self.port = port
        self._reserved: ReservedPort | None = None
        self.ready: dict[str, Any] = {}
        self._module = module or f"infra.local.{name}"
        self._data = data
        self._arguments = list(arguments)
        self._environment = dict(environment or {})
        self._start_timeout = start_timeout
        self._verbose = verbose
        self._show_log = show_log or verbose
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process is there (it may still be on its way to ready)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> dict[str, Any]:
        """Start it and wait until it is ready; returns the ready line. Raises ServerFailedError."""
        self.launch()
        return self.wait_ready()

    def launch(self) -> None:
        """Start it without waiting, so that several come up at once; :meth:`wait_ready` has to follow."""
        if self.running:
            raise ServerFailedError(f"{self.name} is already running")
        self._release()
        if self.port == 0:
            self._reserved = ReservedPort(self.host)
            self.port = self._reserved.number
        self._stderr = None if self._show_log else tempfile.TemporaryFile()  # noqa: SIM115 - outlives this call
        self._process = subprocess.Popen(  # noqa: S603 - our own modules
            self._command(),
            cwd=CHECKOUT,
            env={**os.environ, **self._environment, _WATCH_PARENT: "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # a Ctrl-C in the terminal reaches the parent alone, which stops us in order
        )
        _running.add(self)

    def wait_ready(self) -> dict[str, Any]:
        """Wait for the ready line of a launched server. Raises ServerFailedError, after ending the process."""
        try:
            self.ready = json.loads(self._read_ready_line())
            self.port = int(self.ready["port"])
        except (ServerFailedError, ValueError, KeyError) as error:
            self._end(signal.SIGKILL, 0)
            tail = self.log(_STDERR_TAIL_BYTES)
            self._release()
            raise ServerFailedError(f"{self.name} did not start: {error}\n{tail}".rstrip()) from None
        return self.ready

    def stop(self, grace: float = 2 * STOP_SECONDS) -> int | None:
        """SIGTERM, and SIGKILL after ``grace`` seconds; returns the exit code (None if it was not running)."""
        code = self._end(signal.SIGTERM, grace)
        self._release()
        return code

    def kill(self) -> int | None:
        """SIGKILL to the server and all it started, as a crash would."""
        code = self._end(signal.SIGKILL, 0)
        self._release()
        return code

    def restart(self) -> dict[str, Any]:
        """Stop it if it runs, then start it on the same port with the same data."""
        self.stop()
        return self.start()

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        where = ["--memory"] if self._data is None else ["--data", str(self._data.resolve())]
        command = [sys.executable, "-m", self._module, "--host", self.host, "--port", str(self.port), *where]
        return [*command, *self._arguments, *(["--verbose"] if self._verbose else [])]

    def _read_ready_line(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            raise ServerFailedError("it was not launched")
        deadline = time.monotonic() + self._start_timeout
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise ServerFailedError(f"no ready line within {self._start_timeout:g} s")
                chunk = os.read(self._process.stdout.fileno(), 4096)
                if not chunk:
                    code = self._process.wait(STOP_SECONDS)
                    raise ServerFailedError(f"it ended with exit code {code}")
                line += chunk
        return line

    def _end(self, stop_signal: signal.Signals, grace: float) -> int | None:
        process = self._process
        if process is None:
            return None
        if process.poll() is None and stop_signal is not signal.SIGKILL:
            process.send_signal(stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        _kill_group(process.pid)
        return process.wait()

    def log(self, last: int | None = None) -> str:
        """What the running server wrote to its stderr (``last``: this many bytes of it); "" with ``show_log``."""
        if self._stderr is None:
            return ""
        # The server writes at the offset that it shares with us, so this reads without moving it.
        size = os.fstat(self._stderr.fileno()).st_size
        wanted = size if last is None else min(size, last)
        return os.pread(self._stderr.fileno(), wanted, size - wanted).decode(errors="replace")

    def _release(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
        if self._stderr is not None:
            self._stderr.close()
        self._process = self._stderr = None
        _running.discard(self)


def _kill_group(group: int) -> None:
    """End whatever the server started and left behind; its process group outlives it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


@atexit.register
def _kill_what_still_runs() -> None:
    for server in list(_running):
        server.kill()
