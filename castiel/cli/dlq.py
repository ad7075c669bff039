"""``castiel dlq``: dead-lettered messages: list, show, replay, purge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castiel.cli.cells import short
from castiel.cli.exits import UsageProblem
from castiel.cli.running import Limit, Run, Yes, command, group
from castiel.errors import NotFound

if TYPE_CHECKING:
    from castiel.azure.dead_letters import DeadLetter, DeadLetters

app = group("Dead-lettered messages. What workers could not even read, or what nobody took in time.")


class Which(StrEnum):
    """A queue by its part."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


Queue = Annotated[Which, typer.Option("--queue", "-q", help="Which queue's.", show_default=False)]
AnyQueue = Annotated[
    Which | None, typer.Option("--queue", "-q", help="Only this queue's.", show_default=False)
]
OfTenant = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        "-t",
        help="Only this tenant's. Without it: every tenant's, and those that nobody can read.",
        show_default=False,
    ),
]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="Sequence numbers, as `list` shows them.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All that --tenant and --queue leave.")]
COLUMNS = ("queue", "sequenceNumber", "tenantId", "messageId", "reason", "description", "enqueuedAt")


@command(app, "list")
async def list_letters(run: Run, queue: AnyQueue = None, tenant: OfTenant = None, limit: Limit = 100) -> None:
    """What lies there, oldest first; nothing is taken."""
    rows: list[dict[str, Any]] = []
    for each in _queues(run, queue):
        async for letter in _letters(each, tenant):
            if len(rows) == limit:
                break
            rows.append(_row(letter))
    if not run.output.as_json:
        rows = [{**row, "messageId": short(row["messageId"] or "")} for row in rows]
    run.output.rows(rows, COLUMNS, empty="No dead-lettered messages.")


@command(app, "show")
async def show(
    run: Run, number: Annotated[int, typer.Argument(help="Its sequence number.")], queue: Queue
) -> None:
    """One message with its body."""
    async for letter in _letters(_queue(run, queue), None):
        if letter.sequence_number == number:
            run.output.one(_row(letter))
            return
    raise NotFound(f"there is no dead-lettered message {number} in {queue.value}")


@command(app, "replay")
async def replay(
    run: Run, queue: Queue, numbers: Numbers = None, everything: All = False, tenant: OfTenant = None
) -> None:
    """Send messages to their queue again, as new ones; doing one twice is harmless."""
    letters, chosen = _queue(run, queue), await _chosen(run, queue, numbers, everything, tenant)
    with run.output.progress() as progress:
        working = progress.add_task("sending again", total=len(chosen))
        done = await letters.replay(chosen, lambda count: progress.advance(working, count))
    _finish(run, "Sent again", queue, chosen, done)


@command(app, "purge")
async def purge(
    run: Run,
    queue: Queue,
    numbers: Numbers = None,
    everything: All = False,
    tenant: OfTenant = None,
    yes: Yes = False,
) -> None:
    """Throw messages away, for good."""
    letters, chosen = _queue(run, queue), await _chosen(run, queue, numbers, everything, tenant)
    if chosen:
        run.confirm(f"Throw {len(chosen)} messages of {letters.queue} away?", yes=yes)
    with run.output.progress() as progress:
        working = progress.add_task("purging", total=len(chosen))
        done = await letters.purge(chosen, lambda count: progress.advance(working, count))
    _finish(run, "Threw away", queue, chosen, done)


async def _chosen(
    run: Run, queue: Which, numbers: list[int] | None, everything: bool, tenant: str | None
) -> list[int]:
    if bool(numbers) == everything:
        raise UsageProblem("name sequence numbers, or say --all")
    there = [letter.sequence_number async for letter in _letters(_queue(run, queue), tenant)]
    if everything:
        return there
    missing = set(numbers or ()) - set(there)
    if missing:
        named = ", ".join(map(str, sorted(missing)))
        raise NotFound(f"there is no dead-lettered message {named} in {queue.value}")
    return list(dict.fromkeys(numbers or ()))


def _finish(run: Run, verb: str, queue: Which, chosen: list[int], done: list[int]) -> None:
    gone = len(chosen) - len(done)
    rest = f"; {gone} were gone or held by somebody else" if gone else ""
    run.output.done(
        f"{verb}: {len(done)} messages{rest}.", queue=queue.value, done=sorted(done), notThere=gone
    )


def _queue(run: Run, which: Which) -> DeadLetters:
    return _queues(run, which)[0]


def _queues(run: Run, which: Which | None) -> list[DeadLetters]:
    from castiel.azure.dead_letters import DeadLetters

    settings = run.services.settings
    names = {Which.INBOUND: settings.service_bus_queue, Which.OUTBOUND: settings.service_bus_queue_outbound}
    return [
        DeadLetters(run.services.clients.service_bus, name)
        for each, name in names.items()
        if which in (None, each)
    ]


async def _letters(letters: DeadLetters, tenant: str | None) -> AsyncIterator[DeadLetter]:
    async for letter in letters.peek():
        if tenant in (None, letter.tenant_id):
            yield letter


def _row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "queue": letter.queue,
        "sequenceNumber": letter.sequence_number,
        "tenantId": letter.tenant_id,
        "messageId": letter.message_id,
        "correlationId": letter.correlation_id,
        "reason": letter.reason,
        "description": letter.description,
        "deliveryCount": letter.delivery_count,
        "enqueuedAt": letter.enqueued_at,
        "properties": letter.properties,
        "body": letter.body,
    }
