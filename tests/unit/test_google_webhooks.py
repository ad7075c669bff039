"""Reading what Google pushes: channels and Pub/Sub messages, also broken ones."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from castiel.adapters.google import PROVIDER
from castiel.domain.messages import Operation
from castiel.domain.signatures import PRESETS
from castiel.domain.webhooks import WebhookRequest
from castiel.errors import InvalidWebhook

CALENDAR = "https://www.googleapis.com/calendar/v3/calendars/someone%40example.com/events?alt=json"


def channel(**headers: str) -> WebhookRequest:
    given = {
        "x-goog-channel-id": "channel-1",
        "x-goog-message-number": "7",
        "x-goog-resource-state": "exists",
        "x-goog-resource-uri": CALENDAR,
    }
    named = {f"x-goog-{name.replace('_', '-')}": value for name, value in headers.items()}
    return WebhookRequest("reg-1", "/webhooks/reg-1/google", given | named, b"")


def message(**members: Any) -> WebhookRequest:
    body = {"message": {"messageId": "42", **members}, "subscription": "projects/p/subscriptions/s"}
    return WebhookRequest("reg-1", "/", {"content-type": "application/json"}, json.dumps(body).encode())


def encoded(data: Any) -> str:
    return base64.b64encode(json.dumps(data).encode()).decode()


def test_the_preset_exists() -> None:
    assert PROVIDER.webhooks.signature_preset in PRESETS


def test_the_first_notification_of_a_channel_is_a_handshake() -> None:
    assert PROVIDER.webhooks.handshake(channel(resource_state="sync", message_number="1")) == {}
    assert PROVIDER.webhooks.handshake(channel()) is None
    assert PROVIDER.webhooks.handshake(message()) is None


def test_a_notification_says_that_some_event_changed() -> None:
    delivery = PROVIDER.webhooks.parse(channel())
    assert delivery.delivery_id == "channel-1:7"
    [event] = delivery.events
    assert (event.event_type, event.entity, event.external_id) == ("event.changed", "Event", None)
    assert event.operation is Operation.UPDATE


@pytest.mark.parametrize(
    ("uri", "event_type", "entity"),
    [
        (
            "https://www.googleapis.com/calendar/v3/users/me/calendarList?alt=json",
            "calendarList.changed",
            None,
        ),
        ("https://www.googleapis.com/calendar/v3/calendars/a/acl", "acl.changed", None),
        ("https://www.googleapis.com/drive/v3/changes", "resource.changed", None),
        ("", "resource.changed", None),
    ],
)
def test_other_resources_are_no_events_of_a_calendar(uri: str, event_type: str, entity: str | None) -> None:
    [event] = PROVIDER.webhooks.parse(channel(resource_uri=uri)).events
    assert (event.event_type, event.entity) == (event_type, entity)


@pytest.mark.parametrize("headers", [{"channel_id": ""}, {"message_number": ""}, {"message_number": "x"}])
def test_a_notification_without_its_name_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidWebhook):
        PROVIDER.webhooks.parse(channel(**headers))


def test_gmail_says_since_when_a_mailbox_changed() -> None:
    data = encoded({"emailAddress": "someone@example.com", "historyId": 9876543210})
    delivery = PROVIDER.webhooks.parse(message(data=data, publishTime="2026-11-24T10:00:00.123Z"))
    assert delivery.delivery_id == "42"
    [event] = delivery.events
    assert (event.event_type, event.entity) == ("mailbox.changed", None)
    assert event.changes == {"historyId": "9876543210"}
    assert event.occurred_at == datetime(2026, 11, 24, 10, 0, 0, 123_000, UTC)


def test_a_workspace_event_is_named_by_its_cloud_events_type() -> None:
    attributes = {
        "ce-id": "1",
        "ce-type": "google.workspace.chat.message.v1.created",
        "ce-time": "2026-11-24T09:00:00Z",
    }
    [event] = PROVIDER.webhooks.parse(message(data=encoded({}), attributes=attributes)).events
    assert event.event_type == "google.workspace.chat.message.v1.created"
    assert event.lifecycle is None
    assert event.occurred_at == datetime(2026, 11, 24, 9, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("stage", ["suspended", "expired"])
def test_an_ended_subscription_is_an_event_of_the_connection(stage: str) -> None:
    attributes = {"ce-type": f"google.workspace.events.subscription.v1.{stage}"}
    [event] = PROVIDER.webhooks.parse(message(attributes=attributes)).events
    assert event.lifecycle == stage


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"message": []}', b'{"message": {}}', b'{"message": {"messageId": 7}}',
     b'{"message": {"messageId": "1", "data": "%%%"}}', b'{"message": {"messageId": "1", "data": "e30"}}',
     b"[" * 100_000],
)  # fmt: skip
def test_a_body_that_can_not_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidWebhook):
        PROVIDER.webhooks.parse(WebhookRequest("reg-1", "/", {}, body))
