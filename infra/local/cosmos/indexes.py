"""Columns, indexes and element tables, made the first time a query needs them and kept up to date by SQLite.

For a target there are two generated columns, its type's rank and its value, so that SQLite's own order of them is the
order of types and values of the service. For the elements of an array there is a table: see :mod:`.elements`.
"""

from __future__ import annotations

import hashlib
import sqlite3

from .catalog import Container
from .partition import LEVEL_BYTES
from .predicates import Elements, Target

MAX_INDEXES = 32
"""On-demand indexes of a container; a query of yet another shape has to scan."""

_RANKS = "WHEN 'null' THEN 1 WHEN 'true' THEN 2 WHEN 'false' THEN 2 WHEN 'integer' THEN 3 WHEN 'real' THEN 3 WHEN 'text' THEN 4"


class Schema:
    """What a container's table has already, and the statements that would add what a query lacks."""

    def __init__(self, connection: sqlite3.Connection, container: Container) -> None:
        self._table = container.table
        self._columns = {row[1] for row in connection.execute(f"PRAGMA table_xinfo({self._table})")}
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE name GLOB ? OR name GLOB ?",
            (f"{self._table}_x_*", f"{self._table}_e_*"),
        )
        self._names = {row[0] for row in names}
        self.missing: list[str] = []

    def columns(self, target: Target) -> tuple[str, str]:
        """The columns with the rank and the value of a target."""
        suffix = _digest(repr(target))
        path = _quoted(target.path)
        kind = f"json_type(body, {path})"
        if target.length:
            self._add(f"t_{suffix}", f"CASE {kind} WHEN 'array' THEN 3 ELSE 0 END")
            self._add(
                f"v_{suffix}", f"CASE {kind} WHEN 'array' THEN json_array_length(body, {path}) ELSE 0 END"
            )
        else:
            self._add(
                f"t_{suffix}", f"CASE {kind} {_RANKS} WHEN 'array' THEN 5 WHEN 'object' THEN 6 ELSE 0 END"
            )
            value = f"ifnull(json_extract(body, {path}), 0)"
            self._add(f"v_{suffix}", f"CASE {kind} WHEN 'array' THEN 0 WHEN 'object' THEN 0 ELSE {value} END")
        return f"t_{suffix}", f"v_{suffix}"

    def prefix(self, levels: int) -> str:
        """The column with the first components of a hierarchical partition key."""
        self._add(f"p{levels}", f"substr(epk, 1, {levels * LEVEL_BYTES})")
        return f"p{levels}"

    def index(self, columns: list[str]) -> str | None:
        """The index over those columns (``seq`` follows by itself), or None if there are too many indexes."""
        name = f"{self._table}_x_{_digest(','.join(columns))}"
        if name not in self._names:
            if len(self._names) >= MAX_INDEXES:
                return None
            self.missing.append(f"CREATE INDEX IF NOT EXISTS {name} ON {self._table} ({', '.join(columns)})")
        return name

    def elements(self, atom: Elements) -> str:
        """The table ``(t, v, epk, seq)`` of the scalars in an array."""
        name = f"{self._table}_e_{_digest(f'{atom.array} {atom.member}')}"
        if name not in self._names:
            self.missing += _element_table(name, self._table, atom.array, atom.member)
        return name

    def _add(self, column: str, expression: str) -> None:
        if column not in self._columns:
            self._columns.add(column)
            self.missing.append(f"ALTER TABLE {self._table} ADD COLUMN {column} AS ({expression}) VIRTUAL")


def extend(connection: sqlite3.Connection, statements: list[str]) -> None:
    """Carry out statements of :attr:`Schema.missing`; another request may have done so in the meantime."""
    for statement in statements:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if "duplicate column" not in str(error):
                raise


def _element_table(name: str, table: str, array: str, member: str) -> list[str]:
    if member:
        at = f"e.fullkey || {_quoted(member)}"
        kind, value = f"json_type(body, {at})", f"json_extract(body, {at})"
    else:
        kind, value = "e.type", "e.value"
    return [
        f"CREATE TABLE IF NOT EXISTS {name} (t, v, epk BLOB, seq INTEGER, PRIMARY KEY (t, v, epk, seq)) WITHOUT ROWID",
        f"INSERT OR IGNORE INTO {name} SELECT CASE {kind} {_RANKS} END, ifnull({value}, 0), epk, seq"
        f" FROM {table}, json_each(body, {_quoted(array)}) AS e"
        f" WHERE json_type(body, {_quoted(array)}) = 'array' AND CASE {kind} {_RANKS} END IS NOT NULL"
        " ORDER BY 1, 2, 3, 4",  # sorted, a large table is filled from one end to the other
        f"INSERT OR IGNORE INTO element_tables VALUES"
        f" ({_quoted(name)}, {_quoted(table)}, {_quoted(array)}, {_quoted(member)})",
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
