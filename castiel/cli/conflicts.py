"""``castiel conflicts``: list, show side by side, resolve. What is decided flows on like any change."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from castiel.cli import parked as parking
from castiel.cli.cells import cell
from castiel.cli.exits import UsageProblem
from castiel.cli.parked import OfConnection, ParkedId
from castiel.cli.running import Limit, Run, Tenant, Yes, answerable, command, group
from castiel.cli.values import json_or_text, pairs
from castiel.domain.parked import Choice, ParkedConflict, ParkedKind
from castiel.errors import NotFound

app = group("Fields changed on both sides, which wait for a person.")
COLUMNS = ("id", "entity", "externalId", "field", "base", "local", "external", "connectionId", "detectedAt")
SIDES = (Choice.LOCAL, Choice.EXTERNAL)


@dataclass(frozen=True)
class Decision:
    """Whose value a field gets."""

    parked: ParkedConflict
    choice: Choice
    value: Any = None

    @property
    def winner(self) -> Any:
        """The value the field gets."""
        return {
            Choice.LOCAL: self.parked.local,
            Choice.EXTERNAL: self.parked.external,
            Choice.VALUE: self.value,
        }[self.choice]


@command(app, "list")
async def list_conflicts(
    run: Run,
    tenant: Tenant,
    connection: OfConnection = None,
    field: Annotated[
        str | None, typer.Option("--field", help="Only about this field.", show_default=False)
    ] = None,
    limit: Limit = 100,
) -> None:
    """The fields that wait for a person, oldest first."""
    found = [
        each
        async for each in parking.waiting(run, tenant, ParkedKind.CONFLICT)
        if connection in (None, each.connection_id) and field in (None, each.field)
    ]
    found.sort(key=lambda each: (each.detected_at, each.id))
    rows = [parking.row(run, each) for each in found[:limit]]
    run.output.rows(rows, COLUMNS, empty="No conflicts.")
    if len(found) > limit and not run.output.as_json:
        run.output.remark(f"{len(found) - limit} more: --limit {len(found)}")


@command(app, "show")
async def show(run: Run, conflict_id: ParkedId, tenant: Tenant) -> None:
    """All fields of the record that wait, side by side, as they are now."""
    first = await parking.find(run, tenant, ParkedKind.CONFLICT, conflict_id)
    fields = await _of_record(run, first)
    where = {
        "shardId": first.shard_id,
        "connectionId": first.connection_id,
        "integrationId": first.integration_id,
        "entity": first.entity,
        "externalId": first.external_id,
    }
    sides = [
        {
            **({"id": each.id} if run.output.as_json else {}),
            "field": each.field,
            "base": each.base,
            "local": each.local,
            "external": each.external,
            "detectedAt": each.detected_at,
        }
        for each in fields
    ]
    if run.output.as_json:
        run.output.one({**where, "fields": sides})
        return
    run.output.one(where)
    columns = ("field", "base", "local", "external", "detectedAt")
    run.output.section("Side by side", sides, columns, empty="Settled meanwhile.")


@command(app, "resolve")
async def resolve(
    run: Run,
    conflict_id: ParkedId,
    tenant: Tenant,
    take: Annotated[
        Choice | None,
        typer.Option("--take", help="local or external: that side's value wins.", show_default=False),
    ] = None,
    value: Annotated[
        str | None,
        typer.Option("--value", help="Another value: text, or JSON (null empties it).", show_default=False),
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="With --take: all fields of the record.")] = False,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", help="A field of the record: title=local (repeatable).", show_default=False),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A field's other value: title=Countess (repeatable).", show_default=False),
    ] = None,
    yes: Yes = False,
) -> None:
    """Decide one field, or the fields of its record.

    On a terminal without options it asks for each. Every system that has another value is told.
    """
    first = await parking.find(run, tenant, ParkedKind.CONFLICT, conflict_id)
    fields = await _of_record(run, first)
    if not fields:
        raise NotFound(f"conflict {conflict_id} was settled meanwhile")
    one = [each for each in fields if each.id == first.id]
    ways = [take is not None, value is not None, bool(field or setting)]
    if sum(ways) > 1 or (record and take is None):
        raise UsageProblem("say one of --take (with --record for all fields), --value, or --field and --set")
    if take is not None:
        decisions = [Decision(each, _side(take)) for each in (fields if record else one)]
    elif value is not None:
        decisions = [Decision(each, Choice.VALUE, json_or_text(value)) for each in one]
    elif field or setting:
        decisions = _per_field(fields, pairs(field or ()), pairs(setting or ()))
    else:
        decisions = _ask(run, fields)
    await _settle(run, tenant, decisions, yes=yes)


async def _settle(run: Run, tenant: str, decisions: Sequence[Decision], *, yes: bool) -> None:
    if not decisions:
        raise NotFound("nothing was decided")
    named = ", ".join(f"{each.parked.field} = {cell(each.winner)}" for each in decisions)
    run.confirm(f"Settle {named}? The other values are overwritten everywhere.", yes=yes)
    correlation_id = run.correlation_id()
    settled: list[str] = []
    for each in decisions:
        shard = await run.services.conflicts.resolve(
            tenant, each.parked.id, each.choice, each.value, correlation_id=correlation_id
        )
        if shard is not None:
            settled.append(each.parked.field or "")
    gone = len(decisions) - len(settled)
    rest = f"; {gone} had been settled meanwhile" if gone else ""
    run.output.done(
        f"Settled {', '.join(settled) or 'nothing'}{rest}.",
        shardId=decisions[0].parked.shard_id,
        settled=settled,
        settledMeanwhile=gone,
        correlationId=correlation_id,
    )


async def _of_record(run: Run, first: ParkedConflict) -> list[ParkedConflict]:
    """The conflicts of the same record that still wait, with their present values, by field."""
    record = (first.connection_id, first.entity, first.external_id)
    found = [
        await run.services.conflicts.present(each)
        async for each in parking.waiting(run, first.tenant_id, ParkedKind.CONFLICT)
        if (each.connection_id, each.entity, each.external_id) == record
    ]
    return sorted((each for each in found if each is not None), key=lambda each: each.field or "")


def _per_field(
    fields: Sequence[ParkedConflict], sides: Mapping[str, Any], values: Mapping[str, Any]
) -> list[Decision]:
    by_name = {each.field: each for each in fields}
    for name in [*sides, *values]:
        if name not in by_name:
            raise UsageProblem(f"{name}: not in conflict; there are {', '.join(map(str, by_name))}")
    if sides.keys() & values.keys():
        raise UsageProblem("name each field once")
    return [Decision(by_name[name], _side(side)) for name, side in sides.items()] + [
        Decision(by_name[name], Choice.VALUE, value) for name, value in values.items()
    ]


def _side(text: Any) -> Choice:
    if text not in SIDES:
        raise UsageProblem(f"{text}: say local or external; another value goes by --value or --set")
    return Choice(text)


def _ask(run: Run, fields: Sequence[ParkedConflict]) -> list[Decision]:
    if run.output.as_json or not sys.stdin.isatty():
        raise UsageProblem("say --take local or external, --value, or --field and --set")
    decisions: list[Decision] = []
    for each in fields:
        run.output.remark(f"\n{each.field}\n  base      {cell(each.base)}")
        run.output.remark(f"  local     {cell(each.local)}\n  external  {cell(each.external)}")
        with answerable():
            answer = typer.prompt("local, external, value or skip", default="skip", err=True)
            if answer == "value":
                text = typer.prompt("value", err=True)
                decisions.append(Decision(each, Choice.VALUE, json_or_text(text)))
        if answer in SIDES:
            decisions.append(Decision(each, Choice(answer)))
    return decisions
