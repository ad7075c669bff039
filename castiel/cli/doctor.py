"""``castiel doctor``: is everything there that Castiel runs on, and what to do where it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from castiel.cli.cells import printable
from castiel.cli.running import ChecksFailed, Run, command

if TYPE_CHECKING:
    from castiel.cli.checks import Check

MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("–", "yellow")}


async def doctor(
    run: Run,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", "-t", help="Also ask the providers of this tenant's connections."),
    ] = None,
) -> None:
    """Check what Castiel runs on, and say how to mend it.

    The settings, every service with the rights that are needed there, and the clock. Exit code 1 when a check failed.
    """
    # Here, not above: `--help` need not load the SDKs.
    from castiel.cli.checks import Checkup

    checkup = Checkup.of_environment()
    results = list(checkup.settings)
    if checkup.ready:
        with run.output.progress() as progress:
            working = progress.add_task("checking", total=None)
            async with checkup:
                groups = checkup.checks(tenant)
                for found in asyncio.as_completed([_timed(each) for each in groups]):
                    results += await found
                    progress.update(working, completed=len(results))
    order = {name: position for position, name in enumerate(AREAS)}
    results.sort(key=lambda check: order[check.area])
    if run.output.as_json:
        ok = all(check.ok for check in results)
        run.output.json({"ok": ok, "checks": [check.to_json() for check in results]})
    else:
        _show(run, results)
    if not all(check.ok for check in results):
        raise ChecksFailed


AREAS = (
    "settings",
    "cosmos",
    "service-bus",
    "key-vault",
    "redis",
    "clock",
    "event-grid",
    "sandbox",
    "providers",
    "connections",
)


async def _timed(check: Callable[[], Awaitable[list[Check]]]) -> list[Check]:
    started = time.monotonic()
    found = await check()
    for each in found:
        each.milliseconds = each.milliseconds or round((time.monotonic() - started) * 1000)
    return found


def _show(run: Run, results: list[Check]) -> None:
    people = run.output.people
    for check in results:
        mark, style = MARKS[check.status]
        line = Text.assemble((mark, style), " ", (f"{check.area:<12}", "bold"), printable(check.detail))
        people.print(line)
        if check.advice:
            people.print(Text.assemble("  → ", printable(check.advice)))
    failed = [check for check in results if not check.ok]
    people.print(Text(f"{len(failed)} of {len(results)} checks failed." if failed else "All is well."))


def register(app: typer.Typer) -> None:
    """Add the command to the whole."""
    command(app, "doctor", with_services=False)(doctor)
