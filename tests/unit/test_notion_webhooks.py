"""Notion's deliveries, in the shape of its published event types."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from castiel.adapters.notion.webhooks import NotionWebhooks
from castiel.domain.messages import Operation
from castiel.domain.signatures import PRESETS
from castiel.domain.webhooks import WebhookRequest
from castiel.errors import InvalidWebhook

WEBHOOKS = NotionWebhooks()
PAGE = "0ef104cd-477e-80e1-8571-cfd10e92339a"
BOT = "16d84278-ab0e-484c-9bdd-b35da3bd8905"
PERSON = "c7c11cca-1d73-471d-9b6e-bdef51470190"
SOURCE = "2f26ee68-df30-4251-aad4-8ddc420cba3d"


def _event(kind: str = "page.properties_updated", **changes: Any) -> dict[str, Any]:
    return {
        "id": "367cba44-b6f3-4c92-81e7-6a2e9659efd4",
        "timestamp": "2024-12-05T23:55:34.285Z",
        "workspace_id": "13950b26-c203-4f3b-b97d-93ec06319565",
        "workspace_name": "Quantify Labs",
        "subscription_id": "29d75c0d-5546-4414-8459-7b7a92f1fc4b",
        "integration_id": "0ef2e755-4912-8096-91c1-00376a88a5ca",
        "type": kind,
        "authors": [{"id": PERSON, "type": "person"}],
        "accessible_by": [{"id": PERSON, "type": "person"}],
        "attempt_number": 1,
        "api_version": "2025-09-03",
        "entity": {"id": PAGE, "type": "page"},
        "data": {
            "parent": {
                "id": "13950b26-c203-4f3b-b97d-93ec06319565",
                "type": "database",
                "data_source_id": SOURCE,
            },
            "updated_properties": ["XGe%40", "bDf%5B"],
        },
    } | changes


def _request(body: Any, **settings: Any) -> WebhookRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WebhookRequest("reg-1", "/api/webhooks/reg-1", {}, raw, settings=settings)


def test_an_event_names_page_operation_time_and_properties() -> None:
    delivery = WEBHOOKS.parse(_request(_event()))
    (event,) = delivery.events
    assert delivery.delivery_id == "367cba44-b6f3-4c92-81e7-6a2e9659efd4"
    assert (event.event_type, event.entity, event.external_id) == ("page.properties_updated", "Page", PAGE)
    assert event.operation is Operation.UPDATE
    assert event.changed_fields == ("XGe%40", "bDf%5B")
    assert event.occurred_at == datetime(2024, 12, 5, 23, 55, 34, 285000, tzinfo=UTC)
    assert not event.own_write


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("page.created", Operation.CREATE),
        ("page.content_updated", Operation.UPDATE),
        ("page.moved", Operation.UPDATE),
        ("page.undeleted", Operation.UPDATE),
        ("page.deleted", Operation.DELETE),
    ],
)
def test_operations(kind: str, operation: Operation) -> None:
    (event,) = WEBHOOKS.parse(_request(_event(kind))).events
    assert (event.entity, event.operation) == ("Page", operation)


@pytest.mark.parametrize(
    "kind",
    [
        "page.locked",
        "page.unlocked",
        "comment.created",
        "database.schema_updated",
        "data_source.deleted",
        "view.created",
    ],
)
def test_events_that_change_no_record_are_of_no_entity(kind: str) -> None:
    data = {"parent": {"id": PAGE, "type": "page"}, "updated_properties": [{"id": "x", "name": "y"}]}
    (event,) = WEBHOOKS.parse(_request(_event(kind, data=data))).events
    assert (event.entity, event.operation, event.changed_fields) == (None, None, ())


def test_an_event_without_data_is_read() -> None:
    body = _event("file_upload.created", entity={"id": PAGE, "type": "file_upload"})
    del body["data"]
    assert WEBHOOKS.parse(_request(body)).events[0].entity is None


def test_a_data_source_names_the_pages_that_changed_in_it() -> None:
    blocks = [{"id": PAGE, "type": "page"}, {"id": PERSON, "type": "page"}, {"id": BOT, "type": "block"}]
    body = _event(
        "data_source.content_updated",
        entity={"id": SOURCE, "type": "data_source"},
        data={"parent": {"id": BOT, "type": "database"}, "updated_blocks": blocks},
    )
    events = WEBHOOKS.parse(_request(body, dataSourceId=SOURCE)).events
    assert [(event.entity, event.external_id) for event in events] == [("Page", PAGE), ("Page", PERSON)]
    (other,) = WEBHOOKS.parse(_request(body, dataSourceId=BOT)).events
    assert other.entity is None


def test_pages_of_other_data_sources_are_left_out() -> None:
    elsewhere = {"parent": {"id": BOT, "type": "page"}}
    (ours,) = WEBHOOKS.parse(_request(_event(), dataSourceId=[SOURCE.replace("-", "")])).events
    (other,) = WEBHOOKS.parse(_request(_event(data=elsewhere), dataSourceId=SOURCE)).events
    assert (ours.entity, other.entity) == ("Page", None)


@pytest.mark.parametrize(
    ("authors", "ours"),
    [
        ([{"id": BOT, "type": "bot"}], True),
        ([{"id": BOT.replace("-", ""), "type": "bot"}] * 2, True),
        ([{"id": BOT, "type": "bot"}, {"id": PERSON, "type": "person"}], False),
        ([{"id": PERSON, "type": "bot"}], False),
        ([{"id": BOT, "type": "person"}], False),
        ([], False),
    ],
)
def test_our_own_writes_are_those_of_our_bot_alone(authors: list[dict[str, str]], ours: bool) -> None:
    (event,) = WEBHOOKS.parse(_request(_event(authors=authors), botId=BOT)).events
    assert event.own_write is ours


def test_without_a_bot_id_nothing_is_ours() -> None:
    (event,) = WEBHOOKS.parse(_request(_event(authors=[{"id": BOT, "type": "bot"}]))).events
    assert not event.own_write


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"[" * 100_000,
        {},
        _event(id=None),
        _event(id=7),
        _event(timestamp="yesterday"),
        _event(entity="a page"),
        _event(entity={"id": "no uuid", "type": "page"}),
        _event(data=["x"]),
        _event(authors="somebody"),
        _event("data_source.content_updated", data={"updated_blocks": ["x"]}),
        {"type": "x" * 300} | _event() | {"type": "x" * 300},
    ],
)
def test_what_can_not_be_read_is_refused_without_its_values(body: Any) -> None:
    with pytest.raises(InvalidWebhook) as caught:
        WEBHOOKS.parse(_request(body))
    assert "somebody" not in str(caught.value)
    assert "yesterday" not in str(caught.value)


def test_the_first_delivery_hands_over_the_secret() -> None:
    request = _request({"verification_token": "secret_made_up"})
    found = WEBHOOKS.offered_secret(request)
    assert found is not None
    assert found.get_secret_value() == "secret_made_up"
    assert "made_up" not in repr(found)
    assert WEBHOOKS.handshake(request) == {"success": True}


@pytest.mark.parametrize(
    "body",
    [
        _event() | {"verification_token": "secret_made_up"},
        {"verification_token": "secret_made_up", "type": "page.created"},
        {"verification_token": ""},
        {"verification_token": ["x"]},
        {"verification_token": "x" * 256},
        b"not json",
        [],
    ],
)
def test_an_event_with_a_handshake_field_is_no_handshake(body: Any) -> None:
    assert WEBHOOKS.offered_secret(_request(body)) is None
    assert WEBHOOKS.handshake(_request(body)) is None


def test_the_signature_preset_exists() -> None:
    assert WEBHOOKS.signature_preset in PRESETS
