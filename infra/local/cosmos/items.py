"""Documents: create, upsert, replace, read and delete, each within the transaction of the connection it is given.

Sources: https://learn.microsoft.com/rest/api/cosmos-db/documents,
https://learn.microsoft.com/azure/cosmos-db/database-transactions-optimistic-concurrency,
https://learn.microsoft.com/azure/cosmos-db/time-to-live
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .catalog import Container, checked_id, decode_rid, encode_rid, new_etag
from .charge import read_charge, write_charge
from .elements import element_tables
from .elements import rewrite as rewrite_elements
from .errors import PARTITION_KEY_MISMATCH, CosmosError, bad_request, not_found, precondition_failed
from .partition import Components, document_key, effective_keys

MAX_DOCUMENT_BYTES = 2 * 1024 * 1024
"""https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits"""

INSERT = "INSERT INTO {} (seq, epk, id, etag, expires, body) VALUES (?, ?, ?, ?, ?, ?)"
Row = tuple[int, bytes, str, str, int | None, str]

_SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts")


@dataclass(frozen=True)
class Answer:
    """What an operation answers: status, the document (None after a delete), its ETag and the charge in RU."""

    status: int
    body: str | None
    etag: str | None
    charge: float


@dataclass(frozen=True)
class Match:
    """The preconditions of a request: the values of If-Match and If-None-Match."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, etag: str) -> None:
        """Raise 412 if If-Match names another version than ``etag``."""
        if self.if_match not in (None, "*", etag):
            raise precondition_failed()


@dataclass(frozen=True)
class Stored:
    """A document as it lies in its table."""

    seq: int
    etag: str
    body: str


def create(connection: sqlite3.Connection, container: Container, key: Components, document: Any) -> Answer:
    """Insert a document. Raises 400, 409 if the id is taken in its partition, 413."""
    epk, name = _place(container, key, document)
    if _find(connection, container, epk, name):
        raise CosmosError(409, "Resource with specified id or name already exists.")
    return _insert(connection, container, epk, document)


def upsert(
    connection: sqlite3.Connection, container: Container, key: Components, document: Any, match: Match
) -> Answer:
    """Replace the document of that id, or insert it: preconditions apply only to one that exists."""
    epk, name = _place(container, key, document)
    stored = _find(connection, container, epk, name)
    if stored is None:
        return _insert(connection, container, epk, document)
    match.check(stored.etag)
    return _overwrite(connection, container, stored, document)


def replace(
    connection: sqlite3.Connection,
    container: Container,
    key: Components,
    name: str,
    document: Any,
    match: Match,
) -> Answer:
    """Replace a document. Raises 404, 412, 400 (its id and partition key cannot change), 413."""
    _, new_name = _place(container, key, document)
    stored = find(connection, container, key, name)
    match.check(stored.etag)
    if new_name != name:
        raise bad_request("Replacing the id of a document is not supported.")
    return _overwrite(connection, container, stored, document)


def read(
    connection: sqlite3.Connection, container: Container, key: Components, name: str, match: Match
) -> Answer:
    """Read a document by id. Raises 404; answers 304 if it still is the version If-None-Match names."""
    stored = find(connection, container, key, name)
    charge = read_charge(len(stored.body))
    if match.if_none_match == stored.etag:
        return Answer(304, None, stored.etag, charge)
    return Answer(200, stored.body, stored.etag, charge)


def delete(
    connection: sqlite3.Connection, container: Container, key: Components, name: str, match: Match
) -> Answer:
    """Delete a document. Raises 404, 412."""
    stored = find(connection, container, key, name)
    match.check(stored.etag)
    rewrite_elements(connection, container.table, stored.seq, stored.body, None)
    connection.execute(f"DELETE FROM {container.table} WHERE seq = ?", (stored.seq,))
    return Answer(204, None, None, write_charge(len(stored.body)))


def find(connection: sqlite3.Connection, container: Container, key: Components, name: str) -> Stored:
    """The document of that id in that partition. Raises 404."""
    stored = _find(connection, container, effective_keys(key, hierarchical=container.hierarchical), name)
    if stored is None:
        raise not_found(f"document {name}")
    return stored


def store(
    connection: sqlite3.Connection, container: Container, stored: Stored, key: Components, new: Any
) -> Answer:
    """Write the new content of a document that was just found. Raises 400, 413."""
    _place(container, key, new)
    return _overwrite(connection, container, stored, new)


def purge_expired(connection: sqlite3.Connection, container: Container) -> None:
    """Free the space of expired documents, which are invisible already."""
    _purge(connection, container, "expires <= ?", (time.time(),))


def _purge(
    connection: sqlite3.Connection, container: Container, condition: str, params: Sequence[Any]
) -> None:
    where = f"FROM {container.table} WHERE {condition}"
    if element_tables(connection, container.table):
        for seq, body in connection.execute(f"SELECT seq, body {where}", params).fetchall():
            rewrite_elements(connection, container.table, seq, body, None)
    connection.execute(f"DELETE {where}", params)


def new_row(container: Container, seq: int, epk: bytes, document: dict[str, Any]) -> Row:
    """A new document's row, in the order of :data:`INSERT`. Raises 400 for its ``ttl``, 413."""
    rid = encode_rid(decode_rid(container.rid) + seq.to_bytes(8, "little"))
    text, etag, expires = _serialise(container, document, rid)
    return seq, epk, document["id"], etag, expires, text


def next_seq(connection: sqlite3.Connection, container: Container) -> int:
    """The number the next document gets."""
    row = connection.execute(f"SELECT ifnull(max(seq), 0) + 1 FROM {container.table}").fetchone()
    return int(row[0])


def _place(container: Container, key: Components, document: Any) -> tuple[bytes, str]:
    name = checked_id(document)
    own_key = document_key(document, container.paths)
    if own_key != key:
        raise bad_request(
            "PartitionKey extracted from document doesn't match the one specified in the header.",
            PARTITION_KEY_MISMATCH,
        )
    return effective_keys(own_key, hierarchical=container.hierarchical), name


def _find(connection: sqlite3.Connection, container: Container, epk: bytes, name: str) -> Stored | None:
    row = connection.execute(
        f"SELECT seq, etag, body, expires FROM {container.table} WHERE epk = ? AND id = ?", (epk, name)
    ).fetchone()
    if row is None or (row[3] is not None and row[3] <= time.time()):
        return None
    return Stored(*row[:3])


def _insert(
    connection: sqlite3.Connection, container: Container, epk: bytes, document: dict[str, Any]
) -> Answer:
    seq = next_seq(connection, container)
    if container.default_ttl is not None:  # one of that id may be there still, expired
        _purge(connection, container, "epk = ? AND id = ?", (epk, document["id"]))
    row = new_row(container, seq, epk, document)
    connection.execute(INSERT.format(container.table), row)
    for table in element_tables(connection, container.table):
        table.insert(connection, [(seq, epk, document)])
    return Answer(201, row[5], row[3], write_charge(len(row[5])))


def _overwrite(connection: sqlite3.Connection, container: Container, stored: Stored, document: Any) -> Answer:
    rid = encode_rid(decode_rid(container.rid) + stored.seq.to_bytes(8, "little"))
    text, etag, expires = _serialise(container, document, rid)
    connection.execute(
        f"UPDATE {container.table} SET etag = ?, expires = ?, body = ? WHERE seq = ?",
        (etag, expires, text, stored.seq),
    )
    rewrite_elements(connection, container.table, stored.seq, stored.body, document)
    return Answer(200, text, etag, write_charge(len(text)))


def _serialise(container: Container, document: dict[str, Any], rid: str) -> tuple[str, str, int | None]:
    now = int(time.time())
    etag = new_etag()
    own = {name: value for name, value in document.items() if name not in _SYSTEM}
    own |= {
        "_rid": rid,
        "_self": f"{container.resource['_self']}docs/{rid}/",
        "_etag": etag,
        "_attachments": "attachments/",
        "_ts": now,
    }
    data = orjson.dumps(own)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise CosmosError(413, "Request size is too large")
    return data.decode(), etag, _expires(container, document.get("ttl"), now)


def _expires(container: Container, ttl: Any, now: int) -> int | None:
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int) or ttl == 0 or ttl < -1):
        raise bad_request(f"The input ttl '{ttl}' is invalid: a positive integer, or -1 for never.")
    if container.default_ttl is None:
        return None
    seconds = container.default_ttl if ttl is None else ttl
    return None if seconds == -1 else now + seconds
