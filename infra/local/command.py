"""The command that starts the whole local stack and keeps it until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.local.process import CHECKOUT, ServerFailedError, stop_with_parent
from infra.local.settings import write_settings_file
from infra.local.stack import DEFAULT_PORTS, SERVERS, LocalStack

_WATCH_SECONDS = 0.5
_WHAT = {
    "servicebus": "Service Bus (AMQP 1.0)",
    "cosmos": "Cosmos DB",
    "keyvault": "Key Vault (HTTPS)",
    "eventgrid": "Event Grid topic",
    "redis": "Redis",
    "sandbox": "the providers' sandbox",
}
_PORTS = ", ".join(f"{name} {port}" for name, port in sorted(DEFAULT_PORTS.items()))
_DESCRIPTION = f"""\
Start everything Castiel needs on this machine (Service Bus, Cosmos DB, Key
Vault, Event Grid, Redis, the providers' sandbox), create the Cosmos DB
containers, write local.settings.json, and wait for Ctrl-C, which stops it all.

Ports on 127.0.0.1: {_PORTS}
(and 5300: GET /health and /status of Service Bus).

The data stay in .local/ from one run to the next; delete the folder to begin
anew. Then `python -m infra.local.host` (or `func start`) runs the app with
local.settings.json.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.local",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--ports", choices=["default", "auto"], default="default", help="the ports above, or free ones")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data",
        type=Path,
        default=CHECKOUT / ".local",
        metavar="DIR",
        help="folder of the data (default: .local)",
    )
    where.add_argument("--memory", action="store_true", help="keep no data: a restarted server is empty")
    add(
        "--only",
        action="append",
        choices=SERVERS,
        metavar="NAME",
        help=f"start only this one of {', '.join(SERVERS)}; may be repeated",
    )
    add(
        "--redis-url",
        default=os.environ.get("CASTIEL_LOCAL_REDIS_URL"),
        metavar="URL",
        help="use this running Redis (default: $CASTIEL_LOCAL_REDIS_URL, else our own)",
    )
    add(
        "--seed",
        action="append",
        default=[],
        metavar="PROVIDER=Entity:N,…",
        help="sample records for the sandbox",
    )
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument(
        "--settings",
        type=Path,
        default=CHECKOUT / "local.settings.json",
        metavar="FILE",
        help="where the app's settings go (default: local.settings.json in the checkout); other values in it stay",
    )
    settings.add_argument("--no-settings", action="store_true", help="write no settings file")
    add(
        "--json", action="store_true", help="print one JSON line with ports and settings instead of the table"
    )
    add("--verbose", action="store_true", help="show the servers' logs")
    return parser


def run(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; 0 after a clean stop, 1 if a server did not start or ended by itself."""
    options = _parser().parse_args(arguments)
    stopping = threading.Event()
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop_signal, lambda *_: stopping.set())
    stop_with_parent()
    stack = LocalStack(
        None if options.memory else options.data,
        only=options.only or SERVERS,
        ports=DEFAULT_PORTS if options.ports == "default" else None,
        redis_url=options.redis_url,
        arguments={"sandbox": [argument for seed in options.seed for argument in ("--seed", seed)]},
        verbose=options.verbose,
    )
    begin = time.monotonic()
    try:
        stack.start_all()
    except ServerFailedError as error:
        print(error, file=sys.stderr)
        if options.ports == "default":
            print("If a port is taken, try --ports auto.", file=sys.stderr)
        return 1
    try:
        if not options.no_settings:
            write_settings_file(options.settings, stack.environment())
        _tell(stack, options, time.monotonic() - begin)
        return _watch(stack, stopping)
    finally:
        stack.stop_all()


def _watch(stack: LocalStack, stopping: threading.Event) -> int:
    while not stopping.wait(_WATCH_SECONDS):
        if stack.ended():
            print(f"ended by itself: {', '.join(stack.ended())}; stopping the rest", file=sys.stderr)
            return 1
    return 0


def _tell(stack: LocalStack, options: argparse.Namespace, seconds: float) -> None:
    if options.json:
        servers = {name: stack.ready(name) for name in stack.servers}
        print(
            json.dumps({"ready": "stack", "servers": servers, "environment": stack.environment()}), flush=True
        )
        return
    table = Table(title=f"Castiel's local stack, ready after {seconds:.1f} s", title_justify="left")
    for heading in ("Server", "What", "Address", "Data"):
        table.add_column(heading, overflow="fold")
    for name in sorted(stack.servers):
        ready = stack.ready(name)
        address = ready.get("url") or ready.get("endpoint") or f"{stack.host}:{ready['port']}"
        table.add_row(
            name, _WHAT[name], address, "in memory" if stack.data is None else str(stack.data / name)
        )
    console = Console()
    console.print(table)
    if not options.no_settings:
        console.print(f"The app's settings are in {options.settings}")
    console.print("Ctrl-C stops it all.")
