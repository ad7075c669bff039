"""From what Slack answers to records.

Sources: https://docs.slack.dev/reference/objects/user-object, …/objects/conversation-object,
https://docs.slack.dev/reference/events/message
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from castiel.adapters.base import ExternalRecord
from castiel.adapters.slack.ids import is_channel_id, is_ts, is_user_id, message_id
from castiel.adapters.slack.moments import moment_of_number, moment_of_ts
from castiel.adapters.slack.texts import plain
from castiel.domain.connections import Connection
from castiel.errors import MalformedResponse

MARKER_TYPE = "castiel_record"
"""The ``event_type`` of the metadata by which we know our own messages again."""

_SAID = {"bot_message", "me_message", "thread_broadcast", "file_share"}
"""Subtypes of messages that somebody wrote; the others are notes of the system (joined, renamed, pinned …)."""


def is_said(message: Mapping[str, Any]) -> bool:
    """Whether a message is a record: somebody wrote it, or it was deleted under a thread that remains."""
    subtype = message.get("subtype")
    return not subtype or subtype in _SAID or subtype == "tombstone"


def user_record(user: Mapping[str, Any]) -> ExternalRecord:
    """A user; one who is deactivated counts as deleted. Raises :class:`MalformedResponse`."""
    return ExternalRecord(
        "User",
        _id(user, is_user_id),
        dict(user),
        moment_of_number(user.get("updated")),
        deleted=user.get("deleted") is True,
        version=_version(user.get("updated")),
    )


def channel_record(channel: Mapping[str, Any]) -> ExternalRecord:
    """A channel; one that is archived counts as deleted. Raises :class:`MalformedResponse`."""
    fields = dict(channel)
    for name in ("topic", "purpose"):
        said = fields.get(name)
        if isinstance(said, dict) and isinstance(said.get("value"), str):
            fields[name] = {**said, "value": plain(said["value"])}
    return ExternalRecord(
        "Channel",
        _id(channel, is_channel_id),
        fields,
        moment_of_number(channel.get("updated")) or moment_of_number(channel.get("created")),
        deleted=channel.get("is_archived") is True,
        version=_version(channel.get("updated")),
    )


def message_record(connection: Connection, channel: str, message: Mapping[str, Any]) -> ExternalRecord:
    """A message, its ``channel`` among the fields and its ``text`` without entities.

    Raises :class:`MalformedResponse`.
    """
    ts = message.get("ts")
    if not isinstance(ts, str) or not is_ts(ts):
        raise MalformedResponse("a message without a timestamp")
    fields = {**message, "channel": channel}
    if isinstance(fields.get("text"), str):
        fields["text"] = plain(fields["text"])
    edited = message.get("edited")
    changed = edited.get("ts") if isinstance(edited, dict) else None
    return ExternalRecord(
        "Message",
        message_id(channel, ts),
        fields,
        moment_of_ts(changed) or moment_of_ts(ts),
        deleted=message.get("subtype") == "tombstone",
        version=str(changed or ts),
        own_write=is_own(connection.settings, message),
        made_from=marked_key(message),
    )


def is_own(settings: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether our app wrote a message, by the settings ``botId`` and ``appId``."""
    return any(
        settings.get(setting) and message.get(member) == settings[setting]
        for setting, member in (("botId", "bot_id"), ("appId", "app_id"))
    )


def marker(key: str) -> dict[str, Any]:
    """Message metadata that names the record a message was made for.

    Source: https://docs.slack.dev/messaging/message-metadata
    """
    return {"event_type": MARKER_TYPE, "event_payload": {"key": key}}


def marked_key(message: Mapping[str, Any]) -> str | None:
    """The key in a message's marker."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("event_type") != MARKER_TYPE:
        return None
    payload = metadata.get("event_payload")
    key = payload.get("key") if isinstance(payload, dict) else None
    return key if isinstance(key, str) else None


def objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects in an answer. Raises :class:`MalformedResponse`."""
    found = body.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise MalformedResponse(f"an answer without {name}")
    return found


def an_object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object in an answer. Raises :class:`MalformedResponse`."""
    found = body.get(name)
    if not isinstance(found, dict):
        raise MalformedResponse(f"an answer without {name}")
    return found


def next_cursor(body: Mapping[str, Any]) -> str:
    """The next page's cursor, or an empty text at the end."""
    metadata = body.get("response_metadata")
    found = metadata.get("next_cursor") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else ""


def _id(item: Mapping[str, Any], fits: Callable[[str], bool]) -> str:
    found = item.get("id")
    if not isinstance(found, str) or not fits(found):
        raise MalformedResponse("a record without an id")
    return found


def _version(updated: Any) -> str | None:
    return None if updated is None else str(updated)
