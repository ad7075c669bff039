"""Events that an org posts: an Apex callout's own body, or a change event passed on as JSON.

Source of the second: https://developer.salesforce.com/docs/atlas.en-us.change_data_capture.meta/change_data_capture/cdc_event_fields_header.htm
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from castiel.adapters.salesforce.dialect import CLIENT_NAME
from castiel.adapters.salesforce.ids import full_id, is_id
from castiel.domain.messages import Operation
from castiel.domain.model import as_utc
from castiel.domain.strict_json import read_json
from castiel.domain.webhooks import Delivery, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook

DELIVERY_HEADER = "x-castiel-delivery"
_MOST_TEXT = 255
_ENTITY = re.compile(r"[A-Za-z]\w{0,79}", re.ASCII)
_EVENT = re.compile(r"(\w{1,80})\.(\w{1,80})", re.ASCII)
_OURS = re.compile(rf"(?:^|[;,\s])client={CLIENT_NAME}(?:$|[;,/\s])")
_OPERATIONS = {
    "create": Operation.CREATE,
    "created": Operation.CREATE,
    "update": Operation.UPDATE,
    "updated": Operation.UPDATE,
    "undelete": Operation.UPDATE,
    "undeleted": Operation.UPDATE,
    "delete": Operation.DELETE,
    "deleted": Operation.DELETE,
}
_PAST = {"create": "created", "update": "updated", "delete": "deleted", "undelete": "undeleted"}


class SalesforceWebhooks:
    """Reads deliveries whose signature was verified."""

    signature_preset = "salesforce"

    def handshake(self, request: WebhookRequest) -> dict[str, Any] | None:  # noqa: ARG002  (the interface's)
        """Salesforce makes none."""
        return None

    def parse(self, request: WebhookRequest) -> Delivery:
        """Read a delivery. Raises :class:`InvalidWebhook`, which names the field and never its value."""
        body = _object(_json(request.body), "body")
        payload = _object(body["payload"], "payload") if "payload" in body else body
        announced = "ChangeEventHeader" in payload
        events = _change_events(payload) if announced else (_callout_event(body),)
        return Delivery(_delivery_id(body, request), events)


def _callout_event(body: Mapping[str, Any]) -> WebhookEvent:
    name = _text(body, "event", needed=True)
    match = _EVENT.fullmatch(name)
    if match is None:
        raise InvalidWebhook("event: write it as object.verb")
    entity = _entity_of(_text(body, "entity") or match.group(1))
    if not _ENTITY.fullmatch(entity):
        raise InvalidWebhook("entity: not the name of an object")
    external_id = _text(body, "id") or _text(body, "entityId")
    if not external_id:
        raise InvalidWebhook("id: missing")
    return WebhookEvent(
        event_type=name,
        entity=entity,
        external_id=full_id(external_id),
        operation=_OPERATIONS.get(match.group(2).lower()),
        changes=_object(body.get("changes") or {}, "changes"),
        changed_fields=_texts(body, "changedFields"),
        occurred_at=_moment(body, "occurredAt"),
        own_write=bool(_OURS.search(_text(body, "changeOrigin"))),
    )


def _change_events(payload: Mapping[str, Any]) -> tuple[WebhookEvent, ...]:
    """One event for each record of a change; a change that names no record becomes one without an id."""
    header = _object(payload["ChangeEventHeader"], "ChangeEventHeader")
    entity = _text(header, "entityName", needed=True)
    if not _ENTITY.fullmatch(entity):
        raise InvalidWebhook("entityName: not the name of an object")
    # A gap (GAP_UPDATE, …) says that something happened but not what: the record is read again.
    kind = _text(header, "changeType", needed=True).lower()
    if not _ENTITY.fullmatch(kind):
        raise InvalidWebhook("changeType: not a kind of change")
    verb = kind.removeprefix("gap_")
    changes: dict[str, Any] = (
        {} if verb != kind else {n: v for n, v in payload.items() if n != "ChangeEventHeader"}
    )
    ids = [full_id(one) if is_id(one) else None for one in _texts(header, "recordIds")]
    return tuple(
        WebhookEvent(
            event_type=f"{entity.lower()}.{_PAST.get(verb, verb)}",
            entity=entity,
            external_id=external_id,
            operation=_OPERATIONS.get(verb),
            changes=changes,
            changed_fields=_texts(header, "changedFields"),
            occurred_at=_moment(header, "commitTimestamp"),
            own_write=bool(_OURS.search(_text(header, "changeOrigin"))),
        )
        for external_id in ids or [None]
    )


def _entity_of(name: str) -> str:
    """``account`` → ``Account``; custom objects (``Invoice__c``) are named as they are."""
    return name if "__" in name else name[0].upper() + name[1:]


def _delivery_id(body: Mapping[str, Any], request: WebhookRequest) -> str:
    given = _text(body, "deliveryId") or request.headers.get(DELIVERY_HEADER, "")
    return given or hashlib.sha256(request.body).hexdigest()


def _json(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        raise InvalidWebhook("body: not JSON") from None


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidWebhook(f"{name}: an object is needed")
    return value


def _text(body: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    value = body.get(name)
    if value is None or value == "":
        if needed:
            raise InvalidWebhook(f"{name}: missing")
        return ""
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise InvalidWebhook(f"{name}: a text of at most {_MOST_TEXT} characters is needed")
    return value


def _texts(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidWebhook(f"{name}: a list of texts is needed")
    return tuple(value)


def _moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """RFC 3339 text, or milliseconds since 1970."""
    value = body.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
        moment = datetime.fromisoformat(value)
        return as_utc(moment)
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidWebhook(f"{name}: not a time") from None
