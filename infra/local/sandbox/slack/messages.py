"""`chat.*`, `conversations.history` and `conversations.replies`.

Sources: https://docs.slack.dev/reference/methods/chat.postMessage, …/chat.update, …/chat.delete,
…/conversations.history, …/conversations.replies
"""

from __future__ import annotations

import re
from typing import Any

from infra.local.sandbox.slack.errors import ApiError
from infra.local.sandbox.slack.limits import Limits
from infra.local.sandbox.slack.names import NAME, message_id
from infra.local.sandbox.slack.paging import cursor_of, position_of
from infra.local.sandbox.slack.rows import MOST_TEXT, Rows, Writer
from infra.local.sandbox.slack.shapes import app_author, message_shape
from infra.local.sandbox.slack.tokens import Tokens
from infra.local.sandbox.slack.web_api import Call, Method
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]

_HISTORY = ("channels:history", "groups:history")
_TS = re.compile(r"\d{1,11}(\.\d{1,6})?")
_MOST_HISTORY = 999
# Threads show their first message only; what was deleted is gone, unless a thread hangs on it.
_TOP = (
    "(json_extract(data,'$.thread_ts') IS NULL OR json_extract(data,'$.thread_ts')=json_extract(data,'$.ts')"
    " OR json_extract(data,'$.subtype')='thread_broadcast')"
)
_SHOWN = "(deleted=0 OR COALESCE(json_extract(data,'$.reply_count'),0)>0)"


class Messages:
    """The methods over messages."""

    def __init__(self, rows: Rows, tokens: Tokens, limits: Limits) -> None:
        self._rows = rows
        self._tokens = tokens
        self._limits = limits

    def methods(self) -> list[Method]:
        return [
            Method("conversations.history", self._history, _HISTORY),
            Method("conversations.replies", self._replies, _HISTORY),
            Method("chat.postMessage", self._post, ("chat:write",)),
            Method("chat.update", self._update, ("chat:write",)),
            Method("chat.delete", self._delete, ("chat:write",)),
        ]

    async def _history(self, call: Call) -> JsonObject:
        channel = self._joined(call)
        arguments = call.arguments
        limit = min(arguments.number("limit", 100, 10**6), _MOST_HISTORY)
        where, values = self._range(call, channel.id)
        cursor = arguments.text("cursor")
        if cursor:
            position = position_of("next_ts", cursor)
            where, values = f"{where} AND id<=?", [*values, message_id(channel.id, position)]
        tail = f"ORDER BY id DESC LIMIT {limit + 1}"
        found = self._rows.store.find(NAME, "Message", f"{where} AND {_TOP} AND {_SHOWN}", values, tail)
        everything = arguments.flag("include_all_metadata")
        body: JsonObject = {
            "messages": [message_shape(record, all_metadata=everything) for record in found[:limit]],
            "has_more": len(found) > limit,
            "pin_count": 0,
            "channel_actions_ts": None,
            "channel_actions_count": 0,
        }
        if len(found) > limit:
            body["response_metadata"] = {"next_cursor": cursor_of("next_ts", found[limit].data["ts"])}
        return body

    async def _replies(self, call: Call) -> JsonObject:
        channel = self._joined(call)
        ts = call.arguments.text("ts", needed=True)
        asked = self._rows.get("Message", message_id(channel.id, ts))
        if asked is None or (asked.deleted and not asked.data.get("reply_count")):
            raise ApiError("thread_not_found")
        if asked.data.get("thread_ts") != ts:
            # Of a reply's timestamp, or one without a thread: that message alone.
            return {"messages": [message_shape(asked)], "has_more": False}
        limit = call.arguments.number("limit", 1000, 1000)
        where, values = self._range(call, channel.id)
        cursor = call.arguments.text("cursor")
        if cursor:
            position = position_of("next_ts", cursor)
            where, values = f"{where} AND id>=?", [*values, message_id(channel.id, position)]
        where += " AND deleted=0 AND json_extract(data,'$.thread_ts')=? AND json_extract(data,'$.ts')!=?"
        tail = f"ORDER BY id LIMIT {limit + 1}"
        found = self._rows.store.find(NAME, "Message", where, [*values, ts, ts], tail)
        body: JsonObject = {
            "messages": [message_shape(record) for record in (asked, *found[:limit])],
            "has_more": len(found) > limit,
        }
        if len(found) > limit:
            body["response_metadata"] = {"next_cursor": cursor_of("next_ts", found[limit].data["ts"])}
        return body

    def _range(self, call: Call, channel: str) -> tuple[str, list[Any]]:
        oldest, latest = call.arguments.text("oldest"), call.arguments.text("latest")
        for name, value in (("oldest", oldest), ("latest", latest)):
            if value and not _TS.fullmatch(value):
                raise ApiError(f"invalid_ts_{name}")
        equal = "=" if call.arguments.flag("inclusive") else ""
        where, values = "id>? AND id<?", [f"{channel}:", f"{channel};"]
        if oldest and float(oldest) > 0:
            where, values = f"{where} AND id>{equal}?", [*values, message_id(channel, _full(oldest))]
        if latest and float(latest) > 0:
            where, values = f"{where} AND id<{equal}?", [*values, message_id(channel, _full(latest))]
        return where, list(values)

    async def _post(self, call: Call) -> JsonObject:
        channel = self._joined(call)
        if self._tokens.policy()["enforceRateLimits"]:
            self._limits.count_message(channel.id)
        fields = _content(call)
        if not {"text", "blocks", "attachments"} & set(fields):
            raise ApiError("no_text")
        thread = call.arguments.text("thread_ts")
        if thread:
            fields["thread_ts"] = thread
            if call.arguments.flag("reply_broadcast"):
                fields["subtype"] = "thread_broadcast"
        if call.is_bot:
            fields |= app_author(call.user)
        record = self._rows.post(channel.id, fields, _writer(call))
        return {"channel": channel.id, "ts": record.data["ts"], "message": message_shape(record)}

    async def _update(self, call: Call) -> JsonObject:
        record = self._own(call, "cant_update_message")
        fields = _content(call)
        if not fields:
            raise ApiError("no_text")
        changed = self._rows.edit_message(record.id, fields, _writer(call))
        data = changed.data
        return {
            "channel": data["channel"],
            "ts": data["ts"],
            "text": data["text"],
            "message": message_shape(changed),
        }

    async def _delete(self, call: Call) -> JsonObject:
        record = self._own(call, "cant_delete_message")
        self._rows.delete("Message", record.id, _writer(call))
        return {"channel": record.data["channel"], "ts": record.data["ts"]}

    def _own(self, call: Call, refusal: str) -> Record:
        channel = self._joined(call)
        ts = call.arguments.text("ts", needed=True)
        record = self._rows.get("Message", message_id(channel.id, ts))
        if record is None or record.deleted:
            raise ApiError("message_not_found")
        if record.data.get("user") != call.user:
            raise ApiError(refusal)
        return record

    def _joined(self, call: Call) -> Record:
        record = self._rows.get("Channel", call.arguments.text("channel", needed=True))
        if record is None or (record.data.get("is_private") and not record.data.get("is_member")):
            raise ApiError("channel_not_found")
        if not record.data.get("is_member"):
            raise ApiError("not_in_channel")
        return record


def _content(call: Call) -> JsonObject:
    arguments = call.arguments
    fields: JsonObject = {}
    text = arguments.text("text")
    if text:
        if len(text) > MOST_TEXT:
            raise ApiError("msg_too_long")
        fields["text"] = text
    for name, error in (("blocks", "invalid_blocks_format"), ("attachments", "invalid_attachments")):
        value = arguments.structure(name, error)
        if value is not None:
            if not isinstance(value, list):
                raise ApiError(error)
            fields[name] = value
    metadata = arguments.structure("metadata", "invalid_metadata_format")
    if metadata is not None:
        fields["metadata"] = _metadata(metadata)
    return fields


def _metadata(value: Any) -> JsonObject:
    """Raises ApiError where Slack refuses it: https://docs.slack.dev/messaging/message-metadata"""
    if not isinstance(value, dict) or set(value) != {"event_type", "event_payload"}:
        raise ApiError("invalid_metadata_format")
    if not isinstance(value["event_type"], str) or not isinstance(value["event_payload"], dict):
        raise ApiError("invalid_metadata_schema")
    return value


def _full(ts: str) -> str:
    seconds, _, fraction = ts.partition(".")
    return f"{seconds:>010}.{fraction:0<6}"


def _writer(call: Call) -> Writer:
    return Writer(call.user, "api", meets_faults=True)
