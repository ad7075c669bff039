"""Pages of a query's results, and the continuation tokens between them.

A token says where to go on: at which document (the values it is ordered by, and its number), after how many of its
rows, and how much of OFFSET and LIMIT is left. So a document that leaves the results between two pages makes none of
the others be skipped. Where rows need more than their own document (aggregates, DISTINCT), the token counts rows.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from . import syntax as s
from .errors import bad_request
from .evaluate import constant
from .plan import Plan
from .rows import Clauses

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-request-limits"""

Position = tuple[list[Any], int]


@dataclass(frozen=True)
class Page:
    """Rows as JSON texts, and the token of the next page, if there is one."""

    rows: list[bytes]
    continuation: str | None

    @property
    def size(self) -> int:
        """Bytes in it."""
        return sum(map(len, self.rows))


@dataclass
class _Token:
    position: Position | None = None
    skip: int = 0
    offset: int = 0
    limit: int | None = None


def run_page(
    connection: sqlite3.Connection,
    query: s.Query,
    clauses: Clauses,
    plan: Plan,
    params: dict[str, Any],
    max_items: int,
    continuation: str | None,
) -> Page:
    """One page of the query. Raises a 400 for a token that is not this query's."""

    @cache
    def digest() -> str:
        """Of the query: it takes as long as a short answer does, and few answers have a token."""
        return hashlib.sha256(repr((query, sorted(params.items()))).encode()).hexdigest()[:16]

    token = _decode(continuation, digest()) if continuation else _first(query, params)
    if not query.sources:
        rows: Iterator[tuple[Position | None, int, Any]] = _numbered(
            clauses.finish(clauses.expand([None, {}])), token
        )
    elif plan.count_only:
        rows = _numbered(iter([plan.count(connection)]), token)
    elif clauses.one_by_one:
        rows = _rows_of_documents(plan.documents(connection, token.position), clauses, token)
    else:
        documents = plan.documents(connection, None)
        envs = (env for _, _, body in documents for env in clauses.expand([None, orjson.loads(body)]))
        rows = _numbered(clauses.finish(envs), token)
    return _cut(rows, token, max_items, digest)


def _rows_of_documents(
    documents: Iterator[tuple[list[Any], int, str]], clauses: Clauses, token: _Token
) -> Iterator[tuple[Position | None, int, Any]]:
    resumed = token.position[1] if token.position else None
    for keys, seq, body in documents:
        rows = clauses.finish(clauses.expand([None, orjson.loads(body)]))
        for number, row in enumerate(rows):
            if seq != resumed or number >= token.skip:
                yield (keys, seq), number, row


def _numbered(rows: Iterator[Any], token: _Token) -> Iterator[tuple[Position | None, int, Any]]:
    return ((None, number, row) for number, row in enumerate(rows) if number >= token.skip)


def _cut(
    rows: Iterator[tuple[Position | None, int, Any]], token: _Token, max_items: int, digest: Callable[[], str]
) -> Page:
    offset, limit, size = token.offset, token.limit, 0
    page: list[bytes] = []
    for position, number, row in rows:
        if limit == 0:
            break
        if offset:
            offset -= 1
            continue
        if len(page) >= max_items or size > MAX_PAGE_BYTES:
            return Page(page, _encode(_Token(position, number, 0, limit), digest()))
        page.append(orjson.dumps(row))
        size += len(page[-1])
        limit = None if limit is None else limit - 1
    return Page(page, None)


def _first(query: s.Query, params: dict[str, Any]) -> _Token:
    limits = [_count(expr, params) for expr in (query.top, query.limit) if expr is not None]
    offset = _count(query.offset, params) if query.offset is not None else 0
    return _Token(offset=offset, limit=min(limits, default=None))


def _count(expr: s.Expr, params: dict[str, Any]) -> int:
    value = constant(expr, params)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise bad_request("TOP, OFFSET and LIMIT take whole numbers of at least 0.")
    return value


def _encode(token: _Token, digest: str) -> str:
    parts = [digest, token.position, token.skip, token.offset, token.limit]
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def _decode(text: str, digest: str) -> _Token:
    try:
        own, position, skip, offset, limit = orjson.loads(base64.urlsafe_b64decode(text))
    except ValueError:
        raise bad_request("The continuation token is malformed.") from None
    if own != digest:
        raise bad_request("The continuation token is not this query's.")
    return _Token((position[0], position[1]) if position else None, skip, offset, limit)
