"""The SQLite file under the emulator: connections, and who may use them.

One thread writes, a few read; WAL lets them work side by side. With ``synchronous=NORMAL`` a commit survives SIGKILL
of the process. Without a folder everything is in one in-memory database used by one thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
READERS = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS databases (id TEXT PRIMARY KEY, rid TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS containers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    database TEXT NOT NULL REFERENCES databases (id),
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (database, id)
);
CREATE TABLE IF NOT EXISTS element_tables (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    array TEXT NOT NULL,
    member TEXT NOT NULL
);
"""


class Connection(sqlite3.Connection):
    """A connection with what it has read of the schema: kept as long as the schema is the same."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: dict[str, Any] = {}


def connect(folder: Path | None) -> sqlite3.Connection:
    """Open the database of an emulator's data folder (None: in memory), creating it if need be."""
    path = ":memory:" if folder is None else str(folder / "cosmos.db")
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=60, check_same_thread=False, factory=Connection
    )
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536; PRAGMA mmap_size=4294967296;"
        "PRAGMA temp_store=MEMORY;"
    )
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of databases and containers, if they are not there."""
    connection.executescript(_SCHEMA)


class Database:
    """Runs functions of a connection in transactions, off the event loop."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._writer = ThreadPoolExecutor(1, "writer")
        self._readers = self._writer if folder is None else ThreadPoolExecutor(READERS, "reader")
        self._writer.submit(lambda: prepare(self._connection())).result()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work(connection)`` on one consistent snapshot."""
        return await self._run(self._readers, "BEGIN", work)

    async def read_briefly(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """:meth:`read` for what takes no time, such as a look-up by key: on the event loop, if the data is in a file."""
        if self._readers is self._writer:
            return await self.read(work)
        return self._transact("BEGIN", work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work(connection)`` in a transaction that is rolled back when it raises."""
        return await self._run(self._writer, "BEGIN IMMEDIATE", work)

    def close(self) -> None:
        """Finish what is under way and close the file."""
        self._readers.shutdown()
        self._writer.shutdown()
        for connection in self._opened:
            connection.close()

    async def _run(
        self, executor: ThreadPoolExecutor, begin: str, work: Callable[[sqlite3.Connection], T]
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, self._transact, begin, work)

    def _transact(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        return transact(self._connection(), work, begin)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._folder)
            self._opened.append(connection)
        return connection


def transact(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], begin: str = "BEGIN IMMEDIATE"
) -> T:
    """``work(connection)`` in a transaction of its own."""
    connection.execute(begin)
    try:
        result = work(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return result
