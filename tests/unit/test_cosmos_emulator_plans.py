"""The queries Castiel makes read indexes of the emulator, in order: what keeps them fast at a million documents."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.cosmos.catalog import Container, create_container, create_database, get_container
from infra.local.cosmos.conditions import patch
from infra.local.cosmos.database import connect, prepare
from infra.local.cosmos.indexes import extend
from infra.local.cosmos.items import Match, create, delete, replace, upsert
from infra.local.cosmos.parser import parse
from infra.local.cosmos.partition import effective_key
from infra.local.cosmos.plan import Plan, make_plan
from infra.local.cosmos.scope import KeyScope

KEY = effective_key(("acme", "contact"))
PREFIX = effective_key(("acme",))
SCOPES = {"all": KeyScope(), "key": KeyScope(KEY), "prefix": KeyScope(PREFIX, PREFIX + b"\xff")}
PARAMS = {"@a": "1", "@b": "2", "@now": "2026-01-01T00:00:00Z", "@p": "high"}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = connect(None)
    prepare(connection)
    create_database(connection, {"id": "db"})
    key = {"paths": ["/tenantId", "/shardType"], "kind": "MultiHash", "version": 2}
    composite = [[{"path": "/updatedAt", "order": "ascending"}, {"path": "/id", "order": "ascending"}]]
    body = {"id": "shards", "partitionKey": key, "indexingPolicy": {"compositeIndexes": composite}}
    create_container(connection, "db", body)
    yield connection
    connection.close()


@pytest.fixture
def container(connection: sqlite3.Connection) -> Container:
    return get_container(connection, "db", "shards")


def _plan(connection: sqlite3.Connection, container: Container, text: str, scope: str) -> Plan:
    query, where = parse(text), SCOPES[scope]
    extend(connection, make_plan(connection, container, query, PARAMS, where).missing)
    plan = make_plan(connection, container, query, PARAMS, where)
    assert plan.missing == []
    return plan


def _explained(
    connection: sqlite3.Connection, plan: Plan, after: tuple[list[Any], int] | None = None
) -> list[str]:
    lines = []
    for branch in plan.branches:
        sql, params = branch.select(plan.order, after, None)
        lines += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
    return lines


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM c WHERE c.enabled = true AND (c.status = 'pending' OR (IS_DEFINED(c.next) AND c.next <= @now AND"
        " c.status NOT IN ('queued', 'processing'))) AND c.priority = @p ORDER BY c.next",
        "SELECT * FROM c WHERE c.type = 'oauth2' AND c.expiryTime <= @now AND c.enabled = true ORDER BY c.expiryTime",
        "SELECT * FROM c WHERE c.type = 'oauth2' AND c.expiryTime <= @now AND c.enabled = true",
        "SELECT * FROM c WHERE ARRAY_LENGTH(c.outbox) > 0 AND c.outboxSince <= @now",
        "SELECT * FROM c WHERE c.status = 'queued' AND c.queuedAt < @now",
        "SELECT * FROM c WHERE c.updatedAt > @now ORDER BY c.updatedAt, c.id",
        "SELECT * FROM c WHERE c.id = @a",
    ],
)
def test_scalar_filters_search_an_index_and_sort_nothing(
    connection: sqlite3.Connection, container: Container, text: str, scope: str
) -> None:
    plan = _plan(connection, container, text, scope)
    after = ([4, "x"] * len(plan.order.columns), 7)
    for lines in (_explained(connection, plan), _explained(connection, plan, after)):
        assert len(lines) == len(plan.branches)
        assert all(line.startswith(f"SEARCH {container.table} USING ") for line in lines), lines


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    "text",
    [
        "SELECT VALUE c FROM c JOIN k IN c.referenceKeys WHERE k IN (@a, @b)",
        "SELECT * FROM c WHERE EXISTS(SELECT VALUE k FROM k IN c.referenceKeys WHERE k IN (@a, @b))",
        "SELECT * FROM c WHERE ARRAY_CONTAINS(c.referenceKeys, @a)",
        "SELECT * FROM c WHERE EXISTS(SELECT VALUE r FROM r IN c.references WHERE r.externalId = @a)",
    ],
)
def test_array_filters_search_the_table_of_elements(
    connection: sqlite3.Connection, container: Container, text: str, scope: str
) -> None:
    lines = _explained(connection, _plan(connection, container, text, scope))
    keys = {
        "all": "t=? AND v=?",
        "key": "t=? AND v=? AND epk=?",
        "prefix": "t=? AND v=? AND epk>? AND epk<?",
    }[scope]
    assert lines[0] == f"SEARCH {container.table} USING INTEGER PRIMARY KEY (rowid=?)"
    assert any("_e_" in line and f"USING PRIMARY KEY ({keys})" in line for line in lines), lines


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("SELECT * FROM c WHERE c.status = 'queued'", "rowid>?)"),
        ("SELECT * FROM c WHERE c.status = 'queued' AND c.queuedAt < @now", ")>(?,?) AND"),
        ("SELECT * FROM c WHERE c.updatedAt > @now ORDER BY c.updatedAt, c.id", ")>(?,?,?,?) AND"),
        ("SELECT * FROM c ORDER BY c.updatedAt DESC", ")<(?,?))"),
    ],
)
def test_a_page_starts_where_the_last_one_ended(
    connection: sqlite3.Connection, container: Container, text: str, bound: str
) -> None:
    plan = _plan(connection, container, text, "all")
    (line,) = _explained(connection, plan, ([4, "2025"] * len(plan.order.columns), 7))
    assert bound in line


@pytest.mark.parametrize("scope", SCOPES)
def test_everything_is_read_in_order_without_sorting(
    connection: sqlite3.Connection, container: Container, scope: str
) -> None:
    lines = _explained(connection, _plan(connection, container, "SELECT * FROM c", scope), ([], 7))
    assert len(lines) == 1
    assert "TEMP B-TREE" not in lines[0]
    assert lines[0].startswith("SEARCH")


def test_an_array_is_found_by_what_it_holds_after_every_kind_of_write(
    connection: sqlite3.Connection, container: Container
) -> None:
    text, key, match = "SELECT VALUE c.id FROM c JOIN k IN c.keys WHERE k = '1'", ("acme", "contact"), Match()
    plan = _plan(connection, container, text, "key")

    def found() -> list[str]:
        return sorted(json.loads(body)["id"] for _, _, body in plan.documents(connection, None))

    def shard(name: str, *keys: Any) -> dict[str, Any]:
        return {"id": name, "tenantId": "acme", "shardType": "contact", "keys": list(keys)}

    for name, keys in (("a", ["1", "2"]), ("b", ["2", "2", 1, True, None, ["1"]]), ("c", ["1"])):
        create(connection, container, key, shard(name, *keys))
    assert found() == ["a", "c"]
    replace(connection, container, key, "a", shard("a", "2"), match)
    upsert(connection, container, key, shard("b", "1", 1), match)
    assert found() == ["b", "c"]
    patch(
        connection,
        container,
        key,
        "b",
        {"operations": [{"op": "set", "path": "/keys", "value": ["3"]}]},
        match,
    )
    assert found() == ["c"]
    delete(connection, container, key, "c", match)
    # The number of a deleted document may be given again.
    create(connection, container, key, shard("d", "4"))
    assert found() == []
