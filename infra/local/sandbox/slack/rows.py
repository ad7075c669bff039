"""Writes to the workspace's users, channels and messages, whoever makes them: an app's call or a person's click."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from infra.local.sandbox.faults import Faults
from infra.local.sandbox.slack.errors import ApiError
from infra.local.sandbox.slack.names import ADMIN_ID, NAME, TEAM_ID, make_id, message_id
from infra.local.sandbox.slack.shapes import new_profile, person, text_blocks
from infra.local.sandbox.slack.texts import escaped
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]

MOST_TEXT = 40_000
_NAME = re.compile(r"[\w\-]+")


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes. Faults for records meet apps only."""

    user: str = ADMIN_ID
    origin: str = "user"
    meets_faults: bool = False


class Rows:
    """The three entities in the store, with the rules Slack has for them. Every write raises ApiError."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self._faults = faults
        self._last_us: dict[str, int] = {}

    def clear(self) -> None:
        self._last_us.clear()

    def get(self, entity: str, record_id: str) -> Record | None:
        return self.store.get(NAME, entity, record_id)

    # Users -----------------------------------------------------------------------------------------------

    def create_user(self, fields: JsonObject, writer: Writer) -> Record:
        """Somebody joins the workspace."""
        profile = new_profile(
            str(fields.pop("first_name", "")), str(fields.pop("last_name", "")), str(fields.pop("email", ""))
        )
        profile |= fields.pop("profile", {})
        data = person(str(fields.pop("name", "") or profile["real_name"].lower().replace(" ", ".")), profile)
        return self._add(
            "User", make_id("User", self.store.next_number(f"{NAME}:User")), data | fields, writer
        )

    def set_profile(self, user_id: str, profile: JsonObject, writer: Writer) -> Record:
        """Some fields of a profile; first and last name make the real name, and the other way round."""
        record = self._writable("User", user_id, "user_not_found", "update", writer)
        merged = record.data["profile"] | profile
        if "real_name" in profile and not {"first_name", "last_name"} & set(profile):
            first, _, last = str(profile["real_name"]).partition(" ")
            merged |= {"first_name": first, "last_name": last}
        elif {"first_name", "last_name"} & set(profile):
            merged["real_name"] = f"{merged['first_name']} {merged['last_name']}".strip()
        merged["real_name_normalized"] = merged["real_name"]
        merged["display_name_normalized"] = merged["display_name"]
        changed = {"profile": merged, "real_name": merged["real_name"]}
        return self._change("User", record, changed, writer)

    def edit_user(self, user_id: str, fields: JsonObject, writer: Writer) -> None:
        """Out of band: profile fields and others alike."""
        record = self._writable("User", user_id, "user_not_found", "update", writer)
        own = {n: v for n, v in fields.items() if n in record.data["profile"]}
        others = {n: v for n, v in fields.items() if n not in own and n != "profile"}
        record = self.set_profile(record.id, {**own, **fields.get("profile", {})}, writer)
        if others:
            self._change("User", record, others, writer)

    # Channels --------------------------------------------------------------------------------------------

    def create_channel(self, fields: JsonObject, writer: Writer) -> Record:
        name = self._free_name(str(fields.get("name", "")))
        empty = {"value": "", "creator": "", "last_set": 0}
        data = {
            "creator": writer.user,
            "is_private": False,
            "is_member": True,
            "num_members": 1,
            "previous_names": [],
            **fields,
            "name": name,
            "topic": empty | _said(fields.get("topic")),
            "purpose": empty | _said(fields.get("purpose")),
        }
        number = self.store.next_number(f"{NAME}:Channel")
        return self._add("Channel", make_id("Channel", number), data, writer)

    def rename_channel(self, channel_id: str, name: str, writer: Writer) -> Record:
        record = self.open_channel(channel_id, "update", writer)
        if name != record.data["name"]:
            self._free_name(name)
        names = [*record.data["previous_names"], record.data["name"]]
        return self._change("Channel", record, {"name": name, "previous_names": names}, writer)

    def describe_channel(self, channel_id: str, what: str, text: str, writer: Writer) -> Record:
        """Set topic or purpose."""
        if len(text) > 250:
            raise ApiError("too_long")
        record = self.open_channel(channel_id, "update", writer)
        now = self.store.clock.now_ms() // 1000
        return self._change(
            "Channel",
            record,
            {what: {"value": escaped(text), "creator": writer.user, "last_set": now}},
            writer,
        )

    def edit_channel(self, channel_id: str, fields: JsonObject, writer: Writer) -> Record:
        """Out of band, any field."""
        record = self._writable("Channel", channel_id, "channel_not_found", "update", writer)
        said = {
            n: record.data[n] | _said(fields[n]) for n in ("topic", "purpose") if fields.get(n) is not None
        }
        return self._change("Channel", record, fields | said, writer)

    def archive(self, channel_id: str, archived: bool, writer: Writer) -> None:
        record = self._writable("Channel", channel_id, "channel_not_found", "delete", writer)
        if record.deleted == archived:
            raise ApiError("already_archived" if archived else "not_archived")
        if record.data.get("is_general"):
            raise ApiError("cant_archive_general")
        self._store("Channel", record, archived, "delete" if archived else "undelete", writer)

    def open_channel(self, channel_id: str, operation: str | None, writer: Writer) -> Record:
        """A channel that can be written to. Raises ApiError."""
        record = self._writable("Channel", channel_id, "channel_not_found", operation, writer)
        if record.deleted:
            raise ApiError("is_archived")
        return record

    def _free_name(self, name: str) -> str:
        if not name:
            raise ApiError("invalid_name_required")
        if len(name) > 80:
            raise ApiError("invalid_name_maxlength")
        if not _NAME.fullmatch(name) or name != name.lower():
            raise ApiError("invalid_name_specials")
        taken = self.store.find(NAME, "Channel", "json_extract(data, '$.name')=?", (name,))
        if taken:
            raise ApiError("name_taken")
        return name

    # Messages --------------------------------------------------------------------------------------------

    def post(self, channel_id: str, fields: JsonObject, writer: Writer) -> Record:
        """A new message with `fields` (text, blocks, thread_ts, metadata …)."""
        self.open_channel(channel_id, None, writer)
        ts = self._next_ts(channel_id)
        text = escaped(str(fields.get("text") or ""))
        data = {"channel": channel_id, "type": "message", "ts": ts, "team": TEAM_ID, **fields, "text": text}
        data.setdefault("user", writer.user)
        data.setdefault("blocks", text_blocks(text, ts))
        with self.store.transaction():
            if data.get("thread_ts"):
                self._reply(channel_id, data)
            return self._add("Message", message_id(channel_id, ts), data, writer)

    def _reply(self, channel_id: str, reply: JsonObject) -> None:
        parent = self.get("Message", message_id(channel_id, reply["thread_ts"]))
        if parent is None or parent.deleted:
            raise ApiError("thread_not_found")
        reply["parent_user_id"] = parent.data.get("user")
        data = parent.data | {
            "thread_ts": reply["thread_ts"],
            "reply_count": parent.data.get("reply_count", 0) + 1,
            "latest_reply": reply["ts"],
        }
        self.store.put(NAME, "Message", replace(parent, data=data))

    def edit_message(self, record_id: str, fields: JsonObject, writer: Writer) -> Record:
        record = self._writable("Message", record_id, "message_not_found", "update", writer)
        if record.deleted:
            raise ApiError("message_not_found")
        changed = dict(fields)
        ts = _ts(self.store.clock.now_ms() * 1000)
        if "text" in changed:
            changed["text"] = escaped(str(changed["text"]))
            changed.setdefault("blocks", text_blocks(changed["text"], record.data["ts"]))
        changed["edited"] = {"user": writer.user, "ts": f"{ts[:10]}.000000"}
        return self._change("Message", record, changed, writer)

    def delete(self, entity: str, record_id: str, writer: Writer) -> None:
        """Delete a message, deactivate a user, archive a channel."""
        if entity == "Channel":
            return self.archive(record_id, True, writer)
        unknown = "user_not_found" if entity == "User" else "message_not_found"
        record = self._writable(entity, record_id, unknown, "delete", writer)
        if record.deleted:
            raise ApiError(unknown)
        self._store(entity, record, True, "delete", writer)
        return None

    def _next_ts(self, channel_id: str) -> str:
        now = self.store.clock.now_ms() * 1000
        us = max(now, self._last_us.get(channel_id, 0) + 1)
        while self.get("Message", message_id(channel_id, _ts(us))) is not None:
            us += 1
        self._last_us[channel_id] = us
        return _ts(us)

    # All -------------------------------------------------------------------------------------------------

    def _writable(
        self, entity: str, record_id: str, unknown: str, operation: str | None, writer: Writer
    ) -> Record:
        record = self.get(entity, record_id)
        if record is None:
            raise ApiError(unknown)
        if operation:
            self._meet_fault(operation, entity, record_id, writer)
        return record

    def _meet_fault(self, operation: str, entity: str, record_id: str | None, writer: Writer) -> None:
        fault = self._faults.for_record(operation, entity, record_id) if writer.meets_faults else None
        if fault is not None:
            raise ApiError(str(fault.code))

    def _add(self, entity: str, record_id: str, data: JsonObject, writer: Writer) -> Record:
        self._meet_fault("create", entity, None, writer)
        now = self.store.clock.now_ms()
        record = Record(record_id, data, now, now)
        with self.store.transaction():
            self.store.put(NAME, entity, record)
            self.store.log_change(NAME, entity, record_id, "create", data, writer.origin)
        return record

    def _change(self, entity: str, record: Record, fields: JsonObject, writer: Writer) -> Record:
        changed = {name: value for name, value in fields.items() if record.data.get(name) != value}
        now = max(self.store.clock.now_ms(), record.modified_ms)
        after = replace(record, data=record.data | changed, modified_ms=now)
        with self.store.transaction():
            self.store.put(NAME, entity, after)
            self.store.log_change(NAME, entity, record.id, "update", changed, writer.origin)
        return after

    def _store(self, entity: str, record: Record, deleted: bool, operation: str, writer: Writer) -> None:
        now = max(self.store.clock.now_ms(), record.modified_ms)
        with self.store.transaction():
            self.store.put(NAME, entity, replace(record, deleted=deleted, modified_ms=now))
            self.store.log_change(NAME, entity, record.id, operation, {}, writer.origin)


def _said(given: Any) -> JsonObject:
    """A topic or purpose: an object as it is, or its text alone."""
    if given is None:
        return {}
    return dict(given) if isinstance(given, dict) else {"value": escaped(str(given))}


def _ts(us: int) -> str:
    return f"{us // 1_000_000}.{us % 1_000_000:06d}"
