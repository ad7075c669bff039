"""How the small emulators keep their data."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def open_database(file: Path | None, schema: str) -> sqlite3.Connection:
    """Open (and create) the database; None keeps it in memory.

    Every statement outside ``with connection:`` commits by itself. With the write-ahead log a commit is in the
    operating system's hands when the call returns, so a killed process loses nothing it acknowledged.
    """
    connection = sqlite3.connect(":memory:" if file is None else file, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.executescript(schema)
    return connection
