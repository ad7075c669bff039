"""An instance of the outbound worker in a process of its own, to be killed: one message in, nothing out.

Says ``ready`` once everything is built, handles the message that comes as JSON on its input, and ends. Its settings
are the environment's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator

from castiel.bootstrap import build
from castiel.ports.messaging import ReceivedMessage
from castiel.settings import load_settings
from infra.local.process import CHECKOUT


@contextlib.asynccontextmanager
async def doomed_worker(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, ready for its message; dead at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def give(process: asyncio.subprocess.Process, message: ReceivedMessage) -> None:
    """Hand it its message."""
    assert process.stdin is not None
    told = {
        "body": base64.b64encode(message.body).decode(),
        "id": message.message_id,
        "correlation": message.correlation_id,
    }
    process.stdin.write(json.dumps(told).encode() + b"\n")
    await process.stdin.drain()


async def _main() -> None:
    services = build(load_settings())
    try:
        await services.outbound_worker.handle([])
        print("ready", flush=True)
        told = json.loads(await asyncio.to_thread(sys.stdin.readline))
        message = ReceivedMessage(base64.b64decode(told["body"]), told["id"], told["correlation"])
        await services.outbound_worker.handle([message])
    finally:
        await services.aclose()


if __name__ == "__main__":
    asyncio.run(_main())
