"""The vault's secrets, their versions, and those deleted but recoverable."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.sqlite import open_database

RETENTION_DAYS = 90
"""How long a deleted secret stays recoverable: the default of a vault
(https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview)."""

# Object names are case-insensitive: https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates
_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL COLLATE NOCASE,
    version TEXT NOT NULL,
    value TEXT NOT NULL,
    contentType TEXT,
    tags TEXT NOT NULL,
    attributes TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS by_name ON versions (name, sequence);
CREATE TABLE IF NOT EXISTS deleted (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    deletedDate INTEGER NOT NULL,
    scheduledPurgeDate INTEGER NOT NULL
);
"""


@dataclass(frozen=True)
class Version:
    """One version of a secret."""

    sequence: int
    name: str
    version: str
    value: str
    content_type: str | None
    tags: dict[str, str]
    attributes: dict[str, Any]

    @property
    def enabled(self) -> bool:
        """Whether its value may be read."""
        return bool(self.attributes["enabled"])


class Store:
    """All calls are synchronous and take well under a millisecond."""

    def __init__(self, folder: Path | None) -> None:
        self._database = open_database(None if folder is None else folder / "keyvault.sqlite", _SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(
        self, name: str, value: str, content_type: str | None, tags: Any, attributes: Mapping[str, Any]
    ) -> Version:
        """Store a new version, which becomes the current one."""
        now = int(time.time())
        stored = {"enabled": True, **attributes, "created": now, "updated": now}
        cursor = self._database.execute(
            "INSERT INTO versions (name, version, value, contentType, tags, attributes) VALUES (?, ?, ?, ?, ?, ?)",
            (name, uuid.uuid4().hex, value, content_type, json.dumps(tags or {}), json.dumps(stored)),
        )
        return self._by_sequence(cursor.lastrowid)

    def find(self, name: str, version: str = "", *, deleted: bool = False) -> Version | None:
        """A version, or the current one; among the deleted secrets if asked for."""
        if (self.deletion(name) is not None) != deleted:
            return None
        row = self._database.execute(
            "SELECT * FROM versions WHERE name = ? AND (? = '' OR version = ?) ORDER BY sequence DESC LIMIT 1",
            (name, version, version),
        ).fetchone()
        return None if row is None else _version(row)

    def update(
        self, found: Version, content_type: str | None, tags: Any, attributes: Mapping[str, Any]
    ) -> Version:
        """Change a version's properties; what is None stays."""
        merged = {**found.attributes, **attributes, "updated": int(time.time())}
        self._database.execute(
            "UPDATE versions SET contentType = ?, tags = ?, attributes = ? WHERE sequence = ?",
            (
                found.content_type if content_type is None else content_type,
                json.dumps(found.tags if tags is None else tags),
                json.dumps(merged),
                found.sequence,
            ),
        )
        return self._by_sequence(found.sequence)

    def page(self, after: str, size: int, *, deleted: bool = False) -> list[Version]:
        """The current versions of up to ``size`` secrets whose name comes after ``after``."""
        rows = self._database.execute(
            "SELECT versions.* FROM versions JOIN (SELECT name, MAX(sequence) AS latest FROM versions GROUP BY name)"
            " ON sequence = latest"
            " WHERE versions.name > ? AND (versions.name IN (SELECT name FROM deleted)) = ?"
            " ORDER BY versions.name LIMIT ?",
            (after, deleted, size),
        )
        return [_version(row) for row in rows]

    def page_of_versions(self, name: str, after: int, size: int) -> list[Version]:
        """Up to ``size`` versions of a secret, oldest first, after a sequence number."""
        rows = self._database.execute(
            "SELECT * FROM versions WHERE name = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (name, after, size),
        )
        return [_version(row) for row in rows]

    def deletion(self, name: str) -> tuple[int, int] | None:
        """When a deleted secret was deleted and will be purged, or None if it is not deleted.

        A secret whose retention has passed is purged here.
        """
        row = self._database.execute("SELECT * FROM deleted WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        if row["scheduledPurgeDate"] <= time.time():
            self.purge(name)
            return None
        return row["deletedDate"], row["scheduledPurgeDate"]

    def delete(self, name: str) -> None:
        """Make a secret unreadable but recoverable."""
        now = int(time.time())
        self._database.execute(
            "INSERT INTO deleted VALUES (?, ?, ?)", (name, now, now + RETENTION_DAYS * 86400)
        )

    def recover(self, name: str) -> None:
        """Undo a deletion, all versions included."""
        self._database.execute("DELETE FROM deleted WHERE name = ?", (name,))

    def purge(self, name: str) -> None:
        """Forget a deleted secret for good."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("DELETE FROM versions WHERE name = ?", (name,))
        self._database.execute("DELETE FROM deleted WHERE name = ?", (name,))
        self._database.execute("COMMIT")

    def _by_sequence(self, sequence: int | None) -> Version:
        return _version(
            self._database.execute("SELECT * FROM versions WHERE sequence = ?", (sequence,)).fetchone()
        )


def _version(row: sqlite3.Row) -> Version:
    return Version(
        sequence=row["sequence"],
        name=row["name"],
        version=row["version"],
        value=row["value"],
        content_type=row["contentType"],
        tags=json.loads(row["tags"]),
        attributes=json.loads(row["attributes"]),
    )
