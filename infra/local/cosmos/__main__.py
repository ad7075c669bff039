"""``python -m infra.local.cosmos``: serve the emulator until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

from aiohttp import web

from infra.local.process import announce, data_folder, run_server, server_parser

from .database import Database
from .server import Server


async def serve(options: argparse.Namespace, stopping: asyncio.Event) -> None:
    """Listen on ``options.host``:``options.port`` until ``stopping`` is set."""
    database = Database(data_folder(options))
    server = Server(database)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port)
    await site.start()
    purging = asyncio.create_task(server.purge_expired())
    host, port = runner.addresses[0][:2]
    announce("cosmos", port, endpoint=f"http://{host}:{port}/")
    await stopping.wait()
    purging.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await purging
    await runner.cleanup()
    await asyncio.to_thread(database.close)


if __name__ == "__main__":
    sys.exit(run_server(serve, server_parser("cosmos", __doc__ or "").parse_args()))
