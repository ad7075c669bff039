"""The events a topic accepted, in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.local.sqlite import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    source TEXT NOT NULL,
    subject TEXT,
    event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_type ON events (type, sequence);
"""


class Store:
    """All calls are synchronous."""

    def __init__(self, folder: Path | None) -> None:
        self._database = open_database(None if folder is None else folder / "eventgrid.sqlite", _SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, events: Sequence[dict[str, Any]]) -> None:
        """Keep a batch: all of it or nothing."""
        rows = [(each["type"], each["source"], each.get("subject"), json.dumps(each)) for each in events]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
            "INSERT INTO events (type, source, subject, event) VALUES (?, ?, ?, ?)", rows
        )
        self._database.execute("COMMIT")

    def read(self, wanted: dict[str, str], after: int, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Up to ``limit`` events after a sequence number, oldest first, and the last one's number.

        ``wanted`` may hold type, source and subject, matched exactly.
        """
        rows = self._database.execute(
            "SELECT sequence, event FROM events WHERE sequence > :after"
            " AND (:type IS NULL OR type = :type) AND (:source IS NULL OR source = :source)"
            " AND (:subject IS NULL OR subject = :subject) ORDER BY sequence LIMIT :limit",
            {"type": None, "source": None, "subject": None, **wanted, "after": after, "limit": limit},
        ).fetchall()
        return [json.loads(row["event"]) for row in rows], rows[-1]["sequence"] if rows else after

    def clear(self) -> None:
        """Forget all events; sequence numbers go on."""
        self._database.execute("DELETE FROM events")
