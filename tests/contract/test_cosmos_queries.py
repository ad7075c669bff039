"""Queries over a fixed set of documents: what each clause and function answers.

Source, unless a case names another: https://learn.microsoft.com/azure/cosmos-db/nosql/query/ and the page named.
"""

from __future__ import annotations

from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

pytestmark = pytest.mark.stack

DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "a",
        "t": "x",
        "k": "p",
        "n": 1,
        "s": "pending",
        "on": True,
        "tags": ["red", "blue"],
        "o": {"d": 1},
    },
    {
        "id": "b",
        "t": "x",
        "k": "p",
        "n": 2,
        "s": "queued",
        "on": False,
        "tags": [],
        "rel": [{"c": 1, "e": "E1"}],
    },
    {
        "id": "c",
        "t": "x",
        "k": "q",
        "n": 2.5,
        "s": "Pending",
        "on": None,
        "tags": ["red"],
        "o": {"d": {"e": "deep"}},
    },
    {
        "id": "d",
        "t": "y",
        "k": "p",
        "n": "2",
        "s": None,
        "tags": "red",
        "rel": [{"c": 1, "e": "E2"}, {"c": 2}],
    },
    {"id": "e", "t": "y", "k": "p", "n": None, "s": 'it\'s "q"', "tags": ["Red", 1, None, True]},
    {"id": "f", "t": "y", "k": "q", "n": -7, "on": True, "tags": [1, ["red"]], "o": [1, 2]},
    {"id": "g", "t": "z", "k": "q", "n": True, "s": "ünïcode ✓", "a b": 5, "value": 6, "order": {"by": 7}},
]

FILTERS: list[tuple[str, str]] = [
    # equality-comparison-operators: across types the result is undefined, and the item is not returned
    ("c.n = 2", "b"),
    ("c.n = '2'", "d"),
    ("c.n = 1.0", "a"),
    ("c.n = true", "g"),
    ("c.on = true", "af"),
    ("c.on", "af"),
    ("NOT c.on", "b"),
    ("c.n = null", "e"),
    ("c.s = 'pending'", "a"),
    ("c.s != 'pending'", "bceg"),
    ("c.n != 2", "acf"),
    ("c.n <> 2", "acf"),
    ("c.n > 1", "bc"),
    ("c.n >= 1 AND c.n < 2.5", "ab"),
    ("1 < c.n", "bc"),
    ("c.n < 0", "f"),
    ("c.n > '1'", "d"),
    ("c.s > 'p'", "abg"),
    ("c.missing = 1", ""),
    ("c.missing != 1", ""),
    ("NOT (c.missing = 1)", ""),
    ("c.o = {'d': 1}", "a"),
    ("c.o = [1, 2]", "f"),
    ("c.o.d = 1", "a"),
    ("c.o.d.e = 'deep'", "c"),
    ("c['a b'] = 5", "g"),
    ('c["value"] = 6 AND c.order.by = 7', "g"),
    ("c.o[1] = 2", "f"),
    ("c.s = 'it\\'s \"q\"'", "e"),
    ("c.s = 'ünïcode ✓'", "g"),
    # logical-operators: three values
    ("c.missing = 1 OR c.n = 1", "a"),
    ("NOT (c.missing = 1 AND c.n = 1)", "bcf"),
    ("c.n = 1 OR c.n = 2 OR c.s = 'Pending'", "abc"),
    ("NOT (c.n = 1 OR c.on = true)", "b"),
    ("true", "abcdefg"),
    ("false", ""),
    # keywords: IN, BETWEEN, LIKE
    ("c.n IN (1, 2, 'x')", "ab"),
    ("c.n NOT IN (1, 2)", "cf"),
    ("c.s IN ('pending', 'queued')", "ab"),
    ("c.s NOT IN ('pending', 'queued')", "ceg"),
    ("c.n BETWEEN 1 AND 2", "ab"),
    ("c.n NOT BETWEEN 1 AND 2", "cf"),
    ("c.s LIKE '%end%'", "ac"),
    ("c.s LIKE 'p_nding'", "a"),
    # type-checking functions
    ("IS_DEFINED(c.s)", "abcdeg"),
    ("NOT IS_DEFINED(c.s)", "f"),
    ("IS_DEFINED(c.o.d)", "ac"),
    ("IS_NULL(c.s)", "d"),
    ("NOT IS_NULL(c.s)", "abcefg"),
    ("IS_NUMBER(c.n)", "abcf"),
    ("IS_STRING(c.n)", "d"),
    ("NOT IS_STRING(c.n)", "abcefg"),
    ("IS_BOOL(c.n)", "g"),
    ("IS_ARRAY(c.tags)", "abcef"),
    ("IS_OBJECT(c.o)", "ac"),
    ("IS_PRIMITIVE(c.o) OR IS_PRIMITIVE(c.tags)", "d"),
    # array and string functions
    ("ARRAY_CONTAINS(c.tags, 'red')", "ac"),
    ("ARRAY_CONTAINS(c.tags, 1)", "ef"),
    ("ARRAY_CONTAINS(c.tags, ['red'])", "f"),
    ("ARRAY_CONTAINS(c.rel, {'c': 1}, true)", "bd"),
    ("ARRAY_CONTAINS(c.rel, {'c': 1})", ""),
    ("ARRAY_CONTAINS(c.rel, {'c': 2})", "d"),
    ("ARRAY_LENGTH(c.tags) > 0", "acef"),
    ("ARRAY_LENGTH(c.tags) = 0", "b"),
    ("NOT (ARRAY_LENGTH(c.tags) > 1)", "bc"),
    ("STARTSWITH(c.s, 'p')", "a"),
    ("STARTSWITH(c.s, 'p', true)", "ac"),
    ("NOT STARTSWITH(c.s, 'p')", "bceg"),
    ("ENDSWITH(c.s, 'ding')", "ac"),
    ("CONTAINS(c.s, 'EN')", ""),
    ("CONTAINS(c.s, 'EN', true)", "ac"),
    ("LOWER(c.s) = 'pending'", "ac"),
    ("LENGTH(c.s) = 6", "b"),
    ("c.n + 1 = 3 OR c.n * 2 = 5", "bc"),
    ("c.n % 2 = 0", "b"),
    ("CONCAT(c.t, c.k) = 'yq' OR c.t || c.k = 'zq'", "fg"),
    ("(IS_NUMBER(c.n) ? c.n : 0) = 0", "deg"),
    ("(c.missing ?? c.t) = 'z'", "g"),
    # subquery: EXISTS
    ("EXISTS(SELECT VALUE k FROM k IN c.tags WHERE k IN ('red', 'blue'))", "ac"),
    ("EXISTS(SELECT VALUE k FROM k IN c.tags WHERE k = 1)", "ef"),
    ("NOT EXISTS(SELECT VALUE k FROM k IN c.tags)", "bdg"),
    ("EXISTS(SELECT VALUE r FROM r IN c.rel WHERE r.c = 1 AND r.e = 'E2')", "d"),
    ("EXISTS(SELECT VALUE r FROM r IN c.rel WHERE r.c = 2 AND r.e = 'E2')", ""),
    ("EXISTS(SELECT VALUE k FROM k IN c.tags WHERE k = 'red') OR c.n = 2", "abc"),
    ("ARRAY_LENGTH(ARRAY(SELECT VALUE k FROM k IN c.tags WHERE IS_STRING(k))) = 2", "a"),
    ("(SELECT VALUE COUNT(1) FROM k IN c.tags) = 1", "c"),
]

RESULTS: list[tuple[str, list[Any]]] = [
    # select: a property that is missing is left out
    ("SELECT c.id, c.s FROM c WHERE c.t = 'y'", [{"id": "d", "s": None}, {"id": "e", "s": 'it\'s "q"'}, {"id": "f"}]),
    ("SELECT VALUE c.o.d FROM c", [1, {"e": "deep"}]),
    ("SELECT VALUE {'i': c.id, 'l': [c.n, c.missing]} FROM c WHERE c.id = 'a'", [{"i": "a", "l": [1]}]),
    ("SELECT c.n + 1 AS more, c.id FROM c WHERE c.id = 'a'", [{"more": 2, "id": "a"}]),
    ("SELECT UPPER(c.t) FROM c WHERE c.id = 'a'", [{"$1": "X"}]),
    ("SELECT VALUE 1", [1]),
    ("SELECT VALUE root.id FROM root WHERE root.id = 'a'", ["a"]),
    ("SELECT VALUE d.id FROM whatever AS d WHERE d.id = 'b'", ["b"]),
    ("SELECT VALUE o FROM c.o WHERE IS_OBJECT(o)", [{"d": 1}, {"d": {"e": "deep"}}]),
    ("SELECT VALUE k FROM k IN c.tags WHERE IS_NUMBER(k)", [1, 1]),
    # join
    ("SELECT c.id, k FROM c JOIN k IN c.tags WHERE k IN ('red', 'blue')",
     [{"id": "a", "k": "red"}, {"id": "a", "k": "blue"}, {"id": "c", "k": "red"}]),
    ("SELECT VALUE c.id FROM c JOIN r IN c.rel WHERE r.c = 1", ["b", "d"]),
    ("SELECT VALUE [x, y] FROM c JOIN x IN c.tags JOIN y IN c.tags WHERE c.id = 'a' AND x != y",
     [["red", "blue"], ["blue", "red"]]),
    ("SELECT VALUE k FROM c JOIN (SELECT VALUE t FROM t IN c.tags WHERE t = 'red') AS k", ["red", "red"]),
    # order-by: undefined, null, booleans, numbers, strings, arrays, objects
    ("SELECT VALUE c.id FROM c ORDER BY c.n", ["e", "g", "f", "a", "b", "c", "d"]),
    ("SELECT VALUE c.id FROM c ORDER BY c.n DESC", ["d", "c", "b", "a", "f", "g", "e"]),
    ("SELECT VALUE c.id FROM c WHERE c.id != 'd' ORDER BY c.on", ["e", "g", "c", "b", "a", "f"]),
    ("SELECT VALUE c.id FROM c ORDER BY c.t ASC, c.n DESC", ["c", "b", "a", "d", "f", "e", "g"]),
    ("SELECT VALUE c.id FROM c ORDER BY c.t DESC, c.n ASC", ["g", "e", "f", "d", "a", "b", "c"]),
    ("SELECT VALUE c.id FROM c WHERE c.n = 2 OR c.t = 'z' OR c.s = 'pending' ORDER BY c.n DESC", ["b", "a", "g"]),
    ("SELECT TOP 2 VALUE c.id FROM c WHERE IS_NUMBER(c.n) ORDER BY c.n DESC", ["c", "b"]),
    ("SELECT VALUE c.id FROM c WHERE IS_NUMBER(c.n) ORDER BY c.n OFFSET 1 LIMIT 2", ["a", "b"]),
    ("SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 5 LIMIT 10", ["f", "g"]),
    # aggregate functions: undefined if a value is not a number
    ("SELECT VALUE COUNT(1) FROM c", [7]),
    ("SELECT VALUE COUNT(1) FROM c WHERE c.n > 1", [2]),
    ("SELECT VALUE COUNT(1) FROM c WHERE c.s IN ('pending', 'queued') OR ARRAY_CONTAINS(c.tags, 'red')", [3]),
    ("SELECT VALUE COUNT(1) FROM c WHERE c.n = 99", [0]),
    ("SELECT VALUE COUNT(c.o) FROM c", [3]),
    ("SELECT VALUE COUNT(1) FROM c JOIN k IN c.tags", [9]),
    ("SELECT VALUE SUM(c.n) FROM c WHERE IS_NUMBER(c.n)", [-1.5]),
    ("SELECT VALUE AVG(c.n) FROM c WHERE c.n IN (1, 2)", [1.5]),
    ("SELECT VALUE MIN(c.n) FROM c WHERE IS_NUMBER(c.n)", [-7]),
    ("SELECT VALUE MAX(c.s) FROM c WHERE c.t = 'x'", ["queued"]),
    ("SELECT VALUE SUM(c.n) FROM c", []),
    # distinct
    ("SELECT DISTINCT VALUE c.t FROM c", ["x", "y", "z"]),
    ("SELECT DISTINCT c.t, c.k FROM c WHERE c.t = 'x'", [{"t": "x", "k": "p"}, {"t": "x", "k": "q"}]),
    ("SELECT DISTINCT VALUE k FROM k IN c.tags WHERE NOT IS_ARRAY(k)", ["red", "blue", "Red", 1, None, True]),
]  # fmt: skip

GROUPS: list[tuple[str, list[Any]]] = [
    ("SELECT c.t, COUNT(1) AS n FROM c GROUP BY c.t", [{"t": "x", "n": 3}, {"t": "y", "n": 3}, {"t": "z", "n": 1}]),
    ("SELECT VALUE {'k': c.k, 'most': MAX(c.n)} FROM c WHERE IS_NUMBER(c.n) GROUP BY c.k",
     [{"k": "p", "most": 2}, {"k": "q", "most": 2.5}]),
    ("SELECT COUNT(1) AS n, MIN(c.id) AS first FROM c", [{"n": 7, "first": "a"}]),
]  # fmt: skip
"""Grouped over several partitions, which the Python SDK refuses with the cloud's many ranges: emulator only."""


@pytest.fixture
async def things(cosmos_database: DatabaseProxy) -> ContainerProxy:
    composites = [[("/t", "ascending"), ("/n", "descending")]]
    policy = {
        "compositeIndexes": [[{"path": path, "order": order} for path, order in one] for one in composites]
    }
    things = await cosmos_database.create_container(
        "things", PartitionKey(["/t", "/k"], kind="MultiHash"), indexing_policy=policy
    )
    for document in DOCUMENTS:
        await things.create_item(document)
    return things


async def _rows(
    container: ContainerProxy, text: str, parameters: dict[str, Any] | None = None, **options: Any
) -> Any:
    given = [{"name": name, "value": value} for name, value in (parameters or {}).items()]
    return [row async for row in container.query_items(text, parameters=given, **options)]


async def test_filters(things: ContainerProxy) -> None:
    wrong = {}
    for condition, expected in FILTERS:
        found = sorted(await _rows(things, f"SELECT VALUE c.id FROM c WHERE {condition}"))  # noqa: S608
        if found != list(expected):
            wrong[condition] = found
    assert wrong == {}


async def test_filters_count_the_same(things: ContainerProxy) -> None:
    wrong = {}
    for condition, expected in FILTERS:
        found = await _rows(things, f"SELECT VALUE COUNT(1) FROM c WHERE {condition}")  # noqa: S608
        if found != [len(expected)]:
            wrong[condition] = found
    assert wrong == {}


@pytest.mark.parametrize(("text", "expected"), RESULTS)
async def test_results(things: ContainerProxy, text: str, expected: list[Any]) -> None:
    assert await _rows(things, text) == expected


@pytest.mark.usefixtures("cosmos_emulator")
@pytest.mark.parametrize(("text", "expected"), GROUPS)
async def test_groups(things: ContainerProxy, text: str, expected: list[Any]) -> None:
    assert sorted(await _rows(things, text), key=repr) == sorted(expected, key=repr)


async def test_a_query_stays_within_its_partition_or_prefix(things: ContainerProxy) -> None:
    """hierarchical-partition-keys: a query may name a prefix of the key."""
    for condition in (
        "true",
        "c.n > 0 OR NOT IS_NUMBER(c.n)",
        "EXISTS(SELECT VALUE k FROM k IN c.tags) OR true",
    ):
        text = f"SELECT VALUE c.id FROM c WHERE {condition}"  # noqa: S608
        assert sorted(await _rows(things, text, partition_key=["x", "p"])) == ["a", "b"]
        assert set(await _rows(things, text, partition_key=["x"])) <= {"a", "b", "c"}
    assert await _rows(things, "SELECT VALUE c.id FROM c", partition_key=["x"]) == ["a", "b", "c"]
    assert await _rows(
        things, "SELECT VALUE c.id FROM c JOIN k IN c.tags WHERE k = 'red'", partition_key=["x", "q"]
    ) == ["c"]
    assert await _rows(things, "SELECT VALUE COUNT(1) FROM c", partition_key=["y"]) == [3]
    assert await _rows(things, "SELECT VALUE c.id FROM c", partition_key=["none", "p"]) == []


async def test_parameters_are_values_never_syntax(things: ContainerProxy) -> None:
    """parameterized-queries."""
    text = "SELECT VALUE c.id FROM c WHERE c.s = @s OR ARRAY_CONTAINS(@list, c.n) OR c.o = @object"
    assert await _rows(things, text, {"@s": "x' OR true --", "@list": [], "@object": {}}) == []
    assert await _rows(things, text, {"@s": 'it\'s "q"', "@list": [1, "2"], "@object": [1, 2]}) == [
        "a",
        "d",
        "e",
        "f",
    ]


async def test_a_hundred_keys_are_looked_up_in_one_query(things: ContainerProxy) -> None:
    keys = {f"@k{n}": value for n, value in enumerate(["red", "blue", *map(str, range(98))])}
    options = ", ".join(keys)
    text = f"SELECT VALUE c.id FROM c JOIN k IN c.tags WHERE k IN ({options})"  # noqa: S608
    assert await _rows(things, text, keys, partition_key=["x"]) == ["a", "a", "c"]
    text = f"SELECT VALUE c.id FROM c WHERE EXISTS(SELECT VALUE k FROM k IN c.tags WHERE k IN ({options}))"  # noqa: S608
    assert await _rows(things, text, keys) == ["a", "c"]


async def test_look_ups_follow_every_write(things: ContainerProxy) -> None:
    text = "SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.tags, @tag) AND c.n >= 0"
    assert await _rows(things, text, {"@tag": "green"}) == []
    await things.upsert_item({"id": "a", "t": "x", "k": "p", "n": 1, "tags": ["green", "green"]})
    await things.create_item({"id": "h", "t": "w", "k": "p", "n": 3, "tags": ["green"]})
    assert await _rows(things, text, {"@tag": "green"}) == ["a", "h"]
    await things.patch_item("a", ["x", "p"], [{"op": "set", "path": "/n", "value": -1}])
    await things.delete_item("h", ["w", "p"])
    assert await _rows(things, text, {"@tag": "green"}) == []
    assert await _rows(things, text.replace(">= 0", "< 0"), {"@tag": "green"}) == ["a"]


async def test_items_are_read_by_many_keys_at_once(things: ContainerProxy) -> None:
    keys: list[Any] = [(doc["id"], [doc["t"], doc["k"]]) for doc in reversed(DOCUMENTS)]
    found = await things.read_items([*keys, ("none", ["x", "p"])])
    assert sorted(item["id"] for item in found) == list("abcdefg")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM c WHERE c.n = ",
        "SELECT * FROM c WHERE unknown.n = 1",
        "SELECT * FROM c WHERE c.n = @missing",
        "SELECT * FROM c WHERE NO_SUCH_FUNCTION(c.n)",
        "SELECT * FROM c JOIN k IN c.tags",
        "SELECT c.id, COUNT(1) FROM c",
        "SELECT * FROM c ORDER BY c.t, c.s",  # order-by: several properties need a composite index
        "SELECT c.n, c.n FROM c",
        "DELETE FROM c",
    ],
)
async def test_wrong_queries_are_400(things: ContainerProxy, text: str) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await _rows(things, text)
    assert caught.value.status_code == 400


@pytest.mark.usefixtures("cosmos_emulator")
@pytest.mark.parametrize(
    "text",
    [
        "SELECT VALUE udf.tax(c.n) FROM c",
        "SELECT * FROM c WHERE ST_DISTANCE(c.a, c.b) < 1",
        "SELECT * FROM c WHERE NOT c.n = 1",
        "SELECT * FROM c WHERE c.s != null",
        "SELECT * FROM c ORDER BY LOWER(c.s)",
        "SELECT * FROM c WHERE c.n & 1 = 1",
    ],
)
async def test_what_the_emulator_does_not_know_is_400(things: ContainerProxy, text: str) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await _rows(things, text)
    assert caught.value.status_code == 400
    assert "support" in str(caught.value.message)
