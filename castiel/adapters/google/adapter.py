"""A Google account behind Castiel's adapter interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from castiel.adapters.base import (
    AccountHealth,
    Adapter,
    Cursor,
    ExternalRecord,
    Page,
    PushOutcome,
    PushRecord,
)
from castiel.adapters.google import contacts, events
from castiel.adapters.google.addresses import events_url, people_url, user_info_url
from castiel.adapters.google.contact_writer import ContactWriter
from castiel.adapters.google.describe import DESCRIPTIONS
from castiel.adapters.google.dialect import DIALECT
from castiel.adapters.http import ApiClient, Dialect, Params
from castiel.domain.connections import Connection
from castiel.domain.fields import EntityDescription
from castiel.errors import ConfigurationError, PermissionDenied

_CONTACTS_SCOPE = "https://www.googleapis.com/auth/contacts"
_EVENTS_SCOPE = "https://www.googleapis.com/auth/calendar.events"


class GoogleAdapter(Adapter):
    """The contacts and one calendar of a Google account."""

    dialect: ClassVar[Dialect] = DIALECT

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        super().__init__(connection, api)
        self._contacts = contacts.ContactReader(connection, api)
        self._contact_writer = ContactWriter(connection, api, self._contacts)
        self._events = events.Events(connection, api)

    def fetch(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """See :class:`Adapter`. Without a cursor a full pass, which shows no deletions of contacts; after that the
        changes and deletions since."""
        return self._contacts.pages(cursor) if _is_contact(entity) else self._events.pages(cursor)

    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`."""
        if _is_contact(entity):
            return await self._contacts.by_name(external_ids)
        return await self._events.by_id(external_ids)

    async def find_made(self, entity: str, records: Sequence[PushRecord]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`. Contacts by their marker; an event's id is chosen by us."""
        if not _is_contact(entity):
            return {}
        found = await self._contacts.find_marked(record.key for record in records)
        return {key: contacts.record_of(person) for key, person in found.items()}

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. A version makes an update conditional."""
        return await (self._contact_writer if _is_contact(entity) else self._events).push(records)

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. A deleted event can be restored by its owner for 30 days."""
        return await (self._contact_writer if _is_contact(entity) else self._events).delete(records)

    async def describe(self) -> list[EntityDescription]:
        """See :class:`Adapter`."""
        return list(DESCRIPTIONS)

    async def check(self) -> AccountHealth:
        """Whose account it is, and the scopes of those APIs that let us in. Google doesn't tell what quota is left.

        Raises :class:`PermissionDenied` when neither does.
        """
        who = contacts.members(await self.api.call("GET", user_info_url(self.connection)))
        probes: dict[str, tuple[str, Params]] = {
            _CONTACTS_SCOPE: (
                people_url(self.connection, "people/me/connections"),
                {"personFields": "metadata", "pageSize": 1},
            ),
            _EVENTS_SCOPE: (events_url(self.connection), {"maxResults": 1}),
        }
        scopes: list[str] = []
        refused: PermissionDenied | None = None
        for scope, (url, params) in probes.items():
            try:
                await self.api.call("GET", url, params=params)
                scopes.append(scope)
            except PermissionDenied as error:
                refused = error
        if not scopes and refused is not None:
            raise refused
        return AccountHealth(str(who.get("email") or who.get("id") or ""), scopes=tuple(scopes))


def _is_contact(entity: str) -> bool:
    if entity not in (contacts.ENTITY, events.ENTITY):
        raise ConfigurationError(f"entity: google has {contacts.ENTITY} and {events.ENTITY}")
    return entity == contacts.ENTITY
