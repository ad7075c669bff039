"""``python -m infra.local.eventgrid``: see ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from infra.local.eventgrid.app import make_app
from infra.local.eventgrid.store import Store
from infra.local.process import data_folder, run_server, server_parser
from infra.local.web import serve_app


async def serve(options: argparse.Namespace, stopping: asyncio.Event) -> None:
    """Serve the topic over plain HTTP: the SDK asks for TLS only with Entra tokens, not with a key."""
    store = Store(data_folder(options))
    try:
        await serve_app(make_app(store, options.key), "eventgrid", options, stopping, key=options.key)
    finally:
        store.close()


def main() -> int:
    """Parse the arguments and serve."""
    parser = server_parser("eventgrid", "An Azure Event Grid custom topic for CloudEvents on this machine.")
    parser.add_argument(
        "--key", default="local-topic-key", help="the topic's access key (default: %(default)s)"
    )
    return run_server(serve, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
