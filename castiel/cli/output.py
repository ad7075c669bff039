"""Tables for people, JSON for programs; nothing secret and no control characters in either."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from castiel.cli.cells import cell, heading, printable
from castiel.domain.model import Model, format_utc
from castiel.redaction import MASK, redact

PIPE_WIDTH = 220
"""Columns of a table that goes into a file or a pipe."""
SECRET_NAMES = frozenset(
    {
        "accesstoken",
        "refreshtoken",
        "clientsecret",
        "privatekey",
        "password",
        "assertion",
        "codeverifier",
        "apikey",
        "authorization",
        "secret",
        "token",
    }
)
"""Names whose text is masked wherever it turns up: a message's body may hold whatever a provider sent."""


class Output:
    """Where a command's answer goes: ``stdout``, as JSON alone when ``as_json``; remarks go to ``stderr``."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.people = _console(stderr=False)
        self.remarks = _console(stderr=True)

    def rows(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
        """A list: a table of these columns, or a JSON array of whole objects."""
        listed = [plain(row) for row in rows]
        if self.as_json:
            self.json(listed)
        else:
            self._table(listed, columns, empty)

    def one(self, value: Mapping[str, Any] | Model) -> None:
        """One object: its fields below each other, or JSON."""
        shown = plain(value)
        if self.as_json:
            self.json(shown)
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, each in shown.items():
            table.add_row(Text(heading(name)), cell(each))
        self.people.print(table)

    def section(
        self, title: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str
    ) -> None:
        """A table below an object, for people alone: the JSON has said it all."""
        if not self.as_json:
            self.people.print(Text(f"\n{title}", style="bold underline"))
            self._table([plain(row) for row in rows], columns, empty)

    def done(self, sentence: str, **facts: Any) -> None:
        """What was done: a sentence, or the facts as JSON."""
        if self.as_json:
            self.json(plain(facts))
        else:
            self.people.print(Text(printable(sentence)))

    def reveal(self, sentence: str, secret: SecretStr | None, **facts: Any) -> None:
        """What was done, and a new secret in the clear, this once: whoever gets it has no other way to learn it."""
        value = secret.get_secret_value() if secret is not None else None
        if self.as_json:
            self.json(plain(facts) | ({"secret": value} if value is not None else {}))
            return
        self.done(sentence)
        if value is not None:
            self.remark("The secret, shown this once:")
            typer.echo(value)

    def remark(self, sentence: str) -> None:
        """Something a person should see, that is no answer."""
        self.remarks.print(Text(printable(sentence)))

    def json(self, value: Any, *, line: bool = False) -> None:
        """JSON to stdout, readable or in one line."""
        typer.echo(json.dumps(value, ensure_ascii=False, indent=None if line else 2))

    def progress(self) -> Progress:
        """Shown on a terminal only, on stderr."""
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.remarks,
            transient=True,
            disable=not sys.stderr.isatty(),
        )

    def _table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
        if not rows:
            self.people.print(Text(empty))
            return
        shown = [name for name in columns if any(row.get(name) not in (None, [], {}) for row in rows)]
        today = datetime.now(UTC).date()
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in shown:
            title = heading(column)
            table.add_column(title, overflow="fold", min_width=max(map(len, title.split())))
        for row in rows:
            table.add_row(*(cell(row.get(column), today=today) for column in shown))
        self.people.print(table)


def _console(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr, width=None if terminal else PIPE_WIDTH, highlight=False, soft_wrap=not terminal
    )


def plain(value: Any) -> Any:
    """JSON values with their secrets masked."""
    if isinstance(value, Model):
        value = value.to_json()
    if isinstance(value, Mapping):
        return {
            str(name): MASK if isinstance(each, str) and _is_secret(str(name)) else plain(each)
            for name, each in value.items()
        }
    if isinstance(value, str) and not isinstance(value, Enum):
        return redact(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def _is_secret(name: str) -> bool:
    return name.replace("_", "").replace("-", "").lower() in SECRET_NAMES
