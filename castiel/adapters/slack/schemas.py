"""How Slack's entities become shards, where a connection names no schema of its own."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _direct(field: str, source: str, **more: Any) -> Json:
    return {"kind": "direct", "field": field, "source": source, **more}


def _inbound(field: str, source: str, **more: Any) -> Json:
    return _direct(field, source, direction="inbound", **more)


def _schema(entity: str, shard_type: str, label: str, mappings: list[Json]) -> Json:
    return {
        "id": f"slack-{entity.lower()}",
        # Of no tenant: it is the same for all.
        "tenantId": "",
        "integrationId": "slack",
        "entity": entity,
        "shardType": shard_type,
        "version": 1,
        "labelField": label,
        "mappings": mappings,
    }


DEFAULT_SCHEMAS: tuple[Json, ...] = (
    _schema(
        "User",
        "user",
        "name",
        [
            _direct("firstName", "profile.first_name"),
            _direct("lastName", "profile.last_name"),
            _inbound("name", "profile.real_name"),
            _direct("email", "profile.email"),
            _direct("phone", "profile.phone"),
            _direct("title", "profile.title"),
            _direct("displayName", "profile.display_name"),
            _inbound("handle", "name"),
            _inbound("timeZone", "tz"),
            _inbound("picture", "profile.image_512"),
            _inbound("admin", "is_admin"),
            _inbound("bot", "is_bot"),
        ],
    ),
    _schema(
        "Channel",
        "channel",
        "name",
        [
            _direct("name", "name", required=True),
            _direct("topic", "topic.value"),
            _direct("description", "purpose.value"),
            _inbound("private", "is_private"),
            _inbound("creatorId", "creator"),
        ],
    ),
    _schema(
        "Message",
        "message",
        "text",
        [
            _direct("text", "text"),
            _inbound("channelId", "channel"),
            _inbound("authorId", "user"),
            _inbound("threadId", "thread_ts"),
            {
                "kind": "transform",
                "field": "sentAt",
                "source": "ts",
                "transforms": ["epoch"],
                "direction": "inbound",
            },
            _inbound("replies", "reply_count"),
        ],
    ),
)
"""Ids of other records (``channelId``) come in only: another workspace's ids mean nothing to this one. New messages
go to the connection's ``defaultChannel``."""
