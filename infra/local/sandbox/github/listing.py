"""Pages of a list: `per_page`, `page` or `after`, and the Link header that leads on.

Source: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from infra.local.sandbox.clock import parse_ms
from infra.local.sandbox.github.errors import ApiError, invalid
from infra.local.sandbox.github.tokens import NAME
from infra.local.sandbox.store import Record, Store

Query = Mapping[str, str]
_COLUMNS = "entity, id, data, created_ms, modified_ms, deleted"


def page_size(query: Query) -> int:
    """30 unless asked otherwise, 100 at most; what is no number counts as not asked."""
    given = query.get("per_page", "")
    return min(int(given), 100) if given.isdigit() and int(given) > 0 else 30


def page_number(query: Query) -> int:
    given = query.get("page", "")
    return max(1, int(given)) if given.isdigit() else 1


def link_header(url: str, query: Query, *, after: str | None = None) -> str:
    """The header that leads to the next page."""
    following = {**query, "page": str(page_number(query) + 1)}
    if after is not None:
        following["after"] = after
    return f'<{url}?{urlencode(following)}>; rel="next"'


class ItemList:
    """The issues or pull requests of one repository, sorted and filtered as a query asks."""

    def __init__(self, store: Store, repository_id: str, entities: tuple[str, ...], query: Query) -> None:
        self._store = store
        self._query = query
        sort = query.get("sort", "created")
        column = {"created": "created_ms", "updated": "modified_ms"}.get(sort)
        if column is None:
            raise invalid("Issue", "sort")
        self._column = column
        self._descending = query.get("direction", "desc") != "asc"
        marks = ",".join("?" * len(entities))
        self._where = [f"provider=? AND entity IN ({marks}) AND deleted=0", "json_extract(data,'$.repo')=?"]
        self._values: list[Any] = [NAME, *entities, repository_id]
        self._filter()

    def _filter(self) -> None:
        state = self._query.get("state", "open")
        if state not in ("open", "closed", "all"):
            raise invalid("Issue", "state")
        if state != "all":
            self._and("json_extract(data,'$.state')=?", state)
        if "creator" in self._query:
            self._and("json_extract(data,'$.user')=?", self._query["creator"])
        if "since" in self._query:
            try:
                since = parse_ms(self._query["since"])
            except ValueError:
                raise invalid("Issue", "since") from None
            self._and("modified_ms>=?", since)

    def page(self) -> tuple[list[tuple[str, Record]], str | None]:
        """The page, and the cursor behind its last record where more follow."""
        size = page_size(self._query)
        number = "CAST(json_extract(data,'$.number') AS INTEGER)"
        compare, order = ("<", "DESC") if self._descending else (">", "ASC")
        offset = 0
        if "after" in self._query:
            self._and(f"({self._column},{number}) {compare} (?,?)", *_position(self._query["after"]))
        else:
            offset = (page_number(self._query) - 1) * size
        sql = (
            f"SELECT {_COLUMNS} FROM records WHERE {' AND '.join(self._where)} "  # noqa: S608
            f"ORDER BY {self._column} {order}, {number} {order} LIMIT ? OFFSET ?"
        )
        rows = self._store.select(sql, (*self._values, size + 1, offset))
        found = [(row[0], Record.of(row[1:])) for row in rows[:size]]
        more = len(rows) > size
        return found, self._cursor(found[-1][1]) if more else None

    def _and(self, condition: str, *values: Any) -> None:
        self._where.append(condition)
        self._values += values

    def _cursor(self, record: Record) -> str:
        at = record.created_ms if self._column == "created_ms" else record.modified_ms
        return base64.urlsafe_b64encode(json.dumps([at, record.data["number"]]).encode()).decode()


def _position(after: str) -> tuple[int, int]:
    try:
        at, number = json.loads(base64.urlsafe_b64decode(after))
        return int(at), int(number)
    except (ValueError, TypeError):
        raise ApiError(422, "Invalid cursor") from None
