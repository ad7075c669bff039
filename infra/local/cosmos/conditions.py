"""Patching a document, with the condition that may guard it."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson

from . import items
from .catalog import Container
from .errors import bad_request, precondition_failed
from .items import Answer, Match
from .parser import parse_condition
from .partition import Components
from .patch import apply_patch
from .rows import compile_query


def patch(
    connection: sqlite3.Connection, container: Container, key: Components, name: str, body: Any, match: Match
) -> Answer:
    """Patch a document: ``{"operations": [...], "condition": "FROM c WHERE ..."}``. Raises 404, 412, 400, 413."""
    if not isinstance(body, dict):
        raise bad_request("A patch is an object with a list of operations.")
    stored = items.find(connection, container, key, name)
    match.check(stored.etag)
    document = orjson.loads(stored.body)
    condition = body.get("condition")
    if condition and not holds(condition, document):
        raise precondition_failed()
    apply_patch(document, body.get("operations"))
    return items.store(connection, container, stored, key, document)


def holds(condition: str, document: dict[str, Any]) -> bool:
    """Whether a document meets a patch's condition. Raises a 400 if it does not parse."""
    clauses = compile_query(parse_condition(condition), {})
    return any(True for _ in clauses.expand([None, document]))
