"""The command's groups, put together."""

from __future__ import annotations

import typer

from castiel.cli import dlq, doctor, failed, results, tasks

app = typer.Typer(
    name="castiel",
    help="Looks after Castiel: in the cloud or on this machine, by the settings of the environment.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)
doctor.register(app)
for name, module in (("tasks", tasks), ("results", results), ("dlq", dlq), ("failed", failed)):
    app.add_typer(module.app, name=name)


def main() -> None:
    """Run the command."""
    app(prog_name="python -m castiel")
