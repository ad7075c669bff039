"""Writing pages, one call each and one after another: Notion has no batches and wants few calls at a time.

Sources: https://developers.notion.com/reference/post-page, https://developers.notion.com/reference/patch-page,
https://developers.notion.com/reference/trash-page
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.adapters.http import ApiClient, HttpReply
from castiel.adapters.notion.dialect import members
from castiel.adapters.notion.moments import parse_moment
from castiel.adapters.notion.records import data_source_of, is_trashed, page_id, page_path, plain_fields
from castiel.adapters.notion.schema import DataSource, DataSources
from castiel.adapters.notion.settings import data_source_ids, marker_property, trash_word
from castiel.adapters.notion.values import Json, text_items
from castiel.domain.connections import Connection
from castiel.domain.messages import Operation
from castiel.errors import (
    AuthenticationFailed,
    CastielError,
    CircuitOpen,
    ConfigurationError,
    MalformedResponse,
    OutcomeUnknown,
    ProviderRateLimited,
    ProviderUnavailable,
    RateLimited,
    ReauthRequired,
    RecordNotFound,
    SchemaMismatch,
)

_CONCERNS_ALL = (AuthenticationFailed, CircuitOpen, ProviderRateLimited, RateLimited, ReauthRequired)
"""After one of these the records behind it need not be tried."""

_CERTAINLY_NOT_DONE = (None, 408, 409)
"""Statuses of a failed call that wrote nothing: none at all (no connection), and those that say so."""


class Writer:
    """One connection's writing."""

    def __init__(self, connection: Connection, api: ApiClient, sources: DataSources) -> None:
        self._connection = connection
        self._api = api
        self._sources = sources

    async def push(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Create or update, in order; each record succeeds or fails for itself."""
        return await self._each(records, self._push_one)

    async def delete(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Put pages in the trash: the API deletes nothing for good."""
        return await self._each(records, self._trash)

    async def _each(
        self, records: Sequence[PushRecord], write: Callable[[PushRecord], Awaitable[PushOutcome]]
    ) -> list[PushOutcome]:
        outcomes: list[PushOutcome] = []
        for record in records:
            try:
                outcomes.append(await write(record))
            except CastielError as error:
                outcomes.append(PushOutcome(record.key, record.external_id, error=error))
                if isinstance(error, _CONCERNS_ALL):
                    rest = records[len(outcomes) :]
                    return outcomes + [PushOutcome(one.key, one.external_id, error=error) for one in rest]
        return outcomes

    async def _push_one(self, record: PushRecord) -> PushOutcome:
        if record.operation is Operation.CREATE and record.external_id is None:
            return await self._create(record)
        if record.external_id is None:
            raise RecordNotFound("an update without the page's id")
        return await self._update(record, record.external_id)

    async def _create(self, record: PushRecord) -> PushOutcome:
        source = await self._sources.of(data_source_ids(self._connection.settings)[0])
        if record.retrying:
            existing = await self._find_marked(source, record.key)
            if existing is not None:
                return await self._update(record, existing)
        properties = source.typed(record.fields)
        marker = marker_property(self._connection)
        if source.kind(marker) == "rich_text":
            properties[marker] = {"rich_text": text_items(record.key)}
        body = {
            "parent": {"type": "data_source_id", "data_source_id": source.id},
            "properties": properties,
        }
        try:
            return _outcome(
                record, await self._api.call("POST", "/v1/pages", operation="create", json_body=body)
            )
        except ProviderUnavailable as error:
            if isinstance(error, OutcomeUnknown) or error.status in _CERTAINLY_NOT_DONE:
                raise
            # A failure inside Notion may come after the page was made.
            raise OutcomeUnknown(
                str(error),
                retry_after=error.retry_after,
                status=error.status,
                provider_code=error.provider_code,
            ) from None

    async def made(self, keys: Sequence[str]) -> dict[str, str]:
        """The pages that earlier tries made, by key. Raises :class:`ConfigurationError` where that can't be told."""
        source = await self._sources.of(data_source_ids(self._connection.settings)[0])
        found = {key: await self._find_marked(source, key) for key in keys}
        return {key: page for key, page in found.items() if page is not None}

    async def _find_marked(self, source: DataSource, key: str) -> str | None:
        """The page an earlier try made. Raises :class:`ConfigurationError` where that can't be told."""
        marker = marker_property(self._connection)
        if source.kind(marker) != "rich_text":
            raise ConfigurationError(
                f"markerProperty: a create whose answer was lost can't be resolved; add a text property"
                f" {marker!r} to the data source {source.title!r}, then replay the record"
            )
        body = {
            "filter": {"property": marker, "rich_text": {"equals": key}},
            "sorts": [{"timestamp": "created_time", "direction": "ascending"}],
            "page_size": 1,
        }
        reply = await self._api.call("POST", f"/v1/data_sources/{source.id}/query", json_body=body, safe=True)
        results = members(reply).get("results")
        if not isinstance(results, list):
            raise MalformedResponse("a query's answer without results", status=reply.status)
        return page_id(results[0]) if results else None

    async def _update(self, record: PushRecord, external_id: str) -> PushOutcome:
        source = await self._source_of(external_id)
        body = {"properties": source.typed(record.fields)}
        try:
            return _outcome(record, await self._patch(external_id, body, "update"))
        except SchemaMismatch:
            # A page in the trash refuses every edit by the same code as a wrong value does.
            if is_trashed(await self._page(external_id)):
                raise RecordNotFound("the page is in the trash") from None
            raise

    async def _trash(self, record: PushRecord) -> PushOutcome:
        if record.external_id is None:
            return PushOutcome(record.key)
        try:
            await self._patch(record.external_id, {trash_word(self._connection): True}, "delete")
        except RecordNotFound:
            pass
        except SchemaMismatch:
            if not is_trashed(await self._page(record.external_id)):
                raise
        return PushOutcome(record.key, record.external_id)

    async def _source_of(self, external_id: str) -> DataSource:
        """The data source whose properties a page has; with several, the page itself has to say which."""
        configured = data_source_ids(self._connection.settings)
        if len(configured) == 1:
            return await self._sources.of(configured[0])
        found = data_source_of(await self._page(external_id))
        if found not in configured:
            raise RecordNotFound("the page is in none of the connection's data sources")
        return await self._sources.of(found)

    async def _page(self, external_id: str) -> Json:
        return members(await self._api.call("GET", page_path(external_id)))

    async def _patch(self, external_id: str, body: Json, operation: str) -> HttpReply:
        # The same values written twice are the same page: safe to send again.
        path = page_path(external_id)
        return await self._api.call("PATCH", path, operation=operation, json_body=body, safe=True)


def _outcome(record: PushRecord, reply: HttpReply) -> PushOutcome:
    page = members(reply)
    return PushOutcome(
        record.key,
        page_id(page),
        fields=plain_fields(page),
        modified_at=parse_moment(page.get("last_edited_time")),
    )
