"""`/query` and `/queryAll`: SOQL in, pages of records out."""

from __future__ import annotations

import re
from typing import Any

from infra.local.sandbox.salesforce.cursors import Cursor, Cursors
from infra.local.sandbox.salesforce.rendering import attributes, value_of
from infra.local.sandbox.salesforce.rows import NAME
from infra.local.sandbox.salesforce.schema import OBJECTS, Field, SObject
from infra.local.sandbox.salesforce.soql import parse
from infra.local.sandbox.salesforce.soql_sql import Column, plan
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]

_DEFAULT_BATCH = 2000
_BATCH_RANGE = (200, 2000)


def batch_size(header: str | None) -> int:
    """Rows per page from `Sforce-Query-Options: batchSize=N`, kept within what Salesforce allows."""
    match = re.search(r"batchSize\s*=\s*(\d+)", header or "", re.IGNORECASE)
    return min(max(int(match.group(1)), _BATCH_RANGE[0]), _BATCH_RANGE[1]) if match else _DEFAULT_BATCH


class Queries:
    """Runs queries and continues them. Raises ApiError."""

    def __init__(self, store: Store, cursors: Cursors) -> None:
        self._store = store
        self._cursors = cursors

    def run(
        self, soql: str, *, include_deleted: bool, rows: int, session: str, version: str, max_cursors: int
    ) -> JsonObject:
        """The first page."""
        query = parse(soql)
        planned = plan(query, include_deleted)
        ids = [row[0] for row in self._store.select(planned.sql, planned.parameters)]
        if not query.paths:
            return {"totalSize": len(ids), "done": True, "records": []}
        cursor = Cursor(planned, ids, include_deleted, rows, session, self._store.clock.now_ms())
        locator = self._cursors.open(cursor, max_cursors) if len(ids) > rows else ""
        return self._page(cursor, locator, 0, version)

    def more(self, text: str, *, session: str, version: str, locator_seconds: int) -> JsonObject:
        """The page a locator points at; asking for the same page again answers it again."""
        locator, cursor, position = self._cursors.at(text, session, locator_seconds)
        return self._page(cursor, locator, position, version)

    def _page(self, cursor: Cursor, locator: str, start: int, version: str) -> JsonObject:
        end = start + cursor.batch_size
        answer: JsonObject = {"totalSize": len(cursor.ids), "done": end >= len(cursor.ids)}
        if not answer["done"]:
            word = "queryAll" if cursor.include_deleted else "query"
            answer["nextRecordsUrl"] = f"/services/data/{version}/{word}/{locator}-{end}"
        records = self._load(cursor, cursor.ids[start:end])
        printer = _Printer(self._store, version)
        answer["records"] = [printer.render(cursor.plan.sobject, cursor.plan.columns, r) for r in records]
        return answer

    def _load(self, cursor: Cursor, ids: list[str]) -> list[Record]:
        marks = ", ".join("?" * len(ids))
        where = f"id IN ({marks})" + ("" if cursor.include_deleted else " AND deleted=0")
        found = {r.id: r for r in self._store.find(NAME, cursor.plan.sobject.name, where, ids)}
        return [found[record_id] for record_id in ids if record_id in found]


class _Printer:
    """Prints the records of one page; a parent that many of them share is read once."""

    def __init__(self, store: Store, version: str) -> None:
        self._store = store
        self._version = version
        self._parents: dict[tuple[str, str], Record | None] = {}

    def render(self, sobject: SObject, columns: tuple[Column, ...], record: Record) -> JsonObject:
        answer: JsonObject = {"attributes": attributes(sobject, record.id, self._version)}
        for column in columns:
            if not column.via:
                answer[column.field.name] = value_of(record, column.field)
                continue
            link = column.via[0]
            if link.relationship in answer:
                continue
            deeper = tuple(Column(c.field, c.via[1:]) for c in columns if c.via and c.via[0] == link)
            answer[str(link.relationship)] = self._parent(record, deeper, link)
        return answer

    def _parent(self, record: Record, columns: tuple[Column, ...], link: Field) -> JsonObject | None:
        key = (str(link.refers_to), record.data.get(link.name) or "")
        if key not in self._parents:
            self._parents[key] = self._store.get(NAME, *key)
        parent = self._parents[key]
        return None if parent is None else self.render(OBJECTS[key[0]], columns, parent)
