"""``python -m infra.local.host``: run a Functions app on this machine."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from castiel.errors import ConfigurationError
from infra.local.host.errors import HostError
from infra.local.host.functions_host import HostOptions, serve
from infra.local.host.invoker import invocations
from infra.local.host.settings import apply_settings, load_settings
from infra.local.host.telemetry import configure_telemetry, shut_down
from infra.local.process import announce, stop_with_parent

logger = logging.getLogger("infra.local.host")

# The SDKs' own log lines at info are many; the host's and the app's are what one looks for.
_QUIET_LOGGERS = ("azure", "aiohttp", "httpx", "httpcore", "asyncio")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local.host", description=__doc__)
    add = parser.add_argument
    add("--app-dir", type=Path, default=Path(), help="the folder with function_app.py and host.json")
    add("--settings", type=Path, help="default: local.settings.json in the app's folder, if there")
    add("--host", default="127.0.0.1", help="the address to listen on")
    add("--port", type=int, default=7071, help="0 picks a free port")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data", type=Path, help="keeps the timers' last runs; default: .local/host in the app"
    )
    where.add_argument("--memory", action="store_true", help="do not remember the timers' last runs")
    add("--drain-seconds", type=float, default=30.0, help="how long a stop waits for running invocations")
    add("--log-file", type=Path, help="append the log to this file as well as to stderr")
    add("--verbose", action="store_true", help="log at debug level")
    add("--quiet", action="store_true", help="no lines for the invocations that succeed")
    add(
        "--prefer-func",
        action="store_true",
        help="run `func start` instead when it is installed (it needs Azurite for AzureWebJobsStorage)",
    )
    return parser


def _configure_logging(log_file: Path | None, *, verbose: bool, quiet: bool) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        handlers=handlers,
        format="[%(asctime)s] %(name)s %(levelname)s: %(message)s",
    )
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    invocations.setLevel(logging.WARNING if quiet else logging.NOTSET)


def _run_func(app_dir: Path, port: int) -> None:
    """Replace this process by ``func start``; comes back only when ``func`` is not installed."""
    func = shutil.which("func")
    if func is None:
        logger.info("func is not installed: running the local host")
        return
    logger.info("Running %s start: Azurite must be up for AzureWebJobsStorage", func)
    os.chdir(app_dir)
    os.execv(func, [func, "start", "--port", str(port)])  # noqa: S606 - no shell is wanted


def _load_settings(app_dir: Path, settings: Path | None) -> None:
    path = settings or app_dir / "local.settings.json"
    if settings is None and not path.exists():
        return
    for name in apply_settings(load_settings(path)):
        logger.debug("Skipping %s from the settings file: it is defined in the environment", name)


async def _serve(options: HostOptions) -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stop_with_parent()
    return await serve(options, stop, lambda port: announce("host", port))


def _data_dir(app_dir: Path, options: argparse.Namespace) -> Path | None:
    return None if options.memory else (options.data or app_dir / ".local" / "host").resolve()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; 0 after a drain, 2 when the app or its settings cannot be run."""
    options = _parser().parse_args(arguments)
    _configure_logging(options.log_file, verbose=options.verbose, quiet=options.quiet)
    app_dir = options.app_dir.resolve()
    if options.prefer_func:
        _run_func(app_dir, options.port)
    try:
        _load_settings(app_dir, options.settings)
        configure_telemetry()
        data_dir = _data_dir(app_dir, options)
        clean = asyncio.run(
            _serve(HostOptions(app_dir, data_dir, options.host, options.port, options.drain_seconds))
        )
        shut_down()
        # An app's clients live as long as its worker and are never closed: no news at the end of the process.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    except (HostError, ConfigurationError, OSError) as error:
        logger.error("The host cannot run: %s", error)
        return 2
    if not clean:
        # A handler in a thread cannot be cancelled, and the interpreter would wait for it.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
