"""``python -m infra.local.run`` (``make run``): the stack and the app on this machine, with the main job seen to happen."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from castiel.domain.results import SyncStatus
from infra.local.host.telemetry import CONSOLE
from infra.local.process import CHECKOUT, ServerFailedError
from infra.local.sample import SALESFORCE, TENANT, make_due, plant
from infra.local.session import Session, StepFailedError, session
from infra.local.stack import DEFAULT_PORTS
from infra.local.steps import finished_task, pull_result, schedule

PORT = 7071


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local.run", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="of the functions host (default: 7071)")
    parser.add_argument(
        "--ports", choices=["default", "auto"], default="default", help="of the stack's servers"
    )
    parser.add_argument("--data", type=Path, default=CHECKOUT / ".local", metavar="DIR")
    parser.add_argument(
        "--settings", type=Path, default=CHECKOUT / "local.settings.json", help="the file to write them to"
    )
    parser.add_argument("--memory", action="store_true", help="keep nothing")
    parser.add_argument("--once", action="store_true", help="end after the first sync result")
    parser.add_argument("--log", action="store_true", help="show the host's and the app's log")
    parser.add_argument("--traces", action="store_true", help="show each span as a line, and the log")
    parser.add_argument("--verbose", action="store_true", help="show the log at debug level, the SDKs' too")
    return parser


async def _run(options: argparse.Namespace, console: Console) -> None:
    started = time.monotonic()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    console.print("Starting the local stack and the functions host …")
    async with session(
        data=None if options.memory else options.data,
        ports=DEFAULT_PORTS if options.ports == "default" else None,
        host_port=options.port,
        settings_file=options.settings,
        verbose=options.verbose,
        show_log=options.log or options.traces,
        prefer_func=True,
    ) as running:
        await _main_job(running, console, started)
        if options.once:
            return
        _tell_webhook(running, console)
        await stopping.wait()
        console.print("Stopping …")
    console.print("Stopped.")


async def _main_job(running: Session, console: Console, started: float) -> None:
    async with running.control(SALESFORCE.integration_id) as control:
        await plant(running.services, control)
    await make_due(running.services)
    task = await schedule(running)
    console.print(f"SyncScheduler queued task [bold]{task.id}[/] as {task.execution_id}")
    result = await pull_result(running, task.execution_id or "")
    task = await finished_task(running)
    shards = await running.services.stores.shards.count(TENANT)
    seconds = time.monotonic() - started
    console.print(
        f"SyncInboundWorker: task {task.status.value}, {shards} shards stored; {seconds:.1f} s since the start"
    )
    console.print_json(json.dumps(result.to_json()))
    if result.status is SyncStatus.FAILED:
        raise StepFailedError(f"the sync failed: {result.error_code} {result.error_message}")
    if result.records_processed == 0:
        console.print(
            "Nothing had changed since the last run (the data is in .local; `make clean-data` begins anew)."
        )


def _tell_webhook(running: Session, console: Console) -> None:
    console.print(
        f"\nServing on [bold]http://localhost:{running.host.port}[/] until Ctrl-C. Send a signed webhook:\n"
    )
    console.print(
        f"  .venv/bin/python -m infra.local.send_webhook --settings {_short(running.settings_file)}"
        f" --port {running.host.port}\n",
        soft_wrap=True,
    )


def _short(file: Path) -> Path:
    return file.relative_to(CHECKOUT) if file.is_relative_to(CHECKOUT) else file


def main(arguments: list[str] | None = None) -> int:
    """0 after a clean stop; 1 when something did not start or did not happen."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    if options.traces:
        os.environ[CONSOLE] = "console"  # the host inherits it; the settings file does not keep it
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(options, console))
    except (StepFailedError, ServerFailedError) as error:
        console.print(f"[red]Failed:[/] {error}", markup=True)
        if options.ports == "default":
            console.print("If a port is taken, try: make run ARGS='--ports auto --port 0'")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
