"""What the sandboxed providers remember, in one SQLite database.

Records are kept by provider and entity, deleted ones included; each change is also logged with who made it.
Providers keep whatever else they need (tokens, policies, cursors) as named JSON documents.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.sandbox.clock import Clock

JsonObject = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    provider TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL,
    created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, entity, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_time ON records (provider, entity, modified_ms, id, deleted);
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, provider TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL,
    operation TEXT NOT NULL, fields TEXT NOT NULL, origin TEXT NOT NULL, at_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    provider TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (provider, kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "id, data, created_ms, modified_ms, deleted"


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record; `data` holds the provider's own fields, without id and times."""

    id: str
    data: JsonObject
    created_ms: int
    modified_ms: int
    deleted: bool = False

    @classmethod
    def of(cls, row: Sequence[Any]) -> Record:
        return cls(row[0], json.loads(row[1]), row[2], row[3], bool(row[4]))


class Store:
    """SQLite behind a few verbs. Every verb commits before it returns, unless inside `transaction()`.

    With a file, what was committed survives the process being killed (write-ahead log).
    """

    def __init__(self, path: Path | None = None) -> None:
        """`path` None keeps everything in memory."""
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self.clock = Clock(int(self.document("", "sandbox", "clock_offset_ms") or 0))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nested use joins the outer transaction through a savepoint."""
        nested = self._db.in_transaction
        self._db.execute("SAVEPOINT step" if nested else "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO step" if nested else "ROLLBACK")
            if nested:
                self._db.execute("RELEASE step")
            raise
        self._db.execute("RELEASE step" if nested else "COMMIT")

    def set_clock_offset(self, offset_ms: int) -> None:
        self.clock.offset_ms = offset_ms
        self.put_document("", "sandbox", "clock_offset_ms", offset_ms)

    # Records ---------------------------------------------------------------------------------------------

    def put(self, provider: str, entity: str, record: Record) -> None:
        self.put_many(provider, entity, [record])

    def put_many(self, provider: str, entity: str, records: Iterable[Record]) -> None:
        rows = [
            (provider, entity, r.id, json.dumps(r.data), r.created_ms, r.modified_ms, int(r.deleted))
            for r in records
        ]
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO records VALUES (?,?,?,?,?,?,?)", rows)

    def get(self, provider: str, entity: str, record_id: str) -> Record | None:
        """The record, deleted or not."""
        sql = f"SELECT {_COLUMNS} FROM records WHERE provider=? AND entity=? AND id=?"  # noqa: S608
        row = self._db.execute(sql, (provider, entity, record_id)).fetchone()
        return Record.of(row) if row else None

    def remove(self, provider: str, entity: str, record_id: str) -> None:
        """Forget a record entirely, as an emptied recycle bin does."""
        self._db.execute(
            "DELETE FROM records WHERE provider=? AND entity=? AND id=?", (provider, entity, record_id)
        )

    def find(
        self, provider: str, entity: str, where: str = "1", parameters: Sequence[Any] = (), tail: str = ""
    ) -> list[Record]:
        """Records of one entity by a SQL condition over id, data, created_ms, modified_ms and deleted."""
        sql = f"SELECT {_COLUMNS} FROM records WHERE provider=? AND entity=? AND ({where}) {tail}"  # noqa: S608
        rows = self._db.execute(sql, (provider, entity, *parameters))
        return [Record.of(row) for row in rows]

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Any read over the tables above, for providers with a query language of their own."""
        return self._db.execute(sql, parameters).fetchall()

    def index(self, field: str, *, ignoring_case: bool = False) -> None:
        """Make conditions `json_extract(data, '$.<field>') = ?` quick; the collation has to be the query's."""
        case = "NOCASE" if ignoring_case else "BINARY"
        self._db.execute(
            f"CREATE INDEX IF NOT EXISTS records_by_{field} ON records "
            f"(json_extract(data, '$.{field}') COLLATE {case})"  # SQLite adds the primary key itself
        )

    def counts(self, provider: str) -> dict[str, dict[str, int]]:
        """Live and deleted records per entity."""
        sql = "SELECT entity, SUM(deleted=0), SUM(deleted=1) FROM records WHERE provider=? GROUP BY entity"
        rows = self._db.execute(sql, (provider,))
        return {entity: {"live": live, "deleted": deleted} for entity, live, deleted in rows}

    def next_number(self, name: str, count: int = 1) -> int:
        """The first of `count` numbers never handed out before under this name (from 1)."""
        sql = (
            "INSERT INTO counters VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value=value+? RETURNING value"
        )
        rows = self._db.execute(sql, (name, count, count)).fetchall()
        return int(rows[0][0]) - count + 1

    # Changes ---------------------------------------------------------------------------------------------

    def log_change(
        self, provider: str, entity: str, record_id: str, operation: str, fields: JsonObject, origin: str
    ) -> None:
        """Note who changed what: operation create, update, delete or undelete; `fields` the new values."""
        sql = "INSERT INTO changes (provider, entity, id, operation, fields, origin, at_ms) VALUES (?,?,?,?,?,?,?)"
        values = (provider, entity, record_id, operation, json.dumps(fields), origin, self.clock.now_ms())
        self._db.execute(sql, values)

    def changes(self, provider: str, since: int = 0, entity: str | None = None) -> list[JsonObject]:
        """Logged changes after sequence number `since`, oldest first."""
        sql = (
            "SELECT seq, entity, id, operation, fields, origin, at_ms FROM changes "
            "WHERE provider=? AND seq>? AND (? IS NULL OR entity=?) ORDER BY seq"
        )
        names = ("seq", "entity", "id", "operation", "fields", "origin", "atMs")
        rows = self._db.execute(sql, (provider, since, entity, entity))
        return [dict(zip(names, (*row[:4], json.loads(row[4]), *row[5:]), strict=True)) for row in rows]

    # Documents -------------------------------------------------------------------------------------------

    def put_document(self, provider: str, kind: str, name: str, value: Any) -> None:
        sql = "INSERT OR REPLACE INTO documents VALUES (?,?,?,?)"
        self._db.execute(sql, (provider, kind, name, json.dumps(value)))

    def document(self, provider: str, kind: str, name: str) -> Any:
        """The document, or None."""
        sql = "SELECT value FROM documents WHERE provider=? AND kind=? AND name=?"
        row = self._db.execute(sql, (provider, kind, name)).fetchone()
        return json.loads(row[0]) if row else None

    def documents(self, provider: str, kind: str) -> dict[str, Any]:
        rows = self._db.execute(
            "SELECT name, value FROM documents WHERE provider=? AND kind=?", (provider, kind)
        )
        return {name: json.loads(value) for name, value in rows}

    def remove_document(self, provider: str, kind: str, name: str) -> None:
        self._db.execute(
            "DELETE FROM documents WHERE provider=? AND kind=? AND name=?", (provider, kind, name)
        )

    def forget(self, provider: str) -> None:
        """Drop a provider's records, changes, documents and counters."""
        with self.transaction():
            for table in ("records", "changes", "documents"):
                self._db.execute(f"DELETE FROM {table} WHERE provider=?", (provider,))  # noqa: S608
            self._db.execute("DELETE FROM counters WHERE name LIKE ?", (f"{provider}:%",))
