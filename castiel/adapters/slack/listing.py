"""Reading users and channels: Slack lists all of them, every time, and has no filter for what changed.

Sources: https://docs.slack.dev/reference/methods/users.list, …/conversations.list,
https://docs.slack.dev/apis/web-api/pagination
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from castiel.adapters.base import Cursor, ExternalRecord, Page
from castiel.adapters.http import ApiClient
from castiel.adapters.slack.dialect import read
from castiel.adapters.slack.records import channel_record, next_cursor, objects, user_record
from castiel.adapters.slack.settings import channel_types, page_size
from castiel.domain.connections import Connection
from castiel.errors import CursorExpired, MalformedResponse, ProviderUnavailable

MOST_RESTARTS = 3
"""Listings begun anew in one pass because their cursor ended."""


class Lister:
    """Lists a workspace's users and channels for one connection."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api

    def users(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All users, those deactivated among them."""
        return self._pages("users.list", {}, "members", user_record, cursor)

    def channels(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All channels the connection may see, those archived among them."""
        params = {"types": channel_types(self._connection), "exclude_archived": "false"}
        return self._pages("conversations.list", params, "channels", channel_record, cursor)

    async def joined_channels(self) -> list[str]:
        """Ids of the channels the connection is a member of, in order."""
        found: list[str] = []
        async for page in self.channels(None):
            found += [record.external_id for record in page.records if record.fields.get("is_member")]
        return sorted(set(found))

    async def channel_named(self, name: str) -> ExternalRecord | None:
        """The channel of that name."""
        async with aclosing(self.channels(None)) as pages:
            async for page in pages:
                for record in page.records:
                    if record.fields.get("name") == name:
                        return record
        return None

    async def _pages(
        self,
        method: str,
        params: Mapping[str, str],
        name: str,
        record: Callable[[Mapping[str, Any]], ExternalRecord],
        cursor: Cursor | None,
    ) -> AsyncGenerator[Page, None]:
        position = str((cursor or {}).get("next") or "")
        restarts = 0
        while True:
            asked: dict[str, str | int] = {**params, "limit": page_size(self._connection)}
            if position:
                asked["cursor"] = position
            try:
                body = await read(self._api, method, asked)
            except CursorExpired:
                # A cursor ends after a while. From the beginning again: nothing is lost, some comes twice.
                if not position or restarts == MOST_RESTARTS:
                    raise ProviderUnavailable("listings keep ending before their last page") from None
                position, restarts = "", restarts + 1
                continue
            before, position = position, next_cursor(body)
            if position and position == before:
                raise MalformedResponse("a page that is followed by itself")
            records = [record(item) for item in objects(body, name)]
            yield Page(records, {"next": position} if position else {}, last=not position, full_pass=True)
            if not position:
                return
