"""Running the server's program, and asking it whether it serves."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from urllib.parse import urlsplit

from infra.local.ports import ReservedPort
from infra.local.redis.binary import server_binary

_PATIENCE = 20.0
_PORT_ATTEMPTS = 5

# The kernel ends the server when this process is gone, even if that was killed. A program can only ask that for
# itself, so this one asks and then becomes the server. (prctl 1 is PR_SET_PDEATHSIG, 9 is SIGKILL: prctl(2).)
_END_WITH_PARENT = "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);os.execv(sys.argv[1],sys.argv[1:])"


class RedisDidNotStartError(OSError):
    """The server ended or did not answer in time."""


async def start_redis(host: str, port: int, folder: Path | None) -> tuple[asyncio.subprocess.Process, int]:
    """Start the server (0: on a free port) and wait until it answers; returns it and its port.

    With a folder each write is in its append-only file before it is answered. Raises RedisDidNotStartError.
    """
    for _ in range(_PORT_ATTEMPTS if port == 0 else 1):
        reserved = ReservedPort(host) if port == 0 else None
        chosen = port if reserved is None else reserved.number
        process = await asyncio.create_subprocess_exec(
            *_command(host, chosen, folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
        )
        if await _answers_or_ends(process, host, chosen):
            return process, chosen
    raise RedisDidNotStartError(f"the server on {host}:{chosen} ended with exit code {process.returncode}")


async def ping(host: str, port: int, password: str | None = None, *, user: str = "default") -> bool:
    """Whether a server answers there and has its data loaded."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        if password:
            writer.write(f"AUTH {user} {password}\r\n".encode())
            await reader.readline()
        writer.write(b"PING\r\n")
        return await asyncio.wait_for(reader.readline(), 2) == b"+PONG\r\n"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def check_existing(url: str) -> int:
    """The port of a running server. Raises RedisDidNotStartError if it does not answer."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 6379
    if not await ping(host, port, parts.password, user=parts.username or "default"):
        raise RedisDidNotStartError(f"no Redis answers at {host}:{port}")
    return port


def _command(host: str, port: int, folder: Path | None) -> list[str]:
    keep = (
        ["--appendonly", "no"] if folder is None else ["--appendonly", "yes", "--dir", str(folder.resolve())]
    )
    command = [
        str(server_binary()),
        "--bind",
        host,
        "--port",
        str(port),
        "--save",
        "",
        "--loglevel",
        "warning",
        *keep,
    ]
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, *command]


async def _answers_or_ends(process: asyncio.subprocess.Process, host: str, port: int) -> bool:
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while process.returncode is None:
        if await ping(host, port):
            return process.returncode is None
        if asyncio.get_running_loop().time() > deadline:
            process.kill()
            await process.wait()
            raise RedisDidNotStartError(f"the server on {host}:{port} did not answer within {_PATIENCE:g} s")
        await asyncio.sleep(0.02)
    return False
