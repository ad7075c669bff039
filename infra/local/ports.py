"""Free ports that stay free: a server that is killed finds its own again, however many run beside it.

A port that the system picks (port 0) is one that it may give to any outgoing connection in the moment between a
server's end and its return. These are below that range, and each is held by a lock file for as long as its
reservation lives, so that no other process that asks here gets it either.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
import weakref
from pathlib import Path

FIRST, LAST = 20_000, 31_999
"""Below what Linux (32768) and macOS (49152) give to outgoing connections, net.ipv4.ip_local_port_range."""

_ATTEMPTS = 200


class NoFreePortError(OSError):
    """Every port that was tried is in use."""


class ReservedPort:
    """A port that nobody listens on, and that no other reservation names until this object is gone."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Raises :class:`NoFreePortError`."""
        for port in random.SystemRandom().sample(range(FIRST, LAST + 1), _ATTEMPTS):
            lock = _lock(port)
            if lock is None:
                continue
            if _is_free(host, port):
                self.number = port
                weakref.finalize(self, os.close, lock)
                return
            os.close(lock)
        raise NoFreePortError(f"none of {_ATTEMPTS} ports between {FIRST} and {LAST} is free on {host}")


def _lock(port: int) -> int | None:
    """The open lock file of a port, or ``None`` while another holds it. It ends with the process that holds it."""
    folder = Path(tempfile.gettempdir(), f"castiel-ports-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    os.close(lock)
    return None


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
