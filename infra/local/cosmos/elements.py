"""The tables of the scalars in arrays, which queries look documents up by.

SQL fills one when it is made; after that each write brings its own rows, from the document it has parsed already.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .database import Connection

Steps = tuple[str | int, ...]
Scalar = tuple[int, Any]
"""A value as such a table has it: its type's rank, and what SQLite's JSON functions make of it."""


@dataclass(frozen=True)
class ElementTable:
    """One table, and the steps that lead to the array within a document, and to the scalar within an element."""

    name: str
    array: Steps
    member: Steps

    def scalars(self, document: Any) -> set[Scalar]:
        """The rows a document has in the table."""
        found = _at(document, self.array)
        if not isinstance(found, list):
            return set()
        values = (_at(element, self.member) for element in found) if self.member else found
        return {scalar for value in values if (scalar := _scalar(value)) is not None}

    def insert(
        self, connection: sqlite3.Connection, documents: Sequence[tuple[int, bytes, dict[str, Any]]]
    ) -> None:
        """Add the rows of new documents: number, effective partition key and content of each."""
        rows = [
            (kind, value, epk, seq)
            for seq, epk, document in documents
            for kind, value in self.scalars(document)
        ]
        connection.executemany(f"INSERT OR IGNORE INTO {self.name} VALUES (?, ?, ?, ?)", rows)


def element_tables(connection: sqlite3.Connection, owner: str) -> Sequence[ElementTable]:
    """The tables that hold elements of the documents of a container's table."""
    kept = connection.kept if isinstance(connection, Connection) else {}
    version = connection.execute("PRAGMA schema_version").fetchone()[0]
    if kept.get("version") != version:
        kept.clear()
        kept["version"] = version
    if owner not in kept:
        rows = connection.execute("SELECT name, array, member FROM element_tables WHERE owner = ?", (owner,))
        kept[owner] = [ElementTable(name, _steps(array), _steps(member)) for name, array, member in rows]
    tables: Sequence[ElementTable] = kept[owner]
    return tables


def rewrite(
    connection: sqlite3.Connection, owner: str, seq: int, old: str, document: dict[str, Any] | None
) -> None:
    """Bring the rows of a document that had the text ``old`` up to date; ``None`` when it is deleted.

    Before it is, since its partition key is read from its row. Most writes leave all rows as they are.
    """
    tables = element_tables(connection, owner)
    before = orjson.loads(old) if tables else None
    for table in tables:
        was, now = table.scalars(before), set() if document is None else table.scalars(document)
        if was == now:
            continue
        epk = connection.execute(f"SELECT epk FROM {owner} WHERE seq = ?", (seq,)).fetchone()[0]
        connection.executemany(
            f"DELETE FROM {table.name} WHERE t = ? AND v = ? AND epk = ? AND seq = ?",
            [(*scalar, epk, seq) for scalar in was - now],
        )
        connection.executemany(
            f"INSERT OR IGNORE INTO {table.name} VALUES (?, ?, ?, ?)",
            [(*scalar, epk, seq) for scalar in now - was],
        )


def _steps(path: str) -> Steps:
    """The steps of a JSON path: ``$."a"[0]`` leads to the first of ``a``."""
    return tuple(name if name is not None else int(index) for name, index in _parts(path))


def _parts(path: str) -> Iterator[tuple[str | None, str]]:
    return ((found[1], found[2]) for found in _STEP.finditer(path))


def _at(value: Any, steps: Steps) -> Any:
    for step in steps:
        try:
            value = value[step] if isinstance(value, dict if isinstance(step, str) else list) else _ABSENT
        except LookupError:
            return _ABSENT
    return value


_ABSENT = object()
_STEP = re.compile(r'\."([^"]*)"|\[(\d+)\]')


def _scalar(value: Any) -> Scalar | None:
    if isinstance(value, str):
        return 4, value
    if value is None:
        return 1, 0
    if isinstance(value, bool):
        return 2, int(value)
    if isinstance(value, int):
        return 3, value if -(2**63) <= value < 2**63 else float(value)
    return (3, value) if isinstance(value, float) else None
