"""An org behind Castiel's adapter interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from castiel.adapters.base import (
    AccountHealth,
    Adapter,
    Cursor,
    ExternalRecord,
    Page,
    PushOutcome,
    PushRecord,
)
from castiel.adapters.http import ApiClient, Dialect, HttpReply
from castiel.adapters.salesforce.describe import Describes, entity_description
from castiel.adapters.salesforce.dialect import DIALECT
from castiel.adapters.salesforce.fetch import Reader
from castiel.adapters.salesforce.settings import DEFAULT_ENTITIES, api_path
from castiel.adapters.salesforce.write import Writer
from castiel.domain.connections import Connection
from castiel.domain.fields import EntityDescription
from castiel.errors import MalformedResponse


class SalesforceAdapter(Adapter):
    """One org's records, of any object that has a SystemModstamp."""

    dialect: ClassVar[Dialect] = DIALECT

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        super().__init__(connection, api)
        self._describes = Describes(connection, api)
        self._reader = Reader(connection, api, self._describes)
        self._writer = Writer(connection, api, self._describes)

    def fetch(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """See :class:`Adapter`. Deleted records come as long as the recycle bin holds them (15 days)."""
        return self._reader.pages(entity, cursor)

    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`. What is deleted is missing."""
        return await self._reader.by_id(entity, external_ids)

    async def find_made(self, entity: str, records: Sequence[PushRecord]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`. By the external id field, where the object has it."""
        return await self._reader.by_key(entity, [record.key for record in records])

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. A create is an upsert by the external id field, where the object has it."""
        return await self._writer.push(entity, records)

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`."""
        return await self._writer.delete(entity, records)

    async def describe(self) -> list[EntityDescription]:
        """The default entities and the connection's own, as far as the org has them."""
        there = set(await self._describes.names())
        wanted = dict.fromkeys([*DEFAULT_ENTITIES, *(entity.entity for entity in self.connection.entities)])
        return [entity_description(await self._describes.of(name)) for name in wanted if name in there]

    async def check(self) -> AccountHealth:
        """The user's name, and the share of the org's daily calls that is used."""
        limits = _members(await self.api.call("GET", f"{api_path(self.connection)}/limits"))
        # A token without the scope `id` may not ask who it is; that it works was shown by the call before.
        reply = await self.api.call("GET", "/services/oauth2/userinfo", allow=(403,))
        if reply.status == 403:
            return AccountHealth(urlsplit(reply.url).hostname or "", quota_used=_quota_used(limits))
        user = _members(reply)
        return AccountHealth(str(user.get("preferred_username") or ""), quota_used=_quota_used(limits))


def _members(reply: HttpReply) -> dict[str, object]:
    body = reply.json()
    if not isinstance(body, dict):
        raise MalformedResponse("an object was expected", status=reply.status)
    return body


def _quota_used(limits: dict[str, object]) -> float | None:
    daily = limits.get("DailyApiRequests")
    if not isinstance(daily, dict):
        return None
    most, left = daily.get("Max"), daily.get("Remaining")
    if not isinstance(most, int) or not isinstance(left, int) or most <= 0:
        return None
    return min(1.0, max(0.0, 1.0 - left / most))
