"""``python -m infra.local.servicebus``: serve the queues of a Config.json until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from infra.local.process import announce, data_folder, run_server, server_parser
from infra.local.servicebus.broker import Broker
from infra.local.servicebus.config import DEFAULT_CONFIG, ConfigError, load_config
from infra.local.servicebus.journal import Journal, MemoryJournal, SqliteJournal
from infra.local.servicebus.server import Server
from infra.local.servicebus.status import start_status_server


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and serve; returns the exit code."""
    parser = server_parser("servicebus", "Service Bus queues over AMQP 1.0")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="queues, in the form of Microsoft's emulator"
    )
    parser.add_argument(
        "--status-port", type=int, help="serve GET /health and GET /status here too (0: a free port)"
    )
    return run_server(serve, parser.parse_args(arguments))


async def serve(options: argparse.Namespace, stopping: asyncio.Event) -> None:
    """Serve until ``stopping`` is set."""
    try:
        queues = load_config(options.config)
    except ConfigError as error:
        raise OSError(str(error)) from error
    journal = _journal(data_folder(options))
    broker = Broker(queues, journal)
    server = Server(broker)
    port = await server.start(options.host, options.port)
    extras: dict[str, int] = {}
    status = None
    if options.status_port is not None:
        status = await start_status_server(options.host, options.status_port, broker.status)
        extras["statusPort"] = int(status.sockets[0].getsockname()[1])
    announce("servicebus", port, **extras)
    await stopping.wait()
    if status is not None:
        status.close()
    await server.stop()
    journal.close()


def _journal(folder: Path | None) -> Journal:
    return MemoryJournal() if folder is None else SqliteJournal(folder / "servicebus.sqlite3")


if __name__ == "__main__":
    sys.exit(main())
