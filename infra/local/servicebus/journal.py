"""Where accepted messages are kept so that they survive the process: an SQLite file, or nowhere.

The broker commits before it lets any answer out on the wire, so whatever a client was told is on disk. Locks are
not kept: after a restart a locked message is free again, as after a failover of the real service
(https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement: a lock can be lost
before it expires).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from infra.local.servicebus.message import Content, MessageState, QueuedMessage

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS messages (
    queue TEXT NOT NULL, sequence INTEGER NOT NULL, state INTEGER NOT NULL, enqueued_at REAL NOT NULL,
    due_at REAL, expires_at REAL, delivery_count INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (queue, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequences (queue TEXT PRIMARY KEY, reserved INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    queue TEXT NOT NULL, message_id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (queue, message_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_at ON seen (queue, at);
"""


class Journal(Protocol):
    """What a queue tells its store. Nothing is durable before :meth:`commit` returns."""

    def store(self, queue: str, message: QueuedMessage) -> None:
        """Keep this message, in place of what was kept under its sequence number."""

    def delete(self, queue: str, sequence: int) -> None:
        """The message is gone from this queue."""

    def load(self, queue: str) -> Iterator[QueuedMessage]:
        """The kept messages of this queue in sequence order."""

    def reserve_sequences(self, queue: str, upto: int) -> None:
        """Sequence numbers up to this one may have been given out."""

    def reserved_sequence(self, queue: str) -> int:
        """The highest sequence number that may have been given out; 0 for none."""

    def remember(self, queue: str, message_id: str, at: float) -> None:
        """A message with this id was accepted at this time."""

    def forget_before(self, queue: str, at: float) -> None:
        """Ids accepted before this time no longer matter."""

    def remembered(self, queue: str) -> Iterator[tuple[str, float]]:
        """The remembered ids and when they were accepted, oldest first."""

    def commit(self) -> None:
        """Make everything told so far durable."""

    def close(self) -> None:
        """Commit and let go of the file."""


class MemoryJournal:
    """Keeps nothing."""

    def store(self, queue: str, message: QueuedMessage) -> None: ...

    def delete(self, queue: str, sequence: int) -> None: ...

    def load(self, queue: str) -> Iterator[QueuedMessage]:  # noqa: ARG002
        return iter(())

    def reserve_sequences(self, queue: str, upto: int) -> None: ...

    def reserved_sequence(self, queue: str) -> int:  # noqa: ARG002
        return 0

    def remember(self, queue: str, message_id: str, at: float) -> None: ...

    def forget_before(self, queue: str, at: float) -> None: ...

    def remembered(self, queue: str) -> Iterator[tuple[str, float]]:  # noqa: ARG002
        return iter(())

    def commit(self) -> None: ...

    def close(self) -> None: ...


class SqliteJournal:
    """Keeps everything in one SQLite file in write-ahead mode, which a SIGKILL cannot tear."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)

    def store(self, queue: str, message: QueuedMessage) -> None:
        self._write(
            "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                queue,
                message.sequence,
                int(message.state),
                message.enqueued_at,
                message.due_at,
                message.expires_at,
                message.delivery_count,
                message.content.encode(),
            ),
        )

    def delete(self, queue: str, sequence: int) -> None:
        self._write("DELETE FROM messages WHERE queue = ? AND sequence = ?", (queue, sequence))

    def load(self, queue: str) -> Iterator[QueuedMessage]:
        rows = self._db.execute(
            "SELECT sequence, state, enqueued_at, due_at, expires_at, delivery_count, content"
            " FROM messages WHERE queue = ? ORDER BY sequence",
            (queue,),
        )
        for sequence, state, enqueued_at, due_at, expires_at, delivery_count, content in rows:
            yield QueuedMessage(
                sequence=sequence,
                content=Content.parse(content),
                enqueued_at=enqueued_at,
                state=MessageState(state),
                due_at=due_at,
                expires_at=expires_at,
                delivery_count=delivery_count,
            )

    def reserve_sequences(self, queue: str, upto: int) -> None:
        self._write("INSERT OR REPLACE INTO sequences VALUES (?, ?)", (queue, upto))

    def reserved_sequence(self, queue: str) -> int:
        row = self._db.execute("SELECT reserved FROM sequences WHERE queue = ?", (queue,)).fetchone()
        return int(row[0]) if row else 0

    def remember(self, queue: str, message_id: str, at: float) -> None:
        self._write("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (queue, message_id, at))

    def forget_before(self, queue: str, at: float) -> None:
        self._write("DELETE FROM seen WHERE queue = ? AND at < ?", (queue, at))

    def remembered(self, queue: str) -> Iterator[tuple[str, float]]:
        return iter(
            self._db.execute(
                "SELECT message_id, at FROM seen WHERE queue = ? ORDER BY at", (queue,)
            ).fetchall()
        )

    def commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def close(self) -> None:
        self.commit()
        self._db.close()

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
        self._db.execute(statement, values)
