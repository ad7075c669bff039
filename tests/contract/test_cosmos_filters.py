"""Random filters: what the service finds is what a plain reading of the language's rules finds.

Rules: https://learn.microsoft.com/azure/cosmos-db/nosql/query/equality-comparison-operators, logical-operators (three
values: true, false, and undefined, here None) and order-by.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import DatabaseProxy

pytestmark = pytest.mark.stack

Truth = bool | None
Filter = tuple[str, Callable[[dict[str, Any]], Truth]]

QUERIES = 250
FIELDS = ("a", "b", "c")
VALUES: tuple[Any, ...] = (0, 1, 2, 2.5, -3, True, False, None, "", "x", "xy", "X", "1", "é")
MISSING = object()


def _type(value: Any) -> str:
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def _compared(relation: str, left: Any, right: Any) -> Truth:
    if left is MISSING or _type(left) != _type(right):
        return None
    if left is None:
        return relation in ("=", "<=", ">=")
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[relation]


def _all(parts: list[Truth]) -> Truth:
    return False if False in parts else None if None in parts else True


def _any(parts: list[Truth]) -> Truth:
    return True if True in parts else None if None in parts else False


def _not(value: Truth) -> Truth:
    return None if value is None else not value


def _comparison(rng: random.Random) -> Filter:
    field, relation, value = (
        rng.choice(FIELDS),
        rng.choice(("=", "!=", "<", "<=", ">", ">=")),
        rng.choice(VALUES),
    )
    relation = "=" if value is None else relation
    return f"c.{field} {relation} {json.dumps(value)}", lambda doc: _compared(
        relation, doc.get(field, MISSING), value
    )


def _membership(rng: random.Random) -> Filter:
    field, values = rng.choice(FIELDS), rng.sample(VALUES, rng.randint(1, 4))
    text = f"c.{field} IN ({', '.join(map(json.dumps, values))})"
    return text, lambda doc: _any([_compared("=", doc.get(field, MISSING), value) for value in values])


def _between(rng: random.Random) -> Filter:
    field, low, high = rng.choice(FIELDS), rng.choice(VALUES), rng.choice(VALUES)

    def holds(doc: dict[str, Any]) -> Truth:
        value = doc.get(field, MISSING)
        return _all([_compared(">=", value, low), _compared("<=", value, high)])

    return f"c.{field} BETWEEN {json.dumps(low)} AND {json.dumps(high)}", holds


def _check(rng: random.Random) -> Filter:
    field = rng.choice(FIELDS)
    name, wanted = rng.choice(
        [("IS_NULL", ("NoneType",)), ("IS_STRING", ("str",)), ("IS_NUMBER", ("number",)), ("IS_BOOL", ("bool",)),
         ("IS_DEFINED", ("NoneType", "str", "number", "bool"))]
    )  # fmt: skip
    return f"{name}(c.{field})", lambda doc: field in doc and _type(doc[field]) in wanted


def _element(rng: random.Random) -> Filter:
    value = rng.choice(VALUES)
    text = rng.choice(
        ["ARRAY_CONTAINS(c.tags, {})", "EXISTS(SELECT VALUE k FROM k IN c.tags WHERE k = {})"]
    ).format(json.dumps(value))
    return text, lambda doc: any(_compared("=", tag, value) for tag in doc["tags"])


def _filter(rng: random.Random, depth: int) -> Filter:
    kind = rng.choice(("leaf", "and", "or", "not")) if depth else "leaf"
    if kind == "leaf":
        return rng.choice((_comparison, _comparison, _membership, _between, _check, _element))(rng)
    if kind == "not":
        text, holds = _filter(rng, depth - 1)
        return f"NOT ({text})", lambda doc: _not(holds(doc))
    parts = [_filter(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    combine = _all if kind == "and" else _any
    text = f" {kind.upper()} ".join(f"({part})" for part, _ in parts)
    return text, lambda doc: combine([holds(doc) for _, holds in parts])


def _documents(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{number:02}",
            "t": f"t{number % 3}",
            "tags": [rng.choice(VALUES) for _ in range(rng.randint(0, 3))],
            **{field: rng.choice(VALUES) for field in FIELDS if rng.random() < 0.85},
        }
        for number in range(60)
    ]


def _order(value: Any) -> tuple[int, Any]:
    if value is MISSING:
        return 0, 0
    return ("NoneType", "bool", "number", "str").index(_type(value)) + 1, 0 if value is None else value


async def test_random_filters_find_what_the_rules_say(cosmos_database: DatabaseProxy) -> None:
    rng = random.Random(20260101)
    documents = _documents(rng)
    container = await cosmos_database.create_container("random", PartitionKey("/t"))
    for document in documents:
        await container.create_item(document)
    for number in range(QUERIES):
        text, holds = _filter(rng, rng.randint(0, 3))
        field, tenant = rng.choice(FIELDS), rng.choice([None, "t1"])
        expected = [doc for doc in documents if holds(doc) is True and tenant in (None, doc["t"])]
        options: dict[str, Any] = {} if tenant is None else {"partition_key": tenant}
        ordered = number % 2 == 0
        query = f"SELECT VALUE c.id FROM c WHERE {text}" + (f" ORDER BY c.{field}" if ordered else "")  # noqa: S608
        found = [
            row async for row in container.query_items(query, max_item_count=rng.choice((3, 100)), **options)
        ]
        assert sorted(found) == [doc["id"] for doc in expected], query
        if ordered:
            keys = {doc["id"]: _order(doc.get(field, MISSING)) for doc in documents}
            assert [keys[name] for name in found] == sorted(keys[doc["id"]] for doc in expected), query
        counted = container.query_items(f"SELECT VALUE COUNT(1) FROM c WHERE {text}", **options)  # noqa: S608
        assert [row async for row in counted] == [len(expected)], query
