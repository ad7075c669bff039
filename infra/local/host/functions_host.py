"""The host: puts index, triggers and HTTP server together, and takes them down in the right order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.local.host.config import load_host_config
from infra.local.host.http_server import HttpServer
from infra.local.host.indexing import IndexedFunction, load_app
from infra.local.host.invoker import Invoker
from infra.local.host.routes import RouteTable
from infra.local.host.schedule import ScheduleMonitor
from infra.local.host.service_bus import QueuePump
from infra.local.host.settings import is_disabled
from infra.local.host.timers import Timer

logger = logging.getLogger("infra.local.host")


@dataclass(frozen=True)
class HostOptions:
    """Where the app is and how to serve it.

    ``data_dir`` None keeps nothing; ``drain_seconds`` bounds the wait for running invocations at a stop.
    """

    app_dir: Path
    data_dir: Path | None
    host: str = "127.0.0.1"
    port: int = 7071
    drain_seconds: float = 30.0


async def serve(options: HostOptions, stop: asyncio.Event, announce: Callable[[int], None]) -> bool:
    """Run the app until ``stop`` is set, then drain. ``announce`` gets the HTTP port once everything listens.

    Returns whether every invocation ended by itself.

    Raises:
        HostError: the app or its configuration cannot be run.
    """
    config = load_host_config(options.app_dir / "host.json")
    os.chdir(options.app_dir)
    functions = _enabled(load_app(options.app_dir))
    invoker = Invoker(config.function_timeout)
    monitor = ScheduleMonitor(options.data_dir / "timers" if options.data_dir else None)
    timers = [Timer(function, invoker, monitor) for function in _of(functions, "timerTrigger")]
    pumps = [
        QueuePump(function, invoker, config.service_bus) for function in _of(functions, "serviceBusTrigger")
    ]
    routes = RouteTable(_of(functions, "httpTrigger"), config.route_prefix)
    server = HttpServer(
        routes,
        invoker,
        {function.name: function for function in functions},
        {timer.function.name: timer.run_now for timer in timers},
    )
    port = await server.start(options.host, options.port)
    try:
        _log_functions(functions, routes, port)
        listeners = [asyncio.create_task(trigger.run(stop)) for trigger in (*timers, *pumps)]
        announce(port)
        await _until_stopped(stop, listeners)
        logger.info("Stopping: %d invocation(s) are running", invoker.active)
        await server.stop_accepting()
        clean = await invoker.drain(options.drain_seconds)
        await asyncio.gather(*listeners)
        return clean
    finally:
        await server.close()
        invoker.close()


async def _until_stopped(stop: asyncio.Event, listeners: list[asyncio.Task[None]]) -> None:
    """Wait for ``stop``; a listener that breaks stops the host and its error is raised after the drain."""
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, *listeners}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await waiting


def _of(functions: list[IndexedFunction], trigger_type: str) -> list[IndexedFunction]:
    return [function for function in functions if function.trigger_type == trigger_type]


def _enabled(functions: list[IndexedFunction]) -> list[IndexedFunction]:
    for function in functions:
        if is_disabled(function.name):
            logger.info(
                "Function %s is disabled via the setting AzureWebJobs.%s.Disabled",
                function.name,
                function.name,
            )
    return [function for function in functions if not is_disabled(function.name)]


def _log_functions(functions: list[IndexedFunction], routes: RouteTable, port: int) -> None:
    for route in routes.routes:
        methods = ",".join(sorted(route.methods or {"any"}))
        logger.info("%s: [%s] http://localhost:%d/%s", route.function.name, methods, port, route.template)
    for function in functions:
        if function.trigger_type != "httpTrigger":
            logger.info("%s: %s %s", function.name, function.trigger_type, json.dumps(_subject(function)))


def _subject(function: IndexedFunction) -> str:
    return str(function.trigger.get("schedule") or function.trigger.get("queueName"))
