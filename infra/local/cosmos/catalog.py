"""Databases and containers: their resources, and what the rest of the emulator needs to know of a container."""

from __future__ import annotations

import base64
import os
import sqlite3
import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from .errors import OWNER_NOT_FOUND, CosmosError, bad_request, not_found

Resource = dict[str, Any]

_UNSUPPORTED = ("computedProperties", "vectorEmbeddingPolicy", "fullTextPolicy", "materializedViewDefinition")
_DEFAULT_INDEXING = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": '/"_etag"/?'}],
}


@dataclass(frozen=True)
class Container:
    """A container: its resource, and the table ``d<number>`` that holds its documents."""

    number: int
    resource: Resource
    paths: list[list[str]]
    hierarchical: bool
    default_ttl: int | None

    @property
    def table(self) -> str:
        """Name of the table of its documents."""
        return f"d{self.number}"

    @property
    def rid(self) -> str:
        """Its resource id."""
        return str(self.resource["_rid"])


def encode_rid(raw: bytes) -> str:
    """A resource id as the service spells it: base64 in which ``-`` stands for ``/``."""
    return base64.b64encode(raw).decode().replace("/", "-")


@lru_cache(maxsize=1024)
def decode_rid(rid: str) -> bytes:
    """The bytes of a resource id."""
    return base64.b64decode(rid.replace("-", "/"))


def new_etag() -> str:
    """A fresh ETag, quotes included."""
    return f'"{uuid.uuid4()}"'


def create_database(connection: sqlite3.Connection, body: Any) -> Resource:
    """Create a database. Raises 409 if the id is taken, 400 if it is not valid."""
    name = checked_id(body)
    if _database(connection, name) is not None:
        raise _conflict()
    rid = encode_rid(os.urandom(4))
    resource = _stamp({"id": name}, rid, f"dbs/{rid}/") | {"_colls": "colls/", "_users": "users/"}
    connection.execute("INSERT INTO databases VALUES (?, ?, ?)", (name, rid, _dump(resource)))
    return resource


def read_database(connection: sqlite3.Connection, name: str) -> Resource:
    """The database's resource. Raises 404."""
    resource = _database(connection, name)
    if resource is None:
        raise not_found(f"database {name}")
    return resource


def list_databases(connection: sqlite3.Connection) -> list[Resource]:
    """All databases, by id."""
    return [orjson.loads(body) for (body,) in connection.execute("SELECT body FROM databases ORDER BY id")]


def delete_database(connection: sqlite3.Connection, name: str) -> None:
    """Delete a database and all in it. Raises 404."""
    read_database(connection, name)
    for resource in list_containers(connection, name):
        delete_container(connection, name, resource["id"])
    connection.execute("DELETE FROM databases WHERE id = ?", (name,))


def create_container(connection: sqlite3.Connection, database: str, body: Any) -> Resource:
    """Create a container and its table. Raises 404 without the database, 409 if the id is taken, 400."""
    owner = read_database(connection, database)
    name = checked_id(body)
    taken = connection.execute(
        "SELECT 1 FROM containers WHERE database = ? AND id = ?", (database, name)
    ).fetchone()
    if taken:
        raise _conflict()
    rid = encode_rid(decode_rid(owner["_rid"]) + os.urandom(4))
    resource = _definition(name, body, rid, f"dbs/{owner['_rid']}/colls/{rid}/")
    cursor = connection.execute(
        "INSERT INTO containers (database, id, body) VALUES (?, ?, ?)", (database, name, _dump(resource))
    )
    table = f"d{cursor.lastrowid}"
    connection.execute(
        f"CREATE TABLE {table} (seq INTEGER PRIMARY KEY, epk BLOB NOT NULL, id TEXT NOT NULL, etag TEXT NOT NULL,"
        " expires INTEGER, body TEXT NOT NULL)"
    )
    connection.execute(f"CREATE UNIQUE INDEX {table}_key ON {table} (epk, id)")
    connection.execute(f"CREATE INDEX {table}_expires ON {table} (expires) WHERE expires IS NOT NULL")
    return resource


def get_container(connection: sqlite3.Connection, database: str, name: str) -> Container:
    """A container by name. Raises 404 with sub-status 1003, as for a missing owner of a document."""
    row = connection.execute(
        "SELECT number, body FROM containers WHERE database = ? AND id = ?", (database, name)
    ).fetchone()
    if row is None:
        raise not_found(f"container {database}/{name}", OWNER_NOT_FOUND)
    return _container(*row)


def list_containers(connection: sqlite3.Connection, database: str) -> list[Resource]:
    """The containers of a database, by id. Raises 404."""
    read_database(connection, database)
    rows = connection.execute("SELECT body FROM containers WHERE database = ? ORDER BY id", (database,))
    return [orjson.loads(body) for (body,) in rows]


def replace_container(connection: sqlite3.Connection, database: str, name: str, body: Any) -> Resource:
    """Change a container's settings; its partition key is fixed. Raises 404, 400. TTLs count anew from ``_ts``."""
    container = get_container(connection, database, name)
    old = container.resource
    resource = _definition(checked_id(body), body, old["_rid"], old["_self"])
    if resource["id"] != name or resource["partitionKey"]["paths"] != old["partitionKey"]["paths"]:
        raise bad_request("Document collection id and partition key cannot be changed.")
    connection.execute("UPDATE containers SET body = ? WHERE number = ?", (_dump(resource), container.number))
    default = resource.get("defaultTtl")
    ttl = f"ifnull(json_extract(body, '$.ttl'), {default or -1})"
    connection.execute(
        f"UPDATE {container.table} SET expires = CASE WHEN {int(default is not None)} AND {ttl} > 0"
        f" THEN json_extract(body, '$._ts') + {ttl} END"
    )
    return resource


def delete_container(connection: sqlite3.Connection, database: str, name: str) -> None:
    """Delete a container with its documents and indexes. Raises 404."""
    container = get_container(connection, database, name)
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND (name = ? OR name GLOB ?)",
        (container.table, f"{container.table}_e_*"),
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DELETE FROM element_tables WHERE owner = ?", (container.table,))
    connection.execute("DELETE FROM containers WHERE number = ?", (container.number,))


def all_containers(connection: sqlite3.Connection) -> list[Container]:
    """Every container of every database."""
    return [_container(*row) for row in connection.execute("SELECT number, body FROM containers")]


def checked_id(body: Any) -> str:
    """The ``id`` of a resource. Raises a 400 unless it is one the service takes.

    Source: https://learn.microsoft.com/azure/cosmos-db/concepts-limits (1 023 bytes; no ``/`` and ``\\``).
    """
    name = body.get("id") if isinstance(body, dict) else None
    if not isinstance(name, str) or not name:
        raise bad_request(
            "The input content is invalid because the required properties - 'id; ' - are missing"
        )
    if len(name.encode()) > 1023 or any(character in name for character in "/\\"):
        raise bad_request(f"The id '{name[:100]}' is not valid: at most 1023 bytes, without '/' and '\\'.")
    return name


def _definition(name: str, body: Resource, rid: str, self_link: str) -> Resource:
    for feature in _UNSUPPORTED:
        if body.get(feature):
            raise bad_request(f"{feature} is not supported by this emulator.")
    if (body.get("uniqueKeyPolicy") or {}).get("uniqueKeys"):
        raise bad_request("Unique keys are not supported by this emulator.")
    key = body.get("partitionKey")
    key = key if isinstance(key, dict) else {}
    paths = key.get("paths")
    if not paths or len(paths) > (3 if key.get("kind") == "MultiHash" else 1):
        raise bad_request("A container needs a partition key: one path, or up to three of kind MultiHash.")
    ttl = body.get("defaultTtl")
    if ttl is not None and (not isinstance(ttl, int) or ttl == 0 or ttl < -1):
        raise bad_request("defaultTtl must be a positive number of seconds, or -1.")
    kept = {part: value for part, value in body.items() if not part.startswith("_") and value is not None}
    kept |= {"id": name, "partitionKey": {"kind": "Hash", "version": 2, **key}}
    kept.setdefault("indexingPolicy", _DEFAULT_INDEXING)
    return _stamp(kept, rid, self_link) | {"_docs": "docs/", "_sprocs": "sprocs/", "_triggers": "triggers/"}


def _stamp(resource: Resource, rid: str, self_link: str) -> Resource:
    return resource | {"_rid": rid, "_self": self_link, "_etag": new_etag(), "_ts": int(time.time())}


@lru_cache(maxsize=1024)
def _container(number: int, body: str) -> Container:
    resource = orjson.loads(body)
    key = resource["partitionKey"]
    paths = [[step.strip('"') for step in path.strip("/").split("/")] for path in key["paths"]]
    return Container(number, resource, paths, key["kind"] == "MultiHash", resource.get("defaultTtl"))


def _database(connection: sqlite3.Connection, name: str) -> Resource | None:
    row = connection.execute("SELECT body FROM databases WHERE id = ?", (name,)).fetchone()
    return orjson.loads(row[0]) if row else None


def _dump(resource: Resource) -> str:
    return orjson.dumps(resource).decode()


def _conflict() -> CosmosError:
    return CosmosError(409, "Entity with the specified id already exists in the system.")
