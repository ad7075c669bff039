"""Data sources behind Castiel's adapter interface."""

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
from castiel.adapters.http import ApiClient, Dialect
from castiel.adapters.notion.describe import page_description
from castiel.adapters.notion.dialect import DIALECT, members
from castiel.adapters.notion.fetch import Reader
from castiel.adapters.notion.records import ENTITY
from castiel.adapters.notion.schema import DataSources
from castiel.adapters.notion.settings import data_source_ids, marker_property
from castiel.adapters.notion.write import Writer
from castiel.domain.connections import Connection
from castiel.domain.fields import EntityDescription
from castiel.errors import ConfigurationError


class NotionAdapter(Adapter):
    """The pages of one or several data sources, by their properties; their text blocks are not read."""

    dialect: ClassVar[Dialect] = DIALECT

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        super().__init__(connection, api)
        self._sources = DataSources(api)
        self._reader = Reader(connection, api)
        self._writer = Writer(connection, api, self._sources)

    def fetch(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """See :class:`Adapter`. Pages in the trash are missing; the full pass that comes due shows it."""
        _check(entity)
        return self._reader.pages(cursor)

    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`. Pages in the trash come as deleted."""
        _check(entity)
        return await self._reader.by_id(external_ids)

    async def find_made(self, entity: str, records: Sequence[PushRecord]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`. Pages by their marker."""
        _check(entity)
        made = await self._writer.made([record.key for record in records])
        pages = await self._reader.by_id(list(made.values()))
        return {key: pages[page] for key, page in made.items() if page in pages}

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. A retried create first looks for the marker property's value."""
        _check(entity)
        return await self._writer.push(records)

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. Puts pages in the trash."""
        _check(entity)
        return await self._writer.delete(records)

    async def describe(self) -> list[EntityDescription]:
        """The pages, with the properties of all data sources."""
        ids = data_source_ids(self.connection.settings)
        sources = [await self._sources.of(one) for one in ids]
        return [page_description(sources, marker_property(self.connection))]

    async def check(self) -> AccountHealth:
        """The workspace, and the bot whose id a webhook registration takes as ``botId``."""
        user = members(await self.api.call("GET", "/v1/users/me"))
        bot = user.get("bot")
        workspace = bot.get("workspace_name") if isinstance(bot, dict) else None
        return AccountHealth(f"{workspace or 'Notion'}: {user.get('name')} (bot {user.get('id')})")


def _check(entity: str) -> None:
    if entity != ENTITY:
        raise ConfigurationError(f"entity: Notion has {ENTITY} only")
