"""The commission's JSON examples round-trip exactly."""

from __future__ import annotations

from typing import Any

import pytest

from castiel.domain.messages import OutboundMessage, SyncMessage, parse_inbound, parse_outbound
from castiel.domain.model import Model
from castiel.domain.results import PushResult, RefreshResult, SyncResult
from castiel.domain.tasks import SyncTask
from castiel.errors import InvalidMessage

TASK = {
    "id": "sync-001",
    "integrationId": "salesforce",
    "tenantId": "tenant-1",
    "connectionId": "conn-sf-001",
    "syncMode": "pull",
    "priority": "normal",
    "status": "pending",
    "nextScheduled": "2025-12-10T14:00:00Z",
    "enabled": True,
    "type": "scheduled",
}
MESSAGE = {
    "integrationId": "salesforce",
    "tenantId": "tenant-1",
    "connectionId": "conn-sf-001",
    "syncMode": "pull",
    "priority": "normal",
    "correlationId": "exec-123",
    "enqueuedAt": "2025-12-10T13:00:00Z",
    "taskId": "sync-001",
}
RESULT = {
    "id": "result-sf-20251210-120000",
    "integrationId": "salesforce",
    "tenantId": "tenant-1",
    "status": "success",
    "recordsProcessed": 250,
    "recordsCreated": 125,
    "recordsUpdated": 125,
    "recordsFailed": 0,
    "conflictsDetected": 5,
    "conflictsResolved": 5,
    "duration": 2850,
    "executedAt": "2025-12-10T13:01:30Z",
    "ttl": 2592000,
}
PUSH_RESULT = {
    "id": "outbound-entity-001-1733844090000",
    "integrationId": "salesforce",
    "tenantId": "tenant-1",
    "entityId": "entity-001",
    "externalId": "sf-0012K00001IZ3QQA",
    "operation": "create",
    "success": True,
    "duration": 450,
    "executedAt": "2025-12-10T13:01:30Z",
    "ttl": 2592000,
}
REFRESH = {
    "credentialId": "cred-sf-001",
    "tenantId": "tenant-1",
    "integrationId": "salesforce",
    "success": True,
    "newExpiryTime": "2025-12-10T20:00:00Z",
    "duration": 350,
}


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (SyncTask, TASK),
        (SyncMessage, MESSAGE),
        (SyncResult, RESULT),
        (PushResult, PUSH_RESULT),
        (RefreshResult, REFRESH),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_example_round_trips(model: type[Model], example: dict[str, Any]) -> None:
    assert model.model_validate(example).to_json() == example


def test_unknown_fields_survive_a_read_modify_write() -> None:
    task = SyncTask.model_validate({**TASK, "owner": {"team": "crm"}, "note": None, "_etag": '"1"', "_ts": 1})
    task.enabled = False
    written = task.to_json()
    assert written["owner"] == {"team": "crm"}
    assert written["note"] is None
    assert written["enabled"] is False
    assert task.etag == '"1"'
    assert not any(name.startswith("_") for name in written)


def test_a_list_changed_in_place_is_written() -> None:
    task = SyncTask.model_validate(TASK)
    task.entities.append("Account")
    assert task.to_json()["entities"] == ["Account"]


def test_outbound_tells_a_change_from_an_execution() -> None:
    execution = parse_outbound(SyncMessage.model_validate(MESSAGE).to_json_text().encode())
    change = parse_outbound(
        b'{"tenantId":"t","integrationId":"salesforce","connectionId":"c","entityId":"contact-1",'
        b'"operation":"update","correlationId":"x","enqueuedAt":"2025-12-10T13:00:00Z"}'
    )
    assert isinstance(execution, SyncMessage)
    assert isinstance(change, OutboundMessage)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"tenantId": 1}', b"\xff\xfe"])
def test_malformed_messages_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        parse_inbound(body)
    with pytest.raises(InvalidMessage):
        parse_outbound(body)


def test_a_refused_message_names_fields_but_no_values() -> None:
    with pytest.raises(InvalidMessage) as caught:
        parse_inbound(b'{"tenantId": "very-private", "syncMode": "very-private"}')
    assert "integrationId" in str(caught.value)
    assert "syncMode" in str(caught.value)
    assert "very-private" not in str(caught.value)
