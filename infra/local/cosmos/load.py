"""Bulk loading for benchmarks: documents straight into the file of an emulator, stopped or running.

from infra.local.cosmos.load import load
load(Path("data"), "castiel", "shards", documents, partition_key=["/tenantId", "/shardType"])
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .catalog import Container, create_container, create_database, get_container, list_databases
from .database import connect, prepare, transact
from .elements import element_tables
from .errors import CosmosError
from .items import INSERT, new_row, next_seq
from .partition import document_key, effective_keys

BATCH_DOCUMENTS = 10_000


def load(
    data: Path,
    database: str,
    container: str,
    documents: Iterable[dict[str, Any]],
    *,
    partition_key: Sequence[str] | None = None,
) -> int:
    """Insert new documents and return how many; each needs an ``id`` not yet in its partition.

    ``data`` is the emulator's ``--data`` folder. With ``partition_key`` (its paths) a missing database and container
    are made. Committed every :data:`BATCH_DOCUMENTS`. Raises CosmosError, sqlite3.IntegrityError for an id in use.
    """
    data.mkdir(parents=True, exist_ok=True)
    connection = connect(data)
    try:
        prepare(connection)
        target = transact(connection, lambda c: _container(c, database, container, partition_key))
        loaded = 0
        rest = iter(documents)
        while part := list(islice(rest, BATCH_DOCUMENTS)):
            transact(connection, lambda c, part=part: _insert(c, target, part))  # type: ignore[misc]
            loaded += len(part)
        return loaded
    finally:
        connection.close()


def _insert(
    connection: sqlite3.Connection, container: Container, documents: Sequence[dict[str, Any]]
) -> None:
    placed = [
        (seq, effective_keys(document_key(d, container.paths), hierarchical=container.hierarchical), d)
        for seq, d in enumerate(documents, next_seq(connection, container))
    ]
    connection.executemany(INSERT.format(container.table), (new_row(container, *each) for each in placed))
    for table in element_tables(connection, container.table):
        table.insert(connection, placed)


def _container(
    connection: sqlite3.Connection, database: str, container: str, paths: Sequence[str] | None
) -> Container:
    if paths is not None:
        if database not in [found["id"] for found in list_databases(connection)]:
            create_database(connection, {"id": database})
        try:
            return get_container(connection, database, container)
        except CosmosError:
            kind = "MultiHash" if len(paths) > 1 else "Hash"
            body = {"id": container, "partitionKey": {"paths": list(paths), "kind": kind, "version": 2}}
            create_container(connection, database, body)
    return get_container(connection, database, container)
