"""Contacts, read and written through the People API.

Source: https://developers.google.com/people/api/rest/v1/people
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from castiel.adapters.base import Cursor, ExternalRecord, Page, PushOutcome, PushRecord
from castiel.adapters.google.addresses import page_size, people_url
from castiel.adapters.google.dialect import objects
from castiel.adapters.google.listing import Position, pages
from castiel.adapters.google.moments import moment
from castiel.adapters.google.people_fields import PERSON_FIELDS, fields_of, marker_of
from castiel.adapters.http import ApiClient, Params
from castiel.domain.connections import Connection
from castiel.errors import MalformedResponse

ENTITY = "Contact"
PAGE_SIZE = 1000
GET_BATCH = 100
"""The API takes 200 names, but they are part of the address: 200 would make one of nine kilobytes."""
SOURCES = ("sources", "READ_SOURCE_TYPE_CONTACT")
"""What the account's owner keeps about people, without what is in their own Google profiles."""


class ContactReader:
    """Reads contacts."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api
        self._size = page_size(connection, PAGE_SIZE)

    def pages(self, cursor: Cursor | None) -> AsyncIterator[Page]:
        """Contacts changed since the cursor. Sync tokens end seven days after the full pass they go back to.

        Writes take some minutes to show up in an incremental pass.
        """
        scope = f"{self._size}:{PERSON_FIELDS}"
        return pages(Position.of(cursor, scope), self._list, _records)

    async def _list(self, tokens: Mapping[str, str]) -> Mapping[str, Any]:
        params: Params = [
            ("personFields", PERSON_FIELDS),
            SOURCES,
            ("pageSize", self._size),
            ("requestSyncToken", "true"),
            *tokens.items(),
        ]
        url = people_url(self._connection, "people/me/connections")
        return members(await self._api.call("GET", url, params=params))

    async def by_name(self, resource_names: Sequence[str]) -> dict[str, ExternalRecord]:
        """Contacts by resource name; what is gone comes as deleted."""
        people = await self.people(resource_names)
        return {
            name: record_of(person, name)
            if person is not None
            else ExternalRecord(ENTITY, name, {}, deleted=True)
            for name, person in people.items()
        }

    async def people(self, resource_names: Iterable[str]) -> dict[str, Mapping[str, Any] | None]:
        """The persons themselves by the name they were asked for; ``None`` for what is gone."""
        found: dict[str, Mapping[str, Any] | None] = {}
        names = list(dict.fromkeys(resource_names))
        for start in range(0, len(names), GET_BATCH):
            params: Params = [
                ("personFields", PERSON_FIELDS),
                SOURCES,
                *(("resourceNames", name) for name in names[start : start + GET_BATCH]),
            ]
            body = members(
                await self._api.call("GET", people_url(self._connection, "people:batchGet"), params=params)
            )
            for response in objects(body.get("responses")):
                person = response.get("person")
                # A person may answer to a name it no longer has; Castiel keeps the one it knows.
                found[str(response.get("requestedResourceName"))] = (
                    person if isinstance(person, dict) else None
                )
        return found

    async def find_marked(self, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Contacts that carry the marker of one of these shards, for creates whose answer never came.

        Neither the search (names, addresses and the like, from a cache) nor an incremental pass (minutes behind)
        can find a marker, so the contacts are listed: without a sync token, the latest changed first, until all
        markers are found. At the most that is every contact once (accounts end at 25 000: 25 calls).
        """
        wanted, found = set(keys), dict[str, Mapping[str, Any]]()
        page_token = ""
        while wanted - set(found):
            params: Params = [
                ("personFields", PERSON_FIELDS),
                SOURCES,
                ("pageSize", PAGE_SIZE),
                ("sortOrder", "LAST_MODIFIED_DESCENDING"),
                *([("pageToken", page_token)] if page_token else []),
            ]
            url = people_url(self._connection, "people/me/connections")
            body = members(await self._api.call("GET", url, operation="create", params=params))
            for person in objects(body.get("connections")):
                marker = marker_of(person)
                if marker in wanted:
                    found.setdefault(str(marker), person)
            page_token = str(body.get("nextPageToken") or "")
            if not page_token:
                break
        return found


def record_of(person: Mapping[str, Any], name: str | None = None) -> ExternalRecord:
    """A person as a record."""
    metadata = person.get("metadata")
    deleted = isinstance(metadata, dict) and bool(metadata.get("deleted"))
    return ExternalRecord(
        ENTITY,
        name or resource_name(person),
        {} if deleted else fields_of(person),
        modified_at=modified_at(person),
        deleted=deleted,
        version=version_of(person),
        made_from=marker_of(person),
    )


def version_of(person: Mapping[str, Any]) -> str | None:
    """The etag of the contact, which an update has to carry."""
    etag = _contact_source(person).get("etag") or person.get("etag")
    return etag if isinstance(etag, str) else None


def modified_at(person: Mapping[str, Any]) -> datetime | None:
    """When the contact was last changed."""
    return moment(_contact_source(person).get("updateTime"))


def resource_name(person: Mapping[str, Any]) -> str:
    """``people/c…``. Raises :class:`MalformedResponse`."""
    name = person.get("resourceName")
    if not isinstance(name, str) or not name:
        raise MalformedResponse("a person without a resourceName")
    return name


def members(reply: Any) -> Mapping[str, Any]:
    """The body as an object. Raises :class:`MalformedResponse`."""
    body = reply.json()
    if not isinstance(body, dict):
        raise MalformedResponse("an object was expected", status=reply.status)
    return body


def _records(body: Mapping[str, Any]) -> list[ExternalRecord]:
    records = []
    for person in objects(body.get("connections")):
        # Linking a contact to a profile can give it a new name: the record of the old one has ended.
        metadata = person.get("metadata")
        former = metadata.get("previousResourceNames") if isinstance(metadata, dict) else None
        records += [ExternalRecord(ENTITY, str(name), {}, deleted=True) for name in former or []]
        records.append(record_of(person))
    return records


def _contact_source(person: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = person.get("metadata")
    sources = objects(metadata.get("sources")) if isinstance(metadata, dict) else []
    return next((source for source in sources if source.get("type") == "CONTACT"), {})


def outcome_of(record: PushRecord, person: Mapping[str, Any]) -> PushOutcome:
    """The outcome of a write that Google answered with the person."""
    written = record_of(person)
    return PushOutcome(
        record.key,
        record.external_id or written.external_id,
        version=written.version,
        fields=written.fields,
        modified_at=written.modified_at,
    )
