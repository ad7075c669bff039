"""Reading records by id, one call each: Slack has no way to read several at once.

Sources: https://docs.slack.dev/reference/methods/users.info, …/conversations.info, …/conversations.history,
…/conversations.replies
"""

from __future__ import annotations

from collections.abc import Sequence

from castiel.adapters.base import ExternalRecord
from castiel.adapters.http import ApiClient
from castiel.adapters.slack.dialect import read
from castiel.adapters.slack.ids import is_channel_id, is_user_id, split_message_id
from castiel.adapters.slack.records import (
    an_object,
    channel_record,
    is_said,
    message_record,
    objects,
    user_record,
)
from castiel.domain.connections import Connection
from castiel.errors import ConfigurationError, RecordNotFound


class Lookup:
    """Reads single records for one connection."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api

    async def by_id(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """The records that are there. Deactivated users and archived channels come as ``deleted``."""
        found: dict[str, ExternalRecord] = {}
        for external_id in dict.fromkeys(external_ids):
            try:
                record = await self._one(entity, external_id)
            except RecordNotFound:
                continue
            if record is not None:
                found[external_id] = record
        return found

    async def _one(self, entity: str, external_id: str) -> ExternalRecord | None:
        if entity == "User":
            if not is_user_id(external_id):
                return None
            return user_record(an_object(await read(self._api, "users.info", {"user": external_id}), "user"))
        if entity == "Channel":
            if not is_channel_id(external_id):
                return None
            body = await read(self._api, "conversations.info", {"channel": external_id})
            return channel_record(an_object(body, "channel"))
        if entity != "Message":
            raise ConfigurationError(f"entity: Slack has no {entity}")
        where = split_message_id(external_id)
        return await self._message(*where) if where else None

    async def _message(self, channel: str, ts: str) -> ExternalRecord | None:
        exactly = {
            "channel": channel,
            "ts": ts,
            "oldest": ts,
            "latest": ts,
            "inclusive": "true",
            "include_all_metadata": "true",
        }
        # A history shows no replies; a thread's answer may begin with the message that the thread is about.
        for method in ("conversations.history", "conversations.replies"):
            for message in objects(await read(self._api, method, exactly), "messages"):
                if message.get("ts") == ts:
                    return message_record(self._connection, channel, message) if is_said(message) else None
        return None
