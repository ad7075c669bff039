"""What Google pushes: Calendar's notification channels, and Pub/Sub messages (Gmail, Workspace Events).

Neither names a changed event or contact. A channel says "something in this calendar changed" and nothing else, so its
event has no external id: an incremental pull finds out. The People API pushes nothing at all: contacts are polled.

Sources: https://developers.google.com/workspace/calendar/api/guides/push,
https://docs.cloud.google.com/pubsub/docs/push, https://developers.google.com/workspace/events/guides/events-overview
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from castiel.adapters.google.moments import moment
from castiel.domain.messages import Operation
from castiel.domain.strict_json import read_json
from castiel.domain.webhooks import Delivery, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook

_RESOURCE = re.compile(
    r"/calendar/v3/(?:calendars/[^/]+/(?P<of>events|acl)|users/me/(?P<mine>calendarList|settings))"
)
_KINDS = {
    "events": ("event", "Event"),
    "acl": ("acl", None),
    "calendarList": ("calendarList", None),
    "settings": ("settings", None),
}
_SUBSCRIPTION = "google.workspace.events.subscription."
_LIFECYCLE = {"suspended": "suspended", "expired": "expired"}


class GoogleWebhooks:
    """A registration's scheme says which kind it gets: ``google-channel`` or ``google-pubsub``."""

    signature_preset = "google-channel"

    def handshake(self, request: WebhookRequest) -> dict[str, Any] | None:
        """A channel's first notification says that it is open, and wants a 2xx."""
        return {} if request.headers.get("x-goog-resource-state") == "sync" else None

    def parse(self, request: WebhookRequest) -> Delivery:
        """Read a delivery. Raises :class:`InvalidWebhook`."""
        if "x-goog-channel-id" in request.headers:
            return _notification(request.headers)
        return _message(request.body)


def _notification(headers: Mapping[str, str]) -> Delivery:
    """Channel ids are unique, and message numbers grow within a channel: together they name a delivery."""
    channel, number = headers["x-goog-channel-id"], headers.get("x-goog-message-number", "")
    if not channel or not number.isdigit():
        raise InvalidWebhook("a channel's notification has an id and a message number")
    match = _RESOURCE.search(headers.get("x-goog-resource-uri", ""))
    kind, entity = _KINDS[match["of"] or match["mine"]] if match else ("resource", None)
    event = WebhookEvent(f"{kind}.changed", entity=entity, operation=Operation.UPDATE if entity else None)
    return Delivery(f"{channel}:{number}", (event,))


def _message(body: bytes) -> Delivery:
    try:
        envelope = read_json(body)
    except ValueError:
        raise InvalidWebhook("the body is not JSON") from None
    message = envelope.get("message") if isinstance(envelope, dict) else None
    if not isinstance(message, dict):
        raise InvalidWebhook("message: missing")
    message_id = message.get("messageId") or message.get("message_id")
    if not isinstance(message_id, str) or not message_id:
        raise InvalidWebhook("message.messageId: missing")
    attributes = message.get("attributes")
    named = attributes if isinstance(attributes, dict) else {}
    occurred_at = moment(named.get("ce-time")) or moment(message.get("publishTime"))
    kind = str(named.get("ce-type") or "")
    if kind:
        stage = kind.removeprefix(f"{_SUBSCRIPTION}v1.") if kind.startswith(_SUBSCRIPTION) else ""
        event = WebhookEvent(kind, occurred_at=occurred_at, lifecycle=_LIFECYCLE.get(stage))
    else:
        data = _data(message.get("data"))
        kind = "mailbox.changed" if "historyId" in data else "message.received"
        event = WebhookEvent(kind, changes=_told(data), occurred_at=occurred_at)
    return Delivery(message_id, (event,))


def _data(text: Any) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        data = read_json(base64.b64decode(str(text), validate=True))
    except ValueError:
        raise InvalidWebhook("message.data: not JSON in Base64") from None
    return data if isinstance(data, dict) else {}


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    """What Gmail says of a change: since which point of the mailbox's history."""
    return {"historyId": str(data["historyId"])} if "historyId" in data else {}
