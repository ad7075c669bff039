"""`conversations.*` but for messages: list, info, create, rename, archive, topic and purpose.

Source: https://docs.slack.dev/reference/methods (conversations.…)
"""

from __future__ import annotations

from typing import Any

from infra.local.sandbox.slack.errors import ApiError, missing
from infra.local.sandbox.slack.names import NAME
from infra.local.sandbox.slack.paging import cursor_of, position_of
from infra.local.sandbox.slack.rows import Rows, Writer
from infra.local.sandbox.slack.shapes import channel_shape
from infra.local.sandbox.slack.web_api import Call, Method
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]

_READ = ("channels:read", "groups:read")
_MANAGE = ("channels:manage", "groups:write")
_TYPES = ("public_channel", "private_channel", "mpim", "im")


class Channels:
    """The methods over channels."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def methods(self) -> list[Method]:
        return [
            Method("conversations.list", self._list, _READ),
            Method("conversations.info", self._info, _READ),
            Method("conversations.create", self._create, _MANAGE),
            Method("conversations.rename", self._rename, _MANAGE),
            Method("conversations.setTopic", self._set_topic, _MANAGE),
            Method("conversations.setPurpose", self._set_purpose, _MANAGE),
            Method("conversations.archive", self._archive, _MANAGE),
            Method("conversations.unarchive", self._unarchive, _MANAGE),
            Method("conversations.join", self._join, ("channels:join",)),
        ]

    async def _list(self, call: Call) -> JsonObject:
        arguments = call.arguments
        kinds = (arguments.text("types") or "public_channel").split(",")
        if set(kinds) - set(_TYPES):
            raise ApiError("invalid_types")
        if "private_channel" in kinds and "groups:read" not in call.scopes:
            raise ApiError("missing_scope", needed="groups:read", provided=",".join(sorted(call.scopes)))
        limit, cursor = arguments.number("limit", 100, 1000), arguments.text("cursor")
        start = position_of("team", cursor) if cursor else ""
        wanted = [("public_channel", 0), ("private_channel", 1)]
        private = [value for kind, value in wanted if kind in kinds]
        where = (
            f"id>=? AND COALESCE(json_extract(data, '$.is_private'), 0) IN ({','.join('?' * len(private))})"
        )
        where += (
            " AND (COALESCE(json_extract(data, '$.is_private'), 0)=0 OR json_extract(data, '$.is_member')=1)"
        )
        if arguments.flag("exclude_archived"):
            where += " AND deleted=0"
        tail = f"ORDER BY id LIMIT {limit + 1}"
        found = self._rows.store.find(NAME, "Channel", where, (start, *private), tail)
        following = cursor_of("team", found[limit].id) if len(found) > limit else ""
        return {
            "channels": [channel_shape(record, listed=True) for record in found[:limit]],
            "response_metadata": {"next_cursor": following},
        }

    async def _info(self, call: Call) -> JsonObject:
        return {"channel": channel_shape(self._found(call))}

    async def _create(self, call: Call) -> JsonObject:
        name = call.arguments.text("name")
        if not name:
            raise missing("name")
        fields = {"name": name, "is_private": call.arguments.flag("is_private")}
        return {"channel": channel_shape(self._rows.create_channel(fields, _writer(call)))}

    async def _rename(self, call: Call) -> JsonObject:
        record = self._joined(call)
        name = call.arguments.text("name", needed=True)
        return {"channel": channel_shape(self._rows.rename_channel(record.id, name, _writer(call)))}

    async def _set_topic(self, call: Call) -> JsonObject:
        return self._describe(call, "topic")

    async def _set_purpose(self, call: Call) -> JsonObject:
        return self._describe(call, "purpose")

    def _describe(self, call: Call, what: str) -> JsonObject:
        record = self._joined(call)
        text = call.arguments.text(what)
        return {"channel": channel_shape(self._rows.describe_channel(record.id, what, text, _writer(call)))}

    async def _archive(self, call: Call) -> JsonObject:
        record = self._found(call)
        if not record.deleted:
            self._joined(call)
        self._rows.archive(record.id, True, _writer(call))
        return {}

    async def _unarchive(self, call: Call) -> JsonObject:
        if call.is_bot:  # a bot left the channel when it was archived
            raise ApiError("not_in_channel")
        self._rows.archive(self._found(call).id, False, _writer(call))
        return {}

    async def _join(self, call: Call) -> JsonObject:
        record = self._found(call)
        if record.deleted:
            raise ApiError("is_archived")
        if record.data.get("is_private"):
            raise ApiError("method_not_supported_for_channel_type")
        joined = self._rows.edit_channel(record.id, {"is_member": True}, _writer(call))
        return {"channel": channel_shape(joined)}

    def _found(self, call: Call) -> Record:
        record = self._rows.get("Channel", call.arguments.text("channel", needed=True))
        if record is None or (record.data.get("is_private") and not record.data.get("is_member")):
            raise ApiError("channel_not_found")
        return record

    def _joined(self, call: Call) -> Record:
        record = self._found(call)
        if not record.data.get("is_member"):
            raise ApiError("not_in_channel")
        return record


def _writer(call: Call) -> Writer:
    return Writer(call.user, "api", meets_faults=True)
