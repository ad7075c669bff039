"""``castiel deletions``: what a full pass did not see, and would delete more of than it may: list, confirm, decline."""

from __future__ import annotations

from castiel.cli import parked as parking
from castiel.cli.parked import ParkedId
from castiel.cli.running import Run, Tenant, Yes, command, group
from castiel.domain.parked import ParkedKind

app = group("More is gone at a provider than is deleted unasked.")
COLUMNS = ("id", "connectionId", "entity", "shardType", "known", "unseen", "reason", "detectedAt")


@command(app, "list")
async def list_deletions(run: Run, tenant: Tenant) -> None:
    """The full passes that ask."""
    rows = [parking.row(run, each) async for each in parking.waiting(run, tenant, ParkedKind.DELETIONS)]
    run.output.rows(rows, COLUMNS, empty="Nothing is asked.")


@command(app, "confirm")
async def confirm(run: Run, deletion_id: ParkedId, tenant: Tenant, yes: Yes = False) -> None:
    """They are gone: delete them here, and tell the other systems."""
    parked = await parking.find(run, tenant, ParkedKind.DELETIONS, deletion_id)
    run.confirm(
        f"Delete the {parked.unseen} of {parked.known} records of {parked.entity} that were not seen?",
        yes=yes,
    )
    correlation_id = run.correlation_id()
    with run.output.progress() as progress:
        progress.add_task("deleting", total=None)
        done = await run.services.deletions.confirm(tenant, parked.id, correlation_id=correlation_id)
    run.output.done(
        f"Deleted {done.records_deleted}.", deleted=done.records_deleted, correlationId=correlation_id
    )


@command(app, "decline")
async def decline(run: Run, deletion_id: ParkedId, tenant: Tenant) -> None:
    """They are not: delete nothing; the next full pass looks again."""
    parked = await parking.find(run, tenant, ParkedKind.DELETIONS, deletion_id)
    await run.services.deletions.decline(tenant, parked.id)
    run.output.done("Nothing is deleted.", id=parked.id, declined=True)
