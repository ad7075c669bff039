"""Queries: from the request's body to a page of rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from .catalog import Container, get_container
from .database import Database
from .errors import bad_request
from .indexes import extend
from .paging import Page, run_page
from .parser import parse
from .plan import make_plan
from .rows import compile_query
from .scope import scope_of
from .values import rank

DEFAULT_PAGE_ITEMS = 1000

_READ_ALL = "SELECT * FROM c"


async def query_documents(
    database: Database, names: tuple[str, str], body: bytes | None, headers: Mapping[str, str]
) -> tuple[Container, Page]:
    """Answer one page of a query, or without a body of all documents. Raises 404, 400."""
    text, params = _request(body)
    query = parse(text)

    def run(connection: sqlite3.Connection) -> tuple[Container, Page] | list[str]:
        container = get_container(connection, *names)
        plan = make_plan(connection, container, query, params, scope_of(headers, container))
        if plan.missing:
            return plan.missing
        clauses = compile_query(query, params)
        limit, token = _max_items(headers), headers.get("x-ms-continuation")
        return container, run_page(connection, query, clauses, plan, params, limit, token)

    while True:
        found = await database.read(run)
        if isinstance(found, tuple):
            return found
        statements = found
        await database.write(lambda connection, ddl=statements: extend(connection, ddl))  # type: ignore[misc]


def _request(body: bytes | None) -> tuple[str, dict[str, Any]]:
    if body is None:
        return _READ_ALL, {}
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("The query is not valid JSON.") from None
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        raise bad_request("The request has no query.")
    params = {part.get("name"): part.get("value") for part in request.get("parameters") or ()}
    if any(rank(name) != rank("") for name in params):
        raise bad_request("Every parameter needs a name.")
    return request["query"], params


def _max_items(headers: Mapping[str, str]) -> int:
    wanted = headers.get("x-ms-max-item-count", "")
    try:
        count = int(wanted) if wanted else -1
    except ValueError:
        raise bad_request("x-ms-max-item-count must be a whole number.") from None
    return count if 0 < count <= DEFAULT_PAGE_ITEMS else DEFAULT_PAGE_ITEMS
