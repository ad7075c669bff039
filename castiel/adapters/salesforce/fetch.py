"""Reading: changed records page by page, and records by id.

Sources: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_queryall.htm,
…/api_rest/headers_queryoptions.htm, …/api_rest/resources_composite_sobjects_collections_retrieve.htm
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from castiel.adapters.base import Cursor, ExternalRecord, Page
from castiel.adapters.http import ApiClient
from castiel.adapters.salesforce.cursor import Position, Progress, begin
from castiel.adapters.salesforce.describe import Describes
from castiel.adapters.salesforce.ids import is_id
from castiel.adapters.salesforce.records import external_record
from castiel.adapters.salesforce.settings import (
    DEFAULT_LOOK_BACK_SECONDS,
    api_path,
    chosen_fields,
    entity_name,
    external_id_field,
    number,
    page_size,
)
from castiel.domain.connections import Connection
from castiel.errors import AuthenticationFailed, CursorExpired, MalformedResponse, ProviderUnavailable

MOST_READ = 1000
"""Records read by id in one call; Salesforce allows 2000."""

MOST_RESTARTS = 3
"""Queries begun anew in a row without getting any further."""


class Reader:
    """Reads an org's records for one connection."""

    def __init__(self, connection: Connection, api: ApiClient, describes: Describes) -> None:
        self._connection = connection
        self._api = api
        self._describes = describes

    async def pages(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """One pass over what changed since ``cursor``, deleted records among the others, oldest change first."""
        found = await self._describes.of(entity_name(entity), fresh=True)
        fields = found.queryable(chosen_fields(self._connection, entity))
        look_back = timedelta(seconds=number(self._connection, "lookBackSeconds", DEFAULT_LOOK_BACK_SECONDS))
        progress = begin(cursor, found.at, look_back)
        link: str | None = None
        restarts = 0
        while True:
            try:
                answer = await self._page(entity, fields, progress.position, link)
            except (CursorExpired, AuthenticationFailed):
                # The locator ended, or the session that it belongs to: the keyset knows the way on.
                if link is None:
                    raise
                if restarts == MOST_RESTARTS:
                    raise ProviderUnavailable("queries keep ending before their second page") from None
                link, restarts = None, restarts + 1
                progress = await self._requeried(entity, progress)
                continue
            key = external_id_field(self._connection)
            records = [external_record(entity, row, key) for row in answer["records"]]
            before, progress = progress, progress.after(records)
            restarts = restarts if progress.position == before.position else 0
            link = answer.get("nextRecordsUrl")
            if link is None:
                yield Page(records, progress.final_cursor() or cursor or {}, last=True)
                return
            yield Page(records, progress.cursor())

    async def _requeried(self, entity: str, progress: Progress) -> Progress:
        now = (await self._describes.of(entity, fresh=True)).at
        return Progress(progress.position, progress.newest, progress.started_at, now)

    async def _page(
        self, entity: str, fields: list[str], position: Position | None, link: str | None
    ) -> dict[str, Any]:
        path = (
            link
            or f"{api_path(self._connection)}/queryAll?q={quote(_soql(entity, fields, position), safe=',')}"
        )
        size = {"Sforce-Query-Options": f"batchSize={page_size(self._connection)}"}
        answer = (await self._api.call("GET", path, headers=size)).json()
        if not isinstance(answer, dict) or not isinstance(answer.get("records"), list):
            raise MalformedResponse("a page without records")
        if not isinstance(answer.get("nextRecordsUrl", ""), str) or answer.get("done") is (
            "nextRecordsUrl" in answer
        ):
            raise MalformedResponse("a page that does not say what follows")
        return answer

    async def by_id(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """Records as they are now; those that are gone are missing."""
        wanted = [external_id for external_id in dict.fromkeys(external_ids) if is_id(external_id)]
        found: dict[str, ExternalRecord] = {}
        for start in range(0, len(wanted), MOST_READ):
            ids = wanted[start : start + MOST_READ]
            body = {"ids": ids, "fields": await self._describes.fields(entity)}
            path = f"{api_path(self._connection)}/composite/sobjects/{entity_name(entity)}"
            rows = (await self._api.call("POST", path, json_body=body, safe=True)).json()
            if not isinstance(rows, list) or len(rows) != len(ids):
                raise MalformedResponse("another number of records than was asked for")
            found |= {
                external_id: external_record(entity, row, external_id_field(self._connection))
                for external_id, row in zip(ids, rows, strict=True)
                if row is not None
            }
        return found

    async def by_key(self, entity: str, keys: Sequence[str]) -> dict[str, ExternalRecord]:
        """Records by our key of them, as they are now; none where the object has no field for it."""
        name = external_id_field(self._connection)
        if (await self._describes.of(entity)).field(name) is None:
            return {}
        found: dict[str, ExternalRecord] = {}
        for key in dict.fromkeys(keys):
            path = f"{api_path(self._connection)}/sobjects/{entity_name(entity)}/{name}/{quote(key, safe='')}"
            reply = await self._api.call("GET", path, allow=(404,))
            if reply.status == 404:
                continue
            row = reply.json()
            if not isinstance(row, dict):
                raise MalformedResponse("an object was expected", status=reply.status)
            found[key] = external_record(entity, row, name)
        return found


def _soql(entity: str, fields: list[str], position: Position | None) -> str:
    # Names come from describe and settings that were checked, moments and ids from values that were parsed.
    where = f" WHERE {position.condition()}" if position else ""
    return f"SELECT {','.join(fields)} FROM {entity}{where} ORDER BY SystemModstamp, Id"  # noqa: S608
