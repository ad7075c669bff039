"""Slack's deliveries, in the shape of its published event types."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from castiel.adapters.slack.webhooks import SlackWebhooks
from castiel.domain.messages import Operation
from castiel.domain.signatures import PRESETS, verify
from castiel.domain.webhooks import Delivery, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook, SignatureInvalid
from infra.local.sandbox.slack.names import ADMIN_ID, APP_ID, BOT_ID, TEAM_ID
from infra.local.sandbox.slack.provider import SlackProvider
from infra.local.sandbox.store import Store

WEBHOOKS = SlackWebhooks()


def request(body: Any, headers: dict[str, str] | None = None, **settings: Any) -> WebhookRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {name.lower(): value for name, value in (headers or {}).items()}
    return WebhookRequest("reg-1", "slack", given, raw, settings=settings)


def callback(event: dict[str, Any], **outer: Any) -> dict[str, Any]:
    return {
        "token": "made-up",
        "team_id": "T123ABC456",
        "api_app_id": "A123ABC456",
        "event": event,
        "type": "event_callback",
        "authorizations": [{"team_id": "T123ABC456", "user_id": "U123ABC456", "is_bot": False}],
        "event_id": "Ev123ABC456",
        "event_time": 1_355_517_523,
    } | outer


def one(event: dict[str, Any], outer: dict[str, Any] | None = None, **settings: Any) -> WebhookEvent:
    delivery = WEBHOOKS.parse(request(callback(event, **(outer or {})), **settings))
    [found] = delivery.events
    return found


MESSAGE = {
    "type": "message",
    "channel": "C123ABC456",
    "user": "U123ABC456",
    "text": "Hello &amp; goodbye",
    "ts": "1355517523.000005",
    "event_ts": "1355517523.000005",
    "channel_type": "channel",
}


def test_a_handshake_is_answered_with_its_challenge() -> None:
    body = {"token": "made-up", "challenge": "3eZbrw1aB10", "type": "url_verification"}
    assert WEBHOOKS.handshake(request(body)) == {"challenge": "3eZbrw1aB10"}


@pytest.mark.parametrize(
    "body",
    [
        callback(MESSAGE, challenge="3eZbrw1aB10"),
        {"type": "url_verification", "challenge": "x", "event": MESSAGE},
        {"type": "url_verification"},
        {"type": "url_verification", "challenge": ""},
        {"type": "url_verification", "challenge": ["x"]},
        {"type": "url_verification", "challenge": "x" * 5000},
        {"challenge": "x"},
        ["url_verification"],
        b"payload=%7B%7D",
    ],
)
def test_nothing_else_is_a_handshake(body: Any) -> None:
    assert WEBHOOKS.handshake(request(body)) is None


def test_a_message_is_a_new_record() -> None:
    delivery = WEBHOOKS.parse(request(callback(MESSAGE), {"X-Slack-Retry-Num": "2"}))
    assert delivery == Delivery(
        "Ev123ABC456",
        (
            WebhookEvent(
                "message",
                entity="Message",
                external_id="C123ABC456:1355517523.000005",
                operation=Operation.CREATE,
                changes={"text": "Hello & goodbye"},
                occurred_at=datetime(2012, 12, 14, 20, 38, 43, 5, UTC),
            ),
        ),
    )


def test_an_edit_names_the_message_and_not_itself() -> None:
    event = one(
        {
            "type": "message",
            "subtype": "message_changed",
            "hidden": True,
            "channel": "C123ABC456",
            "ts": "1358878755.000001",
            "message": {"type": "message", "user": "U123ABC456", "text": "New", "ts": "1355517523.000005"},
        }
    )
    assert (event.event_type, event.operation) == ("message.message_changed", Operation.UPDATE)
    assert event.external_id == "C123ABC456:1355517523.000005"
    assert event.changed_fields == ("text",)
    assert event.occurred_at == datetime(2012, 12, 14, 20, 38, 43, tzinfo=UTC)


def test_a_deletion_names_the_message() -> None:
    event = one(
        {
            "type": "message",
            "subtype": "message_deleted",
            "hidden": True,
            "channel": "C123ABC456",
            "ts": "1358878755.000001",
            "deleted_ts": "1355517523.000005",
            "previous_message": {"bot_id": "B1", "ts": "1355517523.000005"},
        },
        botId="B1",
    )
    assert (event.operation, event.external_id) == (Operation.DELETE, "C123ABC456:1355517523.000005")
    assert not event.own_write  # nobody says who deleted it


@pytest.mark.parametrize(
    ("settings", "ours"),
    [
        ({"botId": "B123"}, True),
        ({"appId": "A123"}, True),
        ({"botId": "B999", "appId": "A999"}, False),
        ({"botId": "", "appId": None}, False),
        ({}, False),
    ],
)
def test_our_own_messages_are_known(settings: dict[str, Any], ours: bool) -> None:
    said = MESSAGE | {"subtype": "bot_message", "bot_id": "B123", "app_id": "A123"}
    assert one(said, **settings).own_write is ours
    changed = {"type": "message", "subtype": "message_changed", "channel": "C123ABC456", "message": said}
    assert one(changed, **settings).own_write is ours


@pytest.mark.parametrize("subtype", ["channel_join", "channel_topic", "pinned_item"])
def test_notes_of_the_system_are_no_records(subtype: str) -> None:
    event = one(MESSAGE | {"subtype": subtype})
    assert (event.entity, event.external_id) == (None, None)


@pytest.mark.parametrize(
    ("kind", "channel", "operation"),
    [
        ("channel_created", {"id": "C024BE91L", "name": "fun", "created": 1360782804}, Operation.CREATE),
        ("channel_rename", {"id": "C024BE91L", "name": "new"}, Operation.UPDATE),
        ("channel_archive", "C024BE91L", Operation.DELETE),
        ("channel_unarchive", "C024BE91L", Operation.UPDATE),
        ("channel_deleted", "C024BE91L", Operation.DELETE),
        ("group_rename", {"id": "G02ELGNBH", "name": "new"}, Operation.UPDATE),
        ("group_archive", "G02ELGNBH", Operation.DELETE),
    ],
)
def test_channels(kind: str, channel: Any, operation: Operation) -> None:
    event = one({"type": kind, "channel": channel})
    assert event.entity == "Channel"
    assert event.external_id == (channel if isinstance(channel, str) else channel["id"])
    assert event.operation is operation


def test_users() -> None:
    user = {"id": "U024BE7LH", "name": "bobby", "deleted": False}
    assert one({"type": "team_join", "user": user}).operation is Operation.CREATE
    assert one({"type": "user_change", "user": user}).operation is Operation.UPDATE
    left = one({"type": "user_change", "user": user | {"deleted": True}, "event_ts": "1360782804.083113"})
    assert (left.entity, left.external_id, left.operation) == ("User", "U024BE7LH", Operation.DELETE)
    assert left.occurred_at == datetime(2013, 2, 13, 19, 13, 24, 83113, UTC)


def test_the_end_of_an_installation() -> None:
    assert one({"type": "app_uninstalled"}).lifecycle == "uninstalled"
    bots = {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": ["U123"]}}
    people = {"type": "tokens_revoked", "tokens": {"oauth": ["U123"], "bot": []}}
    assert one(bots).lifecycle == "revoked"
    assert one(people).lifecycle is None
    assert one(people, tokenType="user").lifecycle == "revoked"
    assert one(bots).entity is None


def test_another_workspace_is_ignored() -> None:
    assert one(MESSAGE, teamId="T123ABC456").entity == "Message"
    assert one(MESSAGE, teamId="T999").entity is None
    assert one({"type": "app_uninstalled"}, teamId="T999").lifecycle is None
    shared = {"team_id": "T777", "authorizations": [{"team_id": "T123ABC456"}]}
    assert one(MESSAGE, shared, teamId="T123ABC456").entity == "Message"


def test_a_limit_on_events_is_accepted() -> None:
    body = {
        "token": "made-up",
        "type": "app_rate_limited",
        "team_id": "T123456",
        "minute_rate_limited": 1518467820,
        "api_app_id": "A123456",
    }
    first, second = WEBHOOKS.parse(request(body)), WEBHOOKS.parse(request(body))
    assert first.delivery_id == second.delivery_id != ""
    assert [(event.event_type, event.entity) for event in first.events] == [("app_rate_limited", None)]


def test_an_event_nobody_asked_for_is_about_no_record() -> None:
    event = one({"type": "reaction_added", "item": {}})
    assert (event.event_type, event.entity, event.operation) == ("reaction_added", None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"payload=%7B%7D",
        b"[" * 100_000,
        b'{"type": NaN}',
        b'"\\ud800"',
        [],
        {},
        {"type": 5},
        {"type": "event_callback"},
        {"type": "event_callback", "event": []},
        callback({"type": "message"}),
        callback(MESSAGE | {"channel": "not a channel"}),
        callback(MESSAGE | {"ts": 5}),
        callback(MESSAGE | {"subtype": {}}),
        callback(MESSAGE | {"subtype": "message_changed"}),
        callback(MESSAGE | {"subtype": "message_deleted", "deleted_ts": None}),
        callback({"type": "user_change", "user": {"id": "../x"}}),
        callback({"type": "channel_rename", "channel": []}),
        callback({"type": "Bad Type"}),
        callback(MESSAGE, event_id="x" * 300),
    ],
)
def test_what_makes_no_sense_is_invalid(body: Any) -> None:
    with pytest.raises(InvalidWebhook) as caught:
        WEBHOOKS.parse(request(body))
    assert "not a channel" not in str(caught.value)


# What the sandbox sends ------------------------------------------------------------------------------------


@pytest.fixture
def workspace() -> Any:
    store = Store()
    yield SlackProvider(store)
    store.close()


def test_the_sandboxs_events_are_signed_and_read(workspace: SlackProvider) -> None:
    workspace.seed({"User": 1, "Channel": 1, "Message": 1}, 7)
    scheme, secret = PRESETS["slack"], b"made-up-signing-secret"
    for entity in ("User", "Channel", "Message"):
        record = next(r for r in workspace.plain_list(entity, False, 10, 0) if r["id"] != ADMIN_ID)
        for operation in ("create", "update", "delete"):
            options = {
                "entity": entity,
                "id": record["id"],
                "operation": operation,
                "secret": secret.decode(),
            }
            body, headers = workspace.event(options)
            now = datetime.fromtimestamp(workspace.store.clock.now_ms() / 1000, UTC)
            sent = request(body, headers, teamId=TEAM_ID, botId=BOT_ID, appId=APP_ID)
            verify(scheme, sent.headers, sent.body, [secret], now)
            with pytest.raises(SignatureInvalid):
                verify(scheme, sent.headers, sent.body + b" ", [secret], now)
            [event] = WEBHOOKS.parse(sent).events
            assert (event.entity, event.external_id) == (entity, record["id"])
            assert event.operation == (
                Operation.UPDATE if (entity, operation) == ("User", "delete") else Operation(operation)
            )


def test_the_sandboxs_handshake_is_answered(workspace: SlackProvider) -> None:
    body, headers = workspace.event({"event": "url_verification", "challenge": "c-1", "secret": "made-up"})
    assert WEBHOOKS.handshake(request(body, headers)) == {"challenge": "c-1"}
    for kind in ("app_rate_limited", "tokens_revoked", "app_uninstalled"):
        body, headers = workspace.event({"event": kind})
        assert WEBHOOKS.handshake(request(body, headers)) is None
        assert WEBHOOKS.parse(request(body, headers)).events[0].event_type == kind
