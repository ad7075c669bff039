"""What Salesforce posts, and what others might."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from castiel.adapters.salesforce import PROVIDER
from castiel.domain.messages import Operation
from castiel.domain.signatures import PRESETS
from castiel.domain.webhooks import Delivery, WebhookRequest
from castiel.errors import InvalidWebhook

ID = "003gL000000006nQAA"
FULL: dict[str, Any] = {
    "deliveryId": "delivery-1",
    "event": "contact.updated",
    "entity": "Contact",
    "id": ID,
    "changedFields": ["Title"],
    "occurredAt": "2026-11-01T10:00:00.500Z",
    "changes": {"Title": "Countess"},
}
CHANGE: dict[str, Any] = {
    "schema": "a-schema",
    "payload": {
        "ChangeEventHeader": {
            "entityName": "Contact",
            "recordIds": [ID, "003gL000000008PQAQ"],
            "changeType": "UPDATE",
            "changeOrigin": "com/salesforce/api/rest/62.0;client=castiel",
            "transactionKey": "0001",
            "sequenceNumber": 1,
            "commitTimestamp": 1793527200500,
            "changedFields": ["Title"],
        },
        "Title": "Countess",
    },
}


def request(body: bytes, **headers: str) -> WebhookRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WebhookRequest("registration-1", "", named, body)


def parse(body: Any, **headers: str) -> Delivery:
    return PROVIDER.webhooks.parse(request(json.dumps(body).encode(), **headers))


def test_a_callout_is_read_whole() -> None:
    delivery = parse(FULL)
    [event] = delivery.events
    assert delivery.delivery_id == "delivery-1"
    assert (event.event_type, event.entity, event.external_id) == ("contact.updated", "Contact", ID)
    assert event.operation is Operation.UPDATE
    assert event.changes == {"Title": "Countess"}
    assert event.changed_fields == ("Title",)
    assert event.occurred_at == datetime(2026, 11, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    assert not event.own_write


@pytest.mark.parametrize(
    ("body", "entity", "operation"),
    [
        ({"event": "account.created", "id": ID}, "Account", Operation.CREATE),
        ({"event": "account.created", "entityId": ID}, "Account", Operation.CREATE),
        ({"event": "Opportunity.deleted", "entityId": ID}, "Opportunity", Operation.DELETE),
        ({"event": "Invoice__c.updated", "id": ID}, "Invoice__c", Operation.UPDATE),
        ({"event": "lead.converted", "id": ID}, "Lead", None),
        ({"event": "contact.updated", "entity": "contact", "id": ID}, "Contact", Operation.UPDATE),
    ],
)
def test_an_event_and_an_id_are_enough(
    body: dict[str, Any], entity: str, operation: Operation | None
) -> None:
    [event] = parse(body).events
    assert (event.entity, event.external_id, event.operation) == (entity, ID, operation)
    assert event.changes == {}


def test_a_short_id_becomes_the_one_that_records_carry() -> None:
    assert parse({"event": "contact.updated", "id": ID[:15]}).events[0].external_id == ID


def test_the_delivery_is_told_from_others_by_id_header_or_body() -> None:
    bare = {"event": "contact.updated", "id": ID}
    raw = json.dumps(bare).encode()
    assert parse(FULL, x_castiel_delivery="header-1").delivery_id == "delivery-1"
    assert parse(bare, x_castiel_delivery="header-1").delivery_id == "header-1"
    assert parse(bare).delivery_id == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        ("com/salesforce/api/rest/62.0;client=castiel", True),
        ("com/salesforce/api/rest/62.0;client=castiel/", True),
        ("com/salesforce/api/rest/62.0;client=castielito", False),
        ("com/salesforce/api/rest/62.0;client=other", False),
        ("", False),
    ],
)
def test_our_own_write_is_recognised(origin: str, ours: bool) -> None:
    assert parse({**FULL, "changeOrigin": origin}).events[0].own_write is ours


def test_a_change_event_is_one_event_for_each_record() -> None:
    events = parse(CHANGE).events
    assert [event.external_id for event in events] == [ID, "003gL000000008PQAQ"]
    assert {event.event_type for event in events} == {"contact.updated"}
    assert events[0].own_write
    assert events[0].changes == {"Title": "Countess"}
    assert events[0].occurred_at == datetime(2026, 11, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    assert parse(CHANGE["payload"]).events == events


@pytest.mark.parametrize(
    ("kind", "operation", "event_type"),
    [
        ("GAP_CREATE", Operation.CREATE, "contact.created"),
        ("GAP_DELETE", Operation.DELETE, "contact.deleted"),
        ("UNDELETE", Operation.UPDATE, "contact.undeleted"),
        ("GAP_OVERFLOW", None, "contact.overflow"),
    ],
)
def test_gaps_say_that_and_not_what(kind: str, operation: Operation | None, event_type: str) -> None:
    header = {**CHANGE["payload"]["ChangeEventHeader"], "changeType": kind}
    [event, _] = parse({"ChangeEventHeader": header, "Title": "stale"}).events
    assert (event.operation, event.event_type) == (operation, event_type)
    assert event.changes == ({} if kind.startswith("GAP") else {"Title": "stale"})


def test_a_change_of_unnamed_records_is_about_none() -> None:
    header = {**CHANGE["payload"]["ChangeEventHeader"], "recordIds": ["003*"]}
    assert [event.external_id for event in parse({"ChangeEventHeader": header}).events] == [None]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ("text", "body"),
        ({}, "event"),
        ({**FULL, "event": None}, "event"),
        ({**FULL, "event": 7}, "event"),
        ({**FULL, "event": "secret words"}, "event"),
        ({**FULL, "event": "contact.updated.twice"}, "event"),
        ({**FULL, "entity": "secret words"}, "entity"),
        ({**FULL, "entity": ["Contact"]}, "entity"),
        ({"event": "contact.updated"}, "id"),
        ({**FULL, "id": 1234}, "id"),
        ({**FULL, "id": "secret" * 100}, "id"),
        ({**FULL, "changes": ["secret"]}, "changes"),
        ({**FULL, "changes": "secret"}, "changes"),
        ({**FULL, "changedFields": "secret"}, "changedFields"),
        ({**FULL, "changedFields": [1]}, "changedFields"),
        ({**FULL, "occurredAt": "secret"}, "occurredAt"),
        ({**FULL, "occurredAt": 10**30}, "occurredAt"),
        ({**FULL, "occurredAt": True}, "occurredAt"),
        ({**FULL, "deliveryId": 5}, "deliveryId"),
        ({**FULL, "changeOrigin": {}}, "changeOrigin"),
        ({"payload": "secret"}, "payload"),
        ({"payload": {"ChangeEventHeader": "secret"}}, "ChangeEventHeader"),
        ({"ChangeEventHeader": {}}, "entityName"),
        ({"ChangeEventHeader": {"entityName": "Contact"}}, "changeType"),
        ({"ChangeEventHeader": {"entityName": "Contact", "changeType": "a secret"}}, "changeType"),
        (
            {"ChangeEventHeader": {"entityName": "Contact", "changeType": "UPDATE", "recordIds": {}}},
            "recordIds",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_field_and_without_its_value(body: Any, field: str) -> None:
    with pytest.raises(InvalidWebhook) as raised:
        parse(body)
    assert str(raised.value).startswith(f"{field}: ")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"event": "contact.updated", "id": NaN}',
        b'{"event": "contact.updated", "id": "\\ud800"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidWebhook, match="body: not JSON"):
        PROVIDER.webhooks.parse(request(body))


def test_there_is_a_signature_scheme_and_no_handshake() -> None:
    assert PROVIDER.webhooks.signature_preset in PRESETS
    assert PROVIDER.webhooks.handshake(request(json.dumps(FULL).encode())) is None
