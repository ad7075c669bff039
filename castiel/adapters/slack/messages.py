"""Writing messages: post, update, delete. Slack takes no key of ours, so each message carries a marker.

Sources: https://docs.slack.dev/reference/methods/chat.postMessage, …/chat.update, …/chat.delete,
https://docs.slack.dev/messaging/message-metadata
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.adapters.http import ApiClient
from castiel.adapters.http_dates import answered_at
from castiel.adapters.slack.dialect import members, write
from castiel.adapters.slack.ids import is_channel_id, split_message_id
from castiel.adapters.slack.moments import ts_of
from castiel.adapters.slack.records import (
    an_object,
    marked_key,
    marker,
    message_record,
    next_cursor,
    objects,
)
from castiel.adapters.slack.settings import default_channel, page_size
from castiel.adapters.slack.texts import escaped
from castiel.domain.connections import Connection
from castiel.errors import RecordNotFound, SchemaMismatch

CONTENT = ("text", "blocks", "attachments")
ONLY_NEW = ("channel", "thread_ts", "reply_broadcast", "unfurl_links", "unfurl_media")
"""What can be said of a new message only."""

MARKER_DAYS = 3
"""How far back a marker is looked for: longer than retries go on."""


class Messages:
    """Writes messages for one connection."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api

    async def create(self, record: PushRecord) -> PushOutcome:
        """Post a message, unless an earlier try already did. Raises :class:`~castiel.errors.CastielError`."""
        body = _body(record.fields, (*CONTENT, *ONLY_NEW))
        channel = body.get("channel") or default_channel(self._connection)
        if not isinstance(channel, str) or not is_channel_id(channel):
            raise SchemaMismatch("channel: missing, and there is no setting defaultChannel")
        if record.retrying:
            found = await self._marked(channel, record.key, body.get("thread_ts"))
            if found is not None:
                return self._outcome(record, channel, found)
        body |= {"channel": channel, "metadata": marker(record.key)}
        answer = await write(self._api, "chat.postMessage", body, "create", safe=False)
        return self._outcome(record, str(answer.get("channel")), an_object(answer, "message"))

    async def update(self, record: PushRecord) -> PushOutcome:
        """Change a message of ours; nobody else's can be. Raises :class:`~castiel.errors.CastielError`."""
        channel, ts = _where(record)
        fixed = {"channel": channel, "ts": ts}
        fields = {name: value for name, value in record.fields.items() if fixed.get(name, _OTHER) != value}
        # The marker goes along so that the message keeps it.
        body = {**_body(fields, CONTENT), **fixed, "metadata": marker(record.key)}
        answer = await write(self._api, "chat.update", body, "update")
        return self._outcome(record, channel, {"ts": ts, **an_object(answer, "message")})

    async def delete(self, record: PushRecord) -> PushOutcome:
        """Delete a message of ours; one that is gone already counts as deleted."""
        try:
            channel, ts = _where(record)
            await write(self._api, "chat.delete", {"channel": channel, "ts": ts}, "delete")
        except RecordNotFound:
            return PushOutcome(record.key, record.external_id)
        return PushOutcome(record.key, record.external_id)

    async def _marked(self, channel: str, key: str, thread: Any) -> dict[str, Any] | None:
        """The message that carries the key's marker, newest first, as far back as retries reach."""
        method = "conversations.replies" if thread else "conversations.history"
        params: dict[str, Any] = {
            "channel": channel,
            "limit": page_size(self._connection),
            "include_all_metadata": "true",
        } | ({"ts": thread} if thread else {})
        while True:
            reply = await self._api.call("GET", f"/api/{method}", params=params)
            body = members(reply)
            messages = objects(body, "messages")
            for message in messages:
                if marked_key(message) == key:
                    return message
            oldest = ts_of(answered_at(reply.headers) - timedelta(days=MARKER_DAYS))
            enough = not thread and bool(messages) and str(messages[-1].get("ts")) < oldest
            following = next_cursor(body)
            if enough or not following:
                return None
            params["cursor"] = following

    def _outcome(self, record: PushRecord, channel: str, message: Mapping[str, Any]) -> PushOutcome:
        found = message_record(self._connection, channel, message)
        return PushOutcome(
            record.key,
            found.external_id,
            version=found.version,
            fields=found.fields,
            modified_at=found.modified_at,
        )


_OTHER = object()


def _body(fields: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """Slack passes over arguments that it doesn't know, so they are refused here: nothing is lost unnoticed."""
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise SchemaMismatch(f"can't be written: {', '.join(unknown)}")
    body = {name: value for name, value in fields.items() if value is not None}
    if isinstance(body.get("text"), str):
        body["text"] = escaped(body["text"])
    return body


def _where(record: PushRecord) -> tuple[str, str]:
    where = split_message_id(record.external_id or "")
    if where is None:
        raise RecordNotFound("no message has such an id")
    return where
