"""``castiel tail``: what happens for a tenant, as it is written into the stores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from castiel.cli.exits import UsageProblem
from castiel.cli.output import plain
from castiel.cli.running import Run, Tenant, command
from castiel.cli.tail_lines import line
from castiel.cli.values import duration
from castiel.errors import DependencyUnavailable

if TYPE_CHECKING:
    from castiel.azure.activity import Follower, Source, Written


class Kind(StrEnum):
    """What can be followed."""

    RESULT = "result"
    FAILED = "failed"
    WEBHOOK = "webhook"
    WAITING = "waiting"
    TASK = "task"
    CONNECTION = "connection"
    CREDENTIAL = "credential"


REGISTRATIONS_SECONDS = 30.0
"""So often the tenant's webhooks are listed anew."""


async def tail(
    run: Run,
    tenant: Tenant,
    kind: Annotated[
        list[Kind] | None, typer.Option("--kind", help="Only these (repeatable).", show_default=False)
    ] = None,
    since: Annotated[str, typer.Option("--since", help="Begin so far back: 90s, 15m, 24h.")] = "1m",
    every: Annotated[str, typer.Option("--every", help="Look so often.")] = "2s",
    until: Annotated[
        str | None, typer.Option("--for", help="End after so long; else by Ctrl-C.", show_default=False)
    ] = None,
) -> None:
    """Follow what happens: results, deliveries, conflicts, tasks …

    With --json one object per line. Ctrl-C ends it, with exit code 0.
    """
    pause = duration(every).total_seconds()
    if pause < 1:
        raise UsageProblem("--every: at least 1s")
    begin, loop = run.now() - duration(since), asyncio.get_running_loop()
    ends = loop.time() + duration(until).total_seconds() if until else None
    following = _Following(run, tenant, frozenset(kind or Kind), begin)
    if not run.output.as_json:
        run.output.remark(f"Following {tenant} since {begin:%H:%M:%S}Z; Ctrl-C ends it.")
    try:
        while True:
            for written in await following.look():
                _tell(run, written)
            rest = pause if ends is None else min(pause, ends - loop.time())
            if rest <= 0:
                return
            await asyncio.sleep(rest)
    except asyncio.CancelledError:
        # Ctrl-C is how it is meant to end.
        return


def _tell(run: Run, written: Written) -> None:
    if run.output.as_json:
        known = {"at": written.at, "kind": written.kind, "document": written.document}
        run.output.json(plain(known), line=True)
    else:
        run.output.people.print(line(written.kind, written.at, plain(written.document)))


class _Following:
    """The followers of a tenant's containers, and of its webhooks as they come and go."""

    def __init__(self, run: Run, tenant: str, kinds: frozenset[Kind], begin: datetime) -> None:
        self._run = run
        self._tenant = tenant
        self._kinds = kinds
        self._begin = begin
        self._listed_at: datetime | None = None
        self._followers: dict[tuple[str, str], Follower] = {}
        self._failing = False

    async def look(self) -> list[Written]:
        """What was written since the last look, oldest first. An outage is told of, and waited for."""
        found: list[Written] = []
        try:
            await self._list()
            for each in self._followers.values():
                # One by one: what was read before an outage is told all the same.
                async for written in each.read():
                    found.append(written)  # noqa: PERF401
        except DependencyUnavailable as error:
            if not self._failing:
                self._run.output.remark(f"{error.code}: {error}; trying on")
            self._failing = True
        else:
            self._failing = False
        return sorted(found, key=lambda written: written.at)

    async def _list(self) -> None:
        """Follow what is not followed yet."""
        from castiel.azure.activity import followers

        now = self._run.now()
        if self._listed_at and now - self._listed_at < timedelta(seconds=REGISTRATIONS_SECONDS):
            return
        sources = self._containers()
        if Kind.WEBHOOK in self._kinds:
            sources += await self._webhooks()
        new = [each for each in sources if (each.kind, str(each.partition)) not in self._followers]
        for each in followers(new, self._begin):
            self._followers[each.source.kind, str(each.source.partition)] = each
        self._listed_at = now

    def _containers(self) -> list[Source]:
        from castiel.azure.activity import Source

        settings, tenant = self._run.services.settings, self._tenant
        database = self._run.services.clients.cosmos.get_database_client(settings.cosmos_database)
        results = database.get_container_client(settings.sync_results_container)
        conflicts = database.get_container_client("conflicts")
        tasks = database.get_container_client(settings.cosmos_container)
        connections = database.get_container_client("connections")
        credentials = database.get_container_client(settings.credentials_container)
        known = {
            Kind.RESULT: Source("result", results, [tenant], "NOT IS_DEFINED(c.kind)"),
            Kind.FAILED: Source("failed", results, [tenant], "c.kind = 'failedRecord'"),
            Kind.WAITING: Source("waiting", conflicts, tenant),
            Kind.TASK: Source("task", tasks, tenant),
            Kind.CONNECTION: Source("connection", connections, tenant, "IS_DEFINED(c.integrationId)"),
            Kind.CREDENTIAL: Source("credential", credentials, tenant),
        }
        return [source for kind, source in known.items() if kind in self._kinds]

    async def _webhooks(self) -> list[Source]:
        from castiel.azure.activity import Source

        services = self._run.services
        database = services.clients.cosmos.get_database_client(services.settings.cosmos_database)
        audit = database.get_container_client("webhook-audit")
        registrations: Sequence[str] = [
            each.id async for each in services.stores.registrations.of_tenant(self._tenant)
        ]
        return [Source("webhook", audit, [registration]) for registration in registrations]


def register(app: typer.Typer) -> None:
    """Add the command to the whole."""
    command(app, "tail")(tail)
