"""``python -m infra.local.redis``: see ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from infra.local.process import STOP_SECONDS, announce, data_folder, run_server, server_parser
from infra.local.redis.binary import NoRedisServerError
from infra.local.redis.server import check_existing, start_redis


async def serve(options: argparse.Namespace, stopping: asyncio.Event) -> None:
    """Run the server until ``stopping``, or stand for an existing one."""
    if options.existing:
        announce("redis", await check_existing(options.existing), url=options.existing)
        await stopping.wait()
        return
    try:
        process, port = await start_redis(options.host, options.port, data_folder(options))
    except NoRedisServerError as error:
        raise OSError(error) from None
    announce("redis", port, url=f"redis://{options.host}:{port}/0")
    ended, stopped = asyncio.ensure_future(process.wait()), asyncio.ensure_future(stopping.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if ended.done():
        raise OSError(f"the Redis server ended with exit code {process.returncode}")
    process.terminate()
    try:
        await asyncio.wait_for(asyncio.shield(ended), STOP_SECONDS * 0.75)
    except TimeoutError:
        process.kill()
        await ended


def main() -> int:
    """Parse the arguments and serve."""
    parser = server_parser("redis", "A real Redis-protocol server on this machine.")
    parser.add_argument(
        "--existing", metavar="URL", help="use a server that runs already, and leave it running"
    )
    return run_server(serve, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
