"""Notification channels of the calendar (https://developers.google.com/workspace/calendar/api/guides/push)."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from infra.local.sandbox.google.errors import ApiError
from infra.local.sandbox.google.names import ACCOUNT, NAME
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]
RESOURCE_ID = "castiel-primary-calendar"
RESOURCE_URI = f"https://www.googleapis.com/calendar/v3/calendars/{ACCOUNT}/events?alt=json"
_WEEK_MS = 7 * 86_400_000


class Channels:
    """Who watches the calendar."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def watch(self, wanted: JsonObject) -> JsonObject:
        """Open a channel. It ends by itself, and can't be renewed."""
        channel_id, address = wanted.get("id"), str(wanted.get("address") or "")
        if not channel_id or wanted.get("type") not in ("web_hook", "webhook"):
            raise ApiError(400, "Missing channel id or unknown type", reason="required")
        if not address.startswith("https://"):
            text = f"WebHook callback must be HTTPS: {address}"
            raise ApiError(400, text, reason="webhookUrlNotHttps")
        if self._open(channel_id) is not None:
            raise ApiError(400, f"Channel id {channel_id} not unique", reason="channelIdNotUnique")
        now = self._store.clock.now_ms()
        expiration = min(int(wanted.get("expiration") or now + _WEEK_MS), now + 30 * 86_400_000)
        channel = {
            "kind": "api#channel",
            "id": channel_id,
            "resourceId": RESOURCE_ID,
            "resourceUri": RESOURCE_URI,
            "expiration": str(expiration),
        }
        if wanted.get("token"):
            channel["token"] = wanted["token"]
        self._store.put_document(NAME, "channel", channel_id, channel)
        return channel

    def stop(self, channel_id: str, resource_id: str) -> None:
        """Close a channel. One that has ended is as unknown as one that never was."""
        channel = self._open(channel_id)
        if channel is None or channel["resourceId"] != resource_id:
            text = f"Channel '{channel_id}' not found for project"
            raise ApiError(404, text, reason="notFound")
        self._store.remove_document(NAME, "channel", channel_id)

    def headers(self, options: JsonObject) -> dict[str, str]:
        """A notification: all it says is in its headers. The first of a channel has the state ``sync``.

        Of a channel that was never opened, too, for who has only the token. Raises ControlError for one that has ended.
        """
        channel_id = str(options.get("channelId") or "castiel-channel-1")
        channel = self._open(channel_id) or {}
        if not channel and self._store.document(NAME, "channel", channel_id) is not None:
            raise ControlError(f"channel {channel_id} has ended: it sends nothing", 409)
        number = options.get("messageNumber") or self._store.next_number(f"{NAME}:message:{channel_id}")
        expires = int(channel.get("expiration") or self._store.clock.now_ms() + _WEEK_MS)
        headers = {
            "X-Goog-Channel-ID": channel_id,
            "X-Goog-Message-Number": str(number),
            "X-Goog-Resource-ID": RESOURCE_ID,
            "X-Goog-Resource-State": str(options.get("state") or "exists"),
            "X-Goog-Resource-URI": str(options.get("resourceUri") or RESOURCE_URI),
            "X-Goog-Channel-Expiration": formatdate(expires / 1000, usegmt=True),
            "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
        }
        token = options.get("secret") or channel.get("token")
        return headers | ({"X-Goog-Channel-Token": str(token)} if token else {})

    def _open(self, channel_id: str) -> JsonObject | None:
        channel = self._store.document(NAME, "channel", channel_id)
        ended = channel is not None and int(channel["expiration"]) <= self._store.clock.now_ms()
        return None if ended else channel
