"""Objects as Slack's answers carry them, from what the store keeps.

Sources: https://docs.slack.dev/reference/objects/user-object, …/objects/conversation-object,
https://docs.slack.dev/reference/events/message
"""

from __future__ import annotations

import hashlib
from typing import Any

from infra.local.sandbox.slack.names import APP_ID, BOT_ID, TEAM_ID
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]

_LIVE_ONLY = ("color", "real_name", "tz", "tz_label", "tz_offset", "is_admin", "is_owner", "is_primary_owner",
              "is_restricted", "is_ultra_restricted")  # fmt: skip


def user_shape(record: Record, *, with_email: bool = True) -> JsonObject:
    """A user; one who is deactivated shows less. The address needs the scope users:read.email."""
    data = record.data
    profile = dict(data["profile"])
    if not with_email:
        profile.pop("email", None)
    user: JsonObject = {"id": record.id, "team_id": TEAM_ID, "name": data["name"], "deleted": record.deleted}
    if not record.deleted:
        user |= {name: data[name] for name in _LIVE_ONLY if name in data}
    user |= {"profile": profile, "is_bot": data.get("is_bot", False), "is_app_user": False}
    return user | {"updated": record.modified_ms // 1000, "is_email_confirmed": True}


def new_profile(first: str, last: str, email: str, **more: Any) -> JsonObject:
    """A profile with all that the real one always has, and empty texts for what was never filled in."""
    name = f"{first} {last}".strip()
    digest = hashlib.sha256((email or name).encode()).hexdigest()[:12]
    image = f"https://secure.gravatar.com/avatar/{digest}.jpg"
    return {
        "title": "",
        "phone": "",
        "skype": "",
        "real_name": name,
        "real_name_normalized": name,
        "display_name": "",
        "display_name_normalized": "",
        "fields": None,
        "status_text": "",
        "status_emoji": "",
        "status_emoji_display_info": [],
        "status_expiration": 0,
        "avatar_hash": f"g{digest}",
        **({"email": email} if email else {}),
        "first_name": first,
        "last_name": last,
        "image_24": f"{image}?s=24",
        "image_512": f"{image}?s=512",
        "status_text_canonical": "",
        "team": TEAM_ID,
        **more,
    }


def person(name: str, profile: JsonObject, **more: Any) -> JsonObject:
    """What is kept of a user."""
    return {
        "name": name,
        "color": "9f69e7",
        "real_name": profile["real_name"],
        "tz": "Europe/Berlin",
        "tz_label": "Central European Time",
        "tz_offset": 3600,
        "profile": profile,
        "is_admin": False,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_bot": False,
        **more,
    }


def channel_shape(record: Record, *, listed: bool = False) -> JsonObject:
    """A channel; a list also says how many members it has."""
    data = record.data
    private = bool(data.get("is_private"))
    channel: JsonObject = {
        "id": record.id,
        "name": data["name"],
        "is_channel": not private,
        "is_group": private,
        "is_im": False,
        "is_mpim": False,
        "is_private": private,
        "created": record.created_ms // 1000,
        "is_archived": record.deleted,
        "is_general": bool(data.get("is_general")),
        "unlinked": 0,
        "name_normalized": data["name"],
        "is_shared": False,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "pending_shared": [],
        "context_team_id": TEAM_ID,
        "updated": record.modified_ms,
        "parent_conversation": None,
        "creator": data["creator"],
        "is_ext_shared": False,
        "shared_team_ids": [TEAM_ID],
        "pending_connected_team_ids": [],
        "is_member": bool(data.get("is_member")),
        "topic": data["topic"],
        "purpose": data["purpose"],
        "previous_names": data.get("previous_names", []),
    }
    if listed:
        channel["num_members"] = data.get("num_members", 1)
    return channel


def message_shape(record: Record, *, all_metadata: bool = True) -> JsonObject:
    """A message. Of its metadata only the type is shown unless all of it was asked for."""
    message = {name: value for name, value in record.data.items() if name != "channel"}
    if record.deleted:
        return {
            "type": "message",
            "subtype": "tombstone",
            "text": "This message was deleted.",
            "user": "USLACKBOT",
            "hidden": True,
            "ts": message["ts"],
            **{n: message[n] for n in ("thread_ts", "reply_count", "latest_reply") if n in message},
        }
    if "metadata" in message and not all_metadata:
        message["metadata"] = {"event_type": message["metadata"]["event_type"]}
    return message


def app_author(user: str) -> JsonObject:
    """What a message posted by the app says of its author."""
    return {
        "user": user,
        "bot_id": BOT_ID,
        "app_id": APP_ID,
        "bot_profile": {
            "id": BOT_ID,
            "app_id": APP_ID,
            "user_id": user,
            "name": "castiel",
            "icons": {"image_48": "https://a.slack-edge.com/80588/img/plugins/app/bot_48.png"},
            "deleted": False,
            "updated": 1_600_000_000,
            "team_id": TEAM_ID,
        },
    }


def text_blocks(text: str, ts: str) -> list[JsonObject]:
    """The rich text that Slack makes of a plain text."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return [{"type": "rich_text", "block_id": ts[-5:], "elements": [section]}]
