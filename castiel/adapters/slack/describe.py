"""What users, channels and messages look like.

Sources: https://docs.slack.dev/reference/objects/user-object, …/objects/conversation-object,
https://docs.slack.dev/reference/events/message
"""

from __future__ import annotations

from castiel.adapters.slack.users import PROFILE
from castiel.domain.fields import EntityDescription, FieldDescription, FieldType

_PROFILE_TYPES: dict[str, FieldType] = {
    "email": "email",
    "phone": "phone",
    "status_expiration": "integer",
    "fields": "object",
}
_PROFILE_LENGTHS = {
    "first_name": 50,
    "last_name": 50,
    "real_name": 50,
    "display_name": 80,
    "status_text": 100,
}


def _seen(name: str, kind: FieldType, label: str | None = None) -> FieldDescription:
    return FieldDescription(name, kind, writable=False, label=label)


USER = EntityDescription(
    "User",
    "User",
    (
        _seen("id", "string"),
        _seen("name", "string", "Handle"),
        _seen("real_name", "string"),
        _seen("deleted", "boolean", "Deactivated"),
        _seen("is_admin", "boolean"),
        _seen("is_owner", "boolean"),
        _seen("is_restricted", "boolean", "Guest"),
        _seen("is_bot", "boolean"),
        _seen("tz", "string", "Time zone"),
        _seen("updated", "integer"),
        *(
            FieldDescription(
                f"profile.{name}", _PROFILE_TYPES.get(name, "string"), max_length=_PROFILE_LENGTHS.get(name)
            )
            for name in PROFILE
        ),
        _seen("profile.image_512", "url", "Picture"),
    ),
    writable=True,
    deletable=False,
)
"""Users can be updated, with a user's token; neither created nor deleted."""

CHANNEL = EntityDescription(
    "Channel",
    "Channel",
    (
        _seen("id", "string"),
        FieldDescription("name", "string", required=True, max_length=80),
        FieldDescription("topic.value", "text", max_length=250, label="Topic"),
        FieldDescription("purpose.value", "text", max_length=250, label="Purpose"),
        FieldDescription("is_private", "boolean", label="Private (when created)"),
        _seen("is_archived", "boolean"),
        _seen("is_general", "boolean"),
        _seen("is_member", "boolean"),
        _seen("num_members", "integer"),
        _seen("creator", "reference"),
        _seen("created", "integer"),
        _seen("updated", "integer"),
    ),
)
"""Deleting archives."""

MESSAGE = EntityDescription(
    "Message",
    "Message",
    (
        FieldDescription("channel", "reference", required=True, label="Channel (when created)"),
        _seen("ts", "string", "Timestamp, the id within the channel"),
        FieldDescription("text", "text", required=True, max_length=40_000),
        FieldDescription("blocks", "list"),
        FieldDescription("attachments", "list"),
        FieldDescription("thread_ts", "string", label="Thread (when created)"),
        _seen("user", "reference", "Author"),
        _seen("bot_id", "string"),
        _seen("app_id", "string"),
        _seen("subtype", "string"),
        _seen("edited", "object"),
        _seen("reply_count", "integer"),
        _seen("metadata", "object"),
    ),
)
"""Only the app's own messages can be updated and deleted."""

DESCRIPTIONS = (USER, CHANNEL, MESSAGE)
