"""What waits for a person, found by its id or the beginning of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from castiel.cli.exits import UsageProblem
from castiel.cli.running import Run
from castiel.domain.parked import ParkedConflict, ParkedKind
from castiel.errors import NotFound

ParkedId = Annotated[
    str, typer.Argument(help="Its id, or as much of it as is its alone.", show_default=False)
]
OfConnection = Annotated[
    str | None, typer.Option("--connection", help="Only this connection's.", show_default=False)
]
SHORT = 12
"""Characters of an id in a table."""


async def waiting(run: Run, tenant: str, kind: ParkedKind) -> AsyncIterator[ParkedConflict]:
    """All of a kind, streamed."""
    async for parked in run.services.conflicts.parked(tenant):
        if parked.kind is kind:
            yield parked


async def find(run: Run, tenant: str, kind: ParkedKind, beginning: str) -> ParkedConflict:
    """The one whose id begins so. Raises :class:`NotFound`, and :class:`UsageProblem` when several do."""
    found = [each async for each in waiting(run, tenant, kind) if each.id.startswith(beginning)]
    exact = [each for each in found if each.id == beginning] or found
    if not exact:
        raise NotFound(f"nothing of this kind waits under {beginning}")
    if len(exact) > 1:
        raise UsageProblem(f"{beginning}: {len(exact)} ids begin so; write more of it")
    return exact[0]


def row(run: Run, parked: ParkedConflict) -> dict[str, Any]:
    """It as a row: for people with the beginning of its id."""
    shown = {**parked.to_json(), "kind": parked.kind}
    return shown if run.output.as_json else {**shown, "id": parked.id[:SHORT]}
