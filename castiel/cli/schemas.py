"""``castiel schemas``: list, show, default, check, save, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castiel.cli.connections import find
from castiel.cli.documents import read_document
from castiel.cli.running import ChecksFailed, Run, Tenant, Yes, command, group
from castiel.domain.conversion import ConversionSchema, SchemaProblem

if TYPE_CHECKING:
    from castiel.services.schema_management import SchemaManagement

app = group("How fields are mapped: a tenant's own schemas, and those that are shipped.")
SchemaId = Annotated[str, typer.Argument(help="The schema's id.", show_default=False)]
File = Annotated[
    str,
    typer.Argument(help="The schema as JSON, as `default` prints one; - reads stdin.", show_default=False),
]
ConnectionId = Annotated[
    str, typer.Option("--connection", help="The connection whose account it is for.", show_default=False)
]
COLUMNS = ("id", "integrationId", "entity", "shardType", "version", "updatedAt", "usedBy")
PROBLEMS = ("severity", "field", "message", "suggestion")
MAPPINGS = ("field", "kind", "source", "external", "direction", "required", "transforms")
DERIVED = ("shardType", "key", "each", "condition", "mappings")


@command(app, "list")
async def list_schemas(run: Run, tenant: Tenant) -> None:
    """A tenant's own schemas, and which connections' entities are converted by them."""
    uses = await _manage(run).uses(tenant)
    rows = [
        {**each.to_json(), "usedBy": [str(use) for use in uses.get(each.id, ())]}
        for each in await _manage(run).list(tenant)
    ]
    run.output.rows(rows, COLUMNS, empty="None: all entities are converted by their default schemas.")


@command(app, "show")
async def show(run: Run, schema_id: SchemaId, tenant: Tenant) -> None:
    """One of a tenant's own. With --json the document, to be edited and saved again."""
    schema = await run.named(f"schema {schema_id}", _manage(run).get(tenant, schema_id))
    document = schema.to_json()
    if run.output.as_json:
        # As it is stored: nothing in it is a secret, and what is masked could not be saved again.
        run.output.json(document)
        return
    uses = (await _manage(run).uses(tenant)).get(schema_id, ())
    parts = {name: document.pop(name, []) for name in ("mappings", "derived")}
    run.output.one({**document, "usedBy": [str(use) for use in uses]})
    run.output.section("Mappings", [_mapping(each) for each in parts["mappings"]], MAPPINGS, empty="None.")
    if parts["derived"]:
        derived = [{**each, "mappings": len(each["mappings"])} for each in parts["derived"]]
        run.output.section("Derived shards", derived, DERIVED, empty="None.")


@command(app, "default", with_services=False)
async def default(
    run: Run,
    integration: Annotated[
        str, typer.Argument(help="The provider, as `providers list` names it.", show_default=False)
    ],
    entity: Annotated[
        str, typer.Argument(help="One of its entities, as `providers show` names it.", show_default=False)
    ],
) -> None:
    """A provider's shipped schema for an entity, as JSON: what one's own may begin with. It is of no tenant."""
    from castiel.adapters.registry import load_providers
    from castiel.services.schema_management import default_document

    run.output.json(default_document(load_providers().get(integration), entity))


@command(app, "check")
async def check(run: Run, file: File, connection_id: ConnectionId, tenant: Tenant) -> None:
    """Hold a schema to the fields that the account has now, and store nothing. Exit code 1 when it has errors."""
    document = read_document(file)
    connection = await find(run, tenant, connection_id)
    with run.output.progress() as progress:
        progress.add_task("asking", total=None)
        _, problems = await run.services.schemas.look_at(connection, document)
    run.output.rows(_rows(problems), PROBLEMS, empty="Nothing is wrong with it.")
    if any(each.severity == "error" for each in problems):
        raise ChecksFailed


@command(app, "save")
async def save(run: Run, file: File, connection_id: ConnectionId, tenant: Tenant) -> None:
    """Store a new schema, or the next version of one, once it fits the account. Workers use it within a minute."""
    document = read_document(file)
    connection = await find(run, tenant, connection_id)
    with run.output.progress() as progress:
        progress.add_task("asking", total=None)
        saved = await run.services.schemas.save(connection, document)
    schema = saved.schema
    run.output.done(
        f"Saved {schema.id}, version {schema.version}.",
        **schema.to_json(),
        warnings=_rows(saved.warnings),
    )
    if run.output.as_json:
        return
    for warning in saved.warnings:
        run.output.remark(f"warning: {warning}")
    if schema.id not in await _manage(run).uses(tenant):
        run.output.remark(f"Next: {_use_of(schema, connection_id)}")


@command(app, "delete")
async def delete(run: Run, schema_id: SchemaId, tenant: Tenant, yes: Yes = False) -> None:
    """Forget a schema that no connection's entity uses."""
    named = f"schema {schema_id}"
    await run.named(named, _manage(run).get(tenant, schema_id))
    run.confirm(f"Delete schema {schema_id}?", yes=yes)
    await run.named(named, _manage(run).delete(tenant, schema_id))
    run.output.done(f"Deleted {schema_id}.", id=schema_id, deleted=True)


def _manage(run: Run) -> SchemaManagement:
    return run.services.schema_management


def _rows(problems: Sequence[SchemaProblem]) -> list[dict[str, Any]]:
    return [
        {
            "severity": each.severity,
            "field": each.where,
            "message": each.problem,
            "suggestion": each.suggestion,
        }
        for each in problems
    ]


def _mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping in one line of a table: where its value comes from, whatever its kind."""
    sources = (
        mapping.get("source")
        or mapping.get("parts")
        or [case.get("source") or case.get("value") for case in mapping.get("cases", ())]
    )
    return {
        **mapping,
        "source": sources if sources != [] else mapping.get("value"),
        "transforms": [each["name"] for each in mapping.get("transforms", ())],
    }


def _use_of(schema: ConversionSchema, connection_id: str) -> str:
    entity = f"{schema.entity}={schema.shard_type}@{schema.id}"
    return f"connections change {connection_id} --tenant {schema.tenant_id} --entity {entity}"
