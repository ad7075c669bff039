"""The command's groups, put together."""

from __future__ import annotations

import typer

from castiel.cli import (
    authorize,
    conflicts,
    connection_changes,
    connection_checks,
    connections,
    credentials,
    deletions,
    dlq,
    doctor,
    duplicates,
    failed,
    limits,
    providers,
    results,
    schemas,
    tail,
    tasks,
    webhook_checks,
    webhooks,
)

app = typer.Typer(
    name="castiel",
    help="Looks after Castiel: in the cloud or on this machine, by the settings of the environment.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"max_content_width": 100},
)
doctor.register(app)
GROUPS = (
    ("connections", connections),
    ("schemas", schemas),
    ("providers", providers),
    ("credentials", credentials),
    ("webhooks", webhooks),
    ("tasks", tasks),
    ("results", results),
    ("conflicts", conflicts),
    ("duplicates", duplicates),
    ("deletions", deletions),
    ("failed", failed),
    ("dlq", dlq),
    ("limits", limits),
)
MORE_COMMANDS = (authorize, connection_changes, connection_checks, webhook_checks)
"""Imported for the commands they add to a group above."""
for name, module in GROUPS:
    app.add_typer(module.app, name=name)
tail.register(app)


def main() -> None:
    """Run the command."""
    app(prog_name="python -m castiel")
