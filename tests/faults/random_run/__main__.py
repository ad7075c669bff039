"""``python -m tests.faults.random_run --seed N --seconds 60``: a minute of edits and trouble, then everything must agree.

The seed decides what is tried and when; what comes of it also depends on the machine's timing. A seed that found
something is worth running again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from castiel.errors import CastielError
from infra.local.session import StepFailedError
from tests.faults.random_run.check import disagreements, settle
from tests.faults.random_run.evidence import evidence
from tests.faults.random_run.people import People
from tests.faults.random_run.trouble import Trouble
from tests.faults.random_run.world import SYSTEMS, World, running_world
from tests.support.faults import database_faults

ACTORS = 2


class Log:
    """Lines with the time since the start; the whole of it is shown when something disagrees."""

    def __init__(self, *, verbose: bool) -> None:
        self._begin = time.monotonic()
        self._verbose = verbose
        self.lines: list[str] = []
        self.evidence: list[str] = []

    def __call__(self, text: str) -> None:
        line = f"{time.monotonic() - self._begin:7.2f} {datetime.now(UTC):%H:%M:%S.%f} {text}"
        self.lines.append(line)
        if self._verbose:
            print(line, flush=True)


async def run(seed: int, seconds: float, log: Log, *, calm: bool = False) -> list[str]:
    """The minute, the settling and the comparison. Returns what disagrees. ``calm``: nothing goes wrong."""
    with tempfile.TemporaryDirectory(prefix="castiel-random-") as folder:
        async with running_world(Path(folder)) as world:
            actors = [
                People(world, random.Random(f"{seed} people {n}"), log, "PQRSTU"[n]) for n in range(ACTORS)
            ]
            trouble = Trouble(world, random.Random(f"{seed} trouble"), log)
            end = time.monotonic() + seconds
            async with asyncio.TaskGroup() as group:
                for number, people in enumerate(actors):
                    group.create_task(
                        _until(end, people.act, random.Random(f"{seed} pace {number}"), (0.05, 0.4))
                    )
                group.create_task(
                    _until(end, lambda: _pull(world), random.Random(f"{seed} pulls"), (1.0, 3.0))
                )
                if not calm:
                    for number in range(2):
                        pace = random.Random(f"{seed} trouble {number}")
                        group.create_task(_until(end, trouble.act, pace, (0.5, 3.0)))
            log("the trouble is over")
            await _calm_down(world)
            await settle(world, actors, log)
            found = await disagreements(world, actors)
            for line in await evidence(world, found) if found else []:
                log.evidence.append(line)
            return found


async def _until(
    end: float, act: Callable[[], Awaitable[None]], pace: random.Random, pause: tuple[float, float]
) -> None:
    while time.monotonic() < end:
        await act()
        await asyncio.sleep(pace.uniform(*pause))


async def _pull(world: World) -> None:
    """All systems are due, as far as the stores answer."""
    try:
        for system in SYSTEMS:
            await world.make_due(system)
        await world.run_scheduler()
    except CastielError:
        return


async def _calm_down(world: World) -> None:
    await database_faults(world.services).clear()
    for system in SYSTEMS:
        await world.control(system).clear_faults()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.random_run", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="what is tried (default: a new one each time)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: %(default)s)")
    parser.add_argument("--calm", action="store_true", help="edits only: nothing goes wrong")
    parser.add_argument("--verbose", action="store_true", help="show what is done as it is done")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, {options.seconds:g} seconds", flush=True)
    log = Log(verbose=options.verbose)
    try:
        found = asyncio.run(run(seed, options.seconds, log, calm=options.calm))
    except (StepFailedError, AssertionError) as error:
        found = [str(error)]
    if found and not options.verbose:
        print("\n".join(log.lines))
    print("\n".join(log.evidence), end="\n" if log.evidence else "")
    for each in found:
        print(f"DISAGREEMENT {each}")
    done = sum(" on " in line or line.endswith("here") for line in log.lines)
    print(f"seed {seed}: {done} edits, {'all agree' if not found else f'{len(found)} disagreements'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
