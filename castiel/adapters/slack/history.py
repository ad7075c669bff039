"""Reading messages: each channel's history, newest first, down to where the last pass began.

Threads are not part of a history: their replies arrive by events. Edits are seen within the look-back, deletions by
events only. The cursor is ``{"newest": {channel: ts}, "at": {…}}``; ``at`` is there while a pass is under way.
Source: https://docs.slack.dev/reference/methods/conversations.history (pagination by time)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from castiel.adapters.base import Cursor, ExternalRecord, Page
from castiel.adapters.http import ApiClient
from castiel.adapters.slack.dialect import read
from castiel.adapters.slack.ids import is_channel_id, is_ts
from castiel.adapters.slack.listing import Lister
from castiel.adapters.slack.moments import ts_before
from castiel.adapters.slack.records import is_said, message_record, next_cursor, objects
from castiel.adapters.slack.settings import channels, look_back_hours, page_size
from castiel.domain.connections import Connection
from castiel.errors import CursorExpired, MalformedResponse, ProviderUnavailable


@dataclass(frozen=True, slots=True)
class Position:
    """Within one channel: messages after ``oldest`` and before ``latest`` are still to be read.

    ``newest``: the first message this pass saw there. Empty texts stand for the ends of the history; without
    ``latest`` nothing of the channel was read yet.
    """

    channel: str
    oldest: str = ""
    latest: str = ""
    newest: str = ""

    def as_json(self) -> dict[str, str]:
        return {
            "channel": self.channel,
            "oldest": self.oldest,
            "latest": self.latest,
            "newest": self.newest,
        }


class History:
    """Reads messages for one connection."""

    def __init__(self, connection: Connection, api: ApiClient, lister: Lister) -> None:
        self._connection = connection
        self._api = api
        self._lister = lister

    async def pages(self, cursor: Cursor | None) -> AsyncIterator[Page]:
        """One pass over all channels, in order of their ids. A saved cursor goes on where its page ended."""
        done, position = _parse(cursor)
        wanted = channels(self._connection) or await self._lister.joined_channels()
        rest = [channel for channel in wanted if position is None or channel >= position.channel]
        if not rest:
            yield Page([], {"newest": done}, last=True)
            return
        for channel in rest:
            resumed = position if position and position.channel == channel and position.latest else None
            here = resumed or Position(channel, self._start(done, channel))
            async for records, here, more in self._channel(here):  # noqa: B020  (the position moves on)
                if more:
                    yield Page(records, {"newest": done, "at": here.as_json()})
                    continue
                done = {**done, channel: here.newest or done.get(channel, "")}
                last = channel == rest[-1]
                after = {} if last else {"at": Position(_next(rest, channel)).as_json()}
                yield Page(records, {"newest": done, **after}, last=last)

    def _start(self, done: Mapping[str, str], channel: str) -> str:
        newest = done.get(channel, "")
        hours = look_back_hours(self._connection)
        return ts_before(newest, hours) if newest and hours else newest

    async def _channel(self, here: Position) -> AsyncIterator[tuple[list[ExternalRecord], Position, bool]]:
        """Pages of one channel with the position after each, and whether there is more."""
        slack_cursor = ""
        while True:
            body = await self._page(here, slack_cursor)
            messages = objects(body, "messages")
            stamps = [str(message.get("ts")) for message in messages]
            if not all(is_ts(ts) for ts in stamps):
                raise MalformedResponse("a message without a timestamp")
            if stamps:
                here = Position(here.channel, here.oldest, stamps[-1], here.newest or stamps[0])
            records = [
                message_record(self._connection, here.channel, message)
                for message in messages
                if is_said(message)
            ]
            more = body.get("has_more") is True
            # Time leads on, and outlives any cursor. Only a page without messages needs Slack's own.
            slack_cursor = "" if stamps else next_cursor(body)
            if more and not stamps and not slack_cursor:
                raise MalformedResponse("an empty page that says there is more")
            yield records, here, more
            if not more:
                return

    async def _page(self, here: Position, slack_cursor: str) -> dict[str, Any]:
        params: dict[str, str | int] = {
            "channel": here.channel,
            "limit": page_size(self._connection),
            "include_all_metadata": "true",
        }
        bounds = {"oldest": here.oldest, "latest": here.latest, "cursor": slack_cursor}
        params |= {name: value for name, value in bounds.items() if value}
        try:
            return await read(self._api, "conversations.history", params)
        except CursorExpired:
            raise ProviderUnavailable("the history's cursor ended between two pages") from None


def _next(channels_: list[str], channel: str) -> str:
    return channels_[channels_.index(channel) + 1]


def _parse(cursor: Cursor | None) -> tuple[dict[str, str], Position | None]:
    """Raises :class:`CursorExpired` for a cursor that can't be read."""
    newest, at = (cursor or {}).get("newest") or {}, (cursor or {}).get("at")
    if not isinstance(newest, dict) or not all(ts == "" or is_ts(str(ts)) for ts in newest.values()):
        raise CursorExpired("the cursor's timestamps can't be read")
    if at is None:
        return dict(newest), None
    try:
        found = Position(**at)
    except TypeError:
        raise CursorExpired("the cursor's position can't be read") from None
    stamps = (found.oldest, found.latest, found.newest)
    if not is_channel_id(found.channel) or not all(ts == "" or is_ts(ts) for ts in stamps):
        raise CursorExpired("the cursor's position can't be read")
    return dict(newest), found
