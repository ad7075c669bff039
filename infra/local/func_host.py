"""``func start`` as the functions host, on machines that have Azure Functions Core Tools and a running Azurite."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from infra.local.process import CHECKOUT, ServerFailedError

AZURITE_PORT = 10_000
DEFAULT_PORT = 7071


def func_is_usable() -> bool:
    """Whether ``func`` is installed and Azurite listens, which ``func`` needs for its own storage."""
    if shutil.which("func") is None:
        return False
    with socket.socket() as probe:
        probe.settimeout(0.3)
        return probe.connect_ex(("127.0.0.1", AZURITE_PORT)) == 0


class FuncHost:
    """``func start`` over ``local.settings.json`` in the checkout, where ``func`` looks for it."""

    def __init__(self, port: int = 0, *, app_dir: Path = CHECKOUT, verbose: bool = False) -> None:
        self.port = port or DEFAULT_PORT
        self._app_dir = app_dir
        self._verbose = verbose
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, within: float = 90.0) -> None:
        """Start it and wait until it answers. Raises ServerFailedError."""
        func = shutil.which("func") or "func"
        output = None if self._verbose else subprocess.DEVNULL
        self._process = subprocess.Popen(  # noqa: S603 - the tool the user installed
            [func, "start", "--port", str(self.port)], cwd=self._app_dir, stdout=output, stderr=output
        )
        deadline = time.monotonic() + within
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerFailedError("func start did not come up; see it with --verbose")
            time.sleep(0.2)

    def stop(self, grace: float = 40.0) -> None:
        """Let it drain, as Ctrl-C does; kill it when that takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/host/status", timeout=1):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
