"""``python -m infra.local.demo`` (``make demo``): every flow once, shown step by step; its last line is one JSON object."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from rich.console import Console
from rich.table import Table

from castiel.domain.tasks import TaskStatus
from castiel.errors import CastielError
from infra.local import steps
from infra.local.process import ServerFailedError
from infra.local.sample import SALESFORCE, TENANT, plant
from infra.local.session import Session, StepFailedError, session
from infra.local.travel import travel

T = TypeVar("T")


class Demo:
    """The steps, and what each of them came to."""

    def __init__(self, running: Session, console: Console) -> None:
        self._session = running
        self._console = console
        self._number = 0
        self.summary: dict[str, Any] = {}

    async def run(self) -> None:
        """All steps. Raises :class:`StepFailedError` naming the one that failed."""
        async with self._session.control(SALESFORCE.integration_id) as control:
            await self._step(
                "A tenant with a Salesforce connection, its task and its webhook", self._plant(control)
            )
        task = await self._step("SyncScheduler queues what is due", steps.schedule(self._session))
        self.summary["scheduled"] = await self._queued()
        result = await self._step(
            "SyncInboundWorker pulls accounts and contacts",
            steps.pull_result(self._session, task.execution_id or ""),
        )
        done = await self._step("The task ends", steps.finished_task(self._session))
        self.summary["inbound"] = result.to_json()
        self.summary["shards"] = await self._session.services.stores.shards.count(TENANT)
        if done.status is not TaskStatus.COMPLETED:
            raise StepFailedError(f"the task is {done.status.value}")
        await self._show_shards()
        self.summary["webhook"] = await self._step(
            "Salesforce posts a signed webhook; the shard follows", steps.signed_webhook(self._session)
        )
        pushed = await self._step(
            "A contact is created, changed and deleted here; Salesforce follows",
            steps.outbound(self._session),
        )
        self.summary["outbound"] = [result.to_json() for result in pushed]
        self.summary["token_refresh"] = await self._step(
            "TokenRefresher renews a token that is about to expire", steps.token_refresh(self._session)
        )
        others = await self._step(
            "Another tenant: GitHub, Google, Notion and Slack are pulled", steps.pull_others(self._session)
        )
        self.summary["providers"] = {
            "salesforce": self.summary["inbound"],
            **{integration_id: found.to_json() for integration_id, found in others.items()},
        }
        self.summary["travel"] = await self._step(
            "A third tenant: a change in Salesforce arrives in Google and Notion, and stops there",
            travel(self._session),
        )
        self._show_results()

    async def _plant(self, control: Any) -> None:
        await plant(self._session.services, control)

    async def _step(self, title: str, work: Awaitable[T]) -> T:
        self._number += 1
        self._console.print(f"[bold cyan]{self._number}.[/] {title} … ", end="")
        try:
            outcome = await work
        except (StepFailedError, ServerFailedError, CastielError, httpx.HTTPError) as error:
            self._console.print("[red]failed[/]")
            raise StepFailedError(f"step {self._number} ({title}): {error}") from error
        self._console.print("[green]done[/]")
        return outcome

    async def _queued(self) -> int:
        tasks = [task async for task in self._session.services.stores.tasks.of_tenant(TENANT)]
        return sum(task.execution_id is not None for task in tasks)

    async def _show_shards(self) -> None:
        table = Table(title=f"{self.summary['shards']} shards stored, some of them", title_justify="left")
        for column in ("type", "name", "e-mail or phone", "lives at"):
            table.add_column(column)
        shards = self._session.services.stores.shards
        for shard_type in SALESFORCE.entities.values():
            shown = 0
            async for shard in shards.changed_since(TENANT, shard_type, None):
                fields = shard.fields
                name = fields.get("name") or f"{fields.get('firstName', '')} {fields.get('lastName', '')}"
                reference = shard.references[0]
                table.add_row(
                    shard.shard_type,
                    str(name),
                    str(fields.get("email") or fields.get("phone") or ""),
                    f"{reference.entity} {reference.external_id}",
                )
                shown += 1
                if shown == 3:
                    break
        self._console.print(table)

    def _show_results(self) -> None:
        inbound, audit = self.summary["inbound"], self.summary["token_refresh"]
        table = Table(title="What was stored", title_justify="left")
        table.add_column("flow")
        table.add_column("result")
        counted = f"{inbound['recordsProcessed']} processed, {inbound['recordsCreated']} created"
        table.add_row("inbound", f"{inbound['status']}: {counted} in {inbound['duration']} ms")
        table.add_row("webhook", json.dumps(self.summary["webhook"]))
        for result in self.summary["outbound"]:
            table.add_row(
                f"outbound {result['operation']}", f"{result['externalId']} in {result['duration']} ms"
            )
        for integration_id, found in self.summary["providers"].items():
            table.add_row(f"pull {integration_id}", f"{found['status']}: {found['recordsCreated']} created")
        trip = self.summary["travel"]
        table.add_row(
            "travel",
            f"{trip['pushes']} pushes in {trip['milliseconds']} ms,"
            f" {trip['pushesAfterEchoes']} after {trip['echoes']} echoes",
        )
        table.add_row("token refresh", f"{audit['successful']} of {audit['totalAttempted']}")
        self._console.print(table)


async def _run(console: Console, *, verbose: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="castiel-demo-") as folder:
        settings_file = Path(folder, "local.settings.json")
        console.print("Starting the local stack and the functions host …")
        async with session(data=None, settings_file=settings_file, verbose=verbose) as running:
            demo = Demo(running, console)
            await demo.run()
            return demo.summary


def main(arguments: list[str] | None = None) -> int:
    """0 when every step happened; 1 when one did not, with its name."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.demo", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="show the host's log")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        summary = asyncio.run(_run(console, verbose=options.verbose))
    except (StepFailedError, ServerFailedError) as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    print(json.dumps(summary), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
