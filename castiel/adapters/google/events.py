"""Events of one calendar, read and written through the Calendar API.

Source: https://developers.google.com/workspace/calendar/api/v3/reference/events
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from castiel.adapters.base import Cursor, ExternalRecord, Page, PushOutcome, PushRecord
from castiel.adapters.google.addresses import calendar_id, events_url, page_size
from castiel.adapters.google.batch import Answer, Part, send_all
from castiel.adapters.google.dialect import objects
from castiel.adapters.google.listing import Position, pages
from castiel.adapters.google.moments import moment
from castiel.adapters.http import ApiClient, HttpReply, Params
from castiel.domain.connections import Connection
from castiel.domain.messages import Operation
from castiel.errors import CastielError, CursorExpired, MalformedResponse, ProviderError, RecordNotFound

ENTITY = "Event"
PAGE_SIZE = 2500
_SEND_UPDATES = ("none", "externalOnly", "all")


class Events:
    """Reads and writes events. A series is one record, and each changed instance of it another."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api
        self._size = page_size(connection, PAGE_SIZE)

    # Reading ---------------------------------------------------------------------------------------------

    def pages(self, cursor: Cursor | None) -> AsyncIterator[Page]:
        """Events changed since the cursor; cancelled ones come as deleted."""
        scope = f"{self._size}:{calendar_id(self._connection)}"
        return pages(Position.of(cursor, scope), self._list, _records)

    async def _list(self, tokens: Mapping[str, str]) -> Mapping[str, Any]:
        params: Params = {
            "maxResults": self._size,
            "showDeleted": "true",
            "singleEvents": "false",
            **tokens,
        }
        try:
            return _object(await self._api.call("GET", events_url(self._connection), params=params))
        except RecordNotFound as error:
            if error.status == 410:
                raise CursorExpired("google no longer knows the sync token", status=410) from None
            raise

    async def by_id(self, event_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """Events by id; what is gone comes as deleted. Raises the first other error."""
        ids = list(dict.fromkeys(event_ids))
        parts = [Part("GET", events_url(self._connection, event_id)) for event_id in ids]
        found: dict[str, ExternalRecord] = {}
        answers = await send_all(self._api, self._connection, parts, "fetch", safe=True)
        for event_id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, RecordNotFound):
                found[event_id] = ExternalRecord(ENTITY, event_id, {}, deleted=True)
            elif isinstance(answer, HttpReply):
                found[event_id] = record_of(_object(answer))
            else:
                raise answer
        return found

    # Writing ---------------------------------------------------------------------------------------------

    async def push(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Create under an id of our own, or update if nobody changed it since; one outcome per record.

        A create whose id is taken arrived before, or its event was deleted since: either way the event is made to be
        what it should be.
        """
        creates = [record for record in records if _is_create(record)]
        updates = [record for record in records if not _is_create(record)]
        outcomes = dict(zip((r.key for r in creates), await self._write(creates, self._insert), strict=True))
        taken = [r for r in creates if _is_taken(outcomes[r.key].error)]
        outcomes |= zip((r.key for r in taken), await self._write(taken, self._restore), strict=True)
        outcomes |= zip((r.key for r in updates), await self._write(updates, self._patch), strict=True)
        return [outcomes[record.key] for record in records]

    async def delete(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Cancel events. What is gone already counts as done."""
        parts = [Part("DELETE", self._address(record.external_id)) for record in records]
        answers = await send_all(self._api, self._connection, parts, "delete", safe=True)
        return [
            PushOutcome(
                record.key,
                record.external_id,
                error=answer
                if isinstance(answer, CastielError) and not isinstance(answer, RecordNotFound)
                else None,
            )
            for record, answer in zip(records, answers, strict=True)
        ]

    async def _write(self, records: Sequence[PushRecord], part_of: Any) -> list[PushOutcome]:
        parts = [part_of(record) for record in records]
        operation = "create" if part_of == self._insert else "update"
        answers = await send_all(self._api, self._connection, parts, operation)
        return [_outcome(record, answer) for record, answer in zip(records, answers, strict=True)]

    def _insert(self, record: PushRecord) -> Part:
        body = {"id": event_id_for(record.key), **_filled(record.fields)}
        return Part("POST", self._address(None), body)

    def _restore(self, record: PushRecord) -> Part:
        body = {"status": "confirmed", **record.fields}
        return Part("PATCH", self._address(event_id_for(record.key)), body)

    def _patch(self, record: PushRecord) -> Part:
        condition = {"If-Match": record.version} if record.version else {}
        return Part("PATCH", self._address(record.external_id), dict(record.fields), condition)

    def _address(self, event_id: str | None) -> str:
        wanted = self._connection.settings.get("sendUpdates")
        query = {"sendUpdates": wanted if wanted in _SEND_UPDATES else "none"}
        return f"{events_url(self._connection, event_id)}?{urlencode(query)}"


def _is_create(record: PushRecord) -> bool:
    return record.operation is Operation.CREATE or record.external_id is None


def event_id_for(key: str) -> str:
    """The id of the event that a shard makes: base32hex in lower case, as the API wants it (5 to 1024 characters)."""
    return base64.b32hexencode(hashlib.sha256(key.encode()).digest()).decode().lower().rstrip("=")


def record_of(event: Mapping[str, Any]) -> ExternalRecord:
    """An event as a record. Raises :class:`MalformedResponse` for one without an id."""
    event_id, etag = event.get("id"), event.get("etag")
    if not isinstance(event_id, str) or not event_id:
        raise MalformedResponse("an event without an id")
    return ExternalRecord(
        ENTITY,
        event_id,
        {name: value for name, value in event.items() if name not in ("kind", "etag", "id")},
        modified_at=moment(event.get("updated")),
        deleted=event.get("status") == "cancelled",
        version=etag if isinstance(etag, str) else None,
    )


def _records(body: Mapping[str, Any]) -> list[ExternalRecord]:
    return [record_of(event) for event in objects(body.get("items"))]


def _outcome(record: PushRecord, answer: Answer) -> PushOutcome:
    if isinstance(answer, CastielError):
        return PushOutcome(record.key, record.external_id, error=answer)
    try:
        written = record_of(_object(answer))
    except ProviderError as error:
        return PushOutcome(record.key, record.external_id, error=error)
    return PushOutcome(
        record.key,
        written.external_id,
        version=written.version,
        fields=written.fields,
        modified_at=written.modified_at,
    )


def _is_taken(error: CastielError | None) -> bool:
    return isinstance(error, ProviderError) and error.status == 409


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value, inside start and end too: a new event has nothing to empty."""
    filled: dict[str, Any] = {}
    for name, value in fields.items():
        inner = _filled(value) if isinstance(value, dict) else value
        if inner is not None and inner != {}:
            filled[name] = inner
    return filled


def _object(reply: HttpReply) -> Mapping[str, Any]:
    body = reply.json()
    if not isinstance(body, dict):
        raise MalformedResponse("an object was expected", status=reply.status)
    return body
