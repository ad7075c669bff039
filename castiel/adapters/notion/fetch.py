"""Reading the pages of data sources in the order of their last change.

Each query begins at the last minute seen rather than at the cursor of the query before: such cursors belong to a
session and can end in the middle of a pass, a query shows 10,000 pages at most, and a page edited meanwhile moves to
the end, where the next query meets it. Only where one minute holds more pages than an answer does is the cursor
followed. Pages of a minute read twice are shown twice only if they changed in between.

Sources: https://developers.notion.com/reference/query-a-data-source,
https://developers.notion.com/guides/data-apis/query-large-data-sources
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

from castiel.adapters.base import Cursor, ExternalRecord, Page
from castiel.adapters.http import ApiClient, HttpReply
from castiel.adapters.http_dates import answered_at
from castiel.adapters.notion.cursor import Position
from castiel.adapters.notion.dialect import members
from castiel.adapters.notion.moments import moment_text, parse_moment
from castiel.adapters.notion.records import complete, data_source_of, is_trashed, page_path, record_of
from castiel.adapters.notion.settings import data_source_ids, full_pass_every, marker_property
from castiel.adapters.notion.values import Json
from castiel.domain.connections import Connection
from castiel.domain.hashing import content_hash
from castiel.errors import MalformedResponse, ProviderRejected, RecordNotFound, SchemaMismatch

PAGE_SIZE = 100
_RESTARTS = 3


class Reader:
    """One connection's reading."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api

    async def pages(self, cursor: Cursor | None) -> AsyncIterator[Page]:
        """One pass over all data sources. Raises :class:`CursorExpired` when only a full pass can help."""
        sources = data_source_ids(self._connection.settings)
        position = Position.read(cursor)
        if position.source not in sources:
            position = self._begin(position, sources)
        restarts = 0
        seam = _Seam()
        while True:
            try:
                reply = await self._query(position)
            except SchemaMismatch:
                # The cursor ended. Its minute is read again from its beginning.
                if position.start is None or restarts == _RESTARTS:
                    raise
                restarts += 1
                position = replace(position, start=None)
                continue
            asked, position = position, self._dated(position, reply)
            if position.full and not asked.full:
                position = self._begin(position, sources)
                continue
            body = members(reply)
            results = _results(body)
            position, done = _advance(position, body, results)
            found = [await self._record(page) for page in results if _is_live_page(page)]
            records = seam.without_repeats(found, position.newest)
            source = position.source or ""
            last = done and source == sources[-1]
            if last:
                ended = position.ended()
                marks = {source: mark for source, mark in ended.marks.items() if source in sources}
                yield Page(records, replace(ended, marks=marks).saved(), last=True, full_pass=position.full)
                return
            if done:
                position = position.at(sources[sources.index(source) + 1])
            yield Page(records, position.saved(), full_pass=position.full)

    async def by_id(self, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """Pages as they are now; those in the trash are deleted, those of other data sources are missing."""
        sources = data_source_ids(self._connection.settings)
        found: dict[str, ExternalRecord] = {}
        for external_id in dict.fromkeys(external_ids):
            try:
                page = members(await self._api.call("GET", page_path(external_id)))
            except RecordNotFound:
                continue
            if data_source_of(page) in sources:
                found[external_id] = await self._record(page)
        return found

    def _begin(self, position: Position, sources: Sequence[str]) -> Position:
        known = any(source in position.marks for source in sources)
        return replace(position, full=position.full or not known).at(sources[0])

    async def _query(self, position: Position) -> HttpReply:
        body: Json = {
            "sorts": [{"timestamp": "last_edited_time", "direction": "ascending"}],
            "page_size": PAGE_SIZE,
        }
        if position.since is not None:
            # Inclusive, as times are rounded to the minute: "after" would lose the rest of the minute.
            since = {"on_or_after": moment_text(position.since)}
            body["filter"] = {"timestamp": "last_edited_time", "last_edited_time": since}
        if position.start is not None:
            body["start_cursor"] = position.start
        path = f"/v1/data_sources/{position.source}/query"
        return await self._api.call("POST", path, json_body=body, safe=True)

    def _dated(self, position: Position, reply: HttpReply) -> Position:
        """With the answer's date; the pass becomes a full one when it is time for that."""
        now = answered_at(reply.headers)
        if position.start is None or position.as_of is None:
            position = replace(position, as_of=now)
        if position.started is not None:
            return position
        every, before = full_pass_every(self._connection), position.full_pass_at
        due = every is not None and (before is None or now - before >= every)
        return replace(position, started=now, full=position.full or due)

    async def _record(self, page: Json) -> ExternalRecord:
        return record_of(await complete(self._api, page), marker_property(self._connection))


class _Seam:
    """What was shown of the minute at which the next query begins: it need not be shown again, unless it changed."""

    def __init__(self) -> None:
        self._minute: datetime | None = None
        self._shown: dict[str, str] = {}

    def without_repeats(
        self, records: Sequence[ExternalRecord], newest: datetime | None
    ) -> list[ExternalRecord]:
        """The records not shown as they are now; ``newest`` is the minute that the next query may begin at."""
        prints = {record.external_id: content_hash(record.fields) for record in records}
        fresh = [
            record for record in records if self._shown.get(record.external_id) != prints[record.external_id]
        ]
        if newest != self._minute:
            self._minute, self._shown = newest, {}
        at_seam = (record.external_id for record in records if record.modified_at == newest)
        self._shown |= {external_id: prints[external_id] for external_id in at_seam}
        return fresh


def _advance(position: Position, body: Json, results: Sequence[Json]) -> tuple[Position, bool]:
    """Where to read on, and whether the data source is read to its end."""
    first = parse_moment(results[0].get("last_edited_time")) if results else None
    last = parse_moment(results[-1].get("last_edited_time")) if results else None
    if last is not None:
        position = replace(position, newest=last)
    capped = (body.get("request_status") or {}).get("type") == "incomplete"
    if not body.get("has_more") and not capped:
        return position.marked(), True
    if last is not None and last != first:
        if position.since is not None and last <= position.since:
            raise MalformedResponse("a query's results are not in the order asked for")
        return replace(position, since=last, start=None), False
    if not body.get("has_more"):
        raise ProviderRejected("more pages changed in one minute than a query can show")
    start = body.get("next_cursor")
    if not isinstance(start, str) or start == position.start:
        raise MalformedResponse("has_more without another next_cursor")
    return replace(position, start=start), False


def _results(body: Json) -> list[Json]:
    results = body.get("results")
    if not isinstance(results, list) or not all(isinstance(page, dict) for page in results):
        raise MalformedResponse("a query's answer without results")
    return results


def _is_live_page(page: Json) -> bool:
    """A wiki's data source also lists data sources; what is in the trash counts as gone."""
    return page.get("object") == "page" and not is_trashed(page)
