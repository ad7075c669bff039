"""An outgoing event as an Apex callout of the org would post it, signed over the body."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any

from infra.local.sandbox.clock import iso_z
from infra.local.sandbox.provider import ControlError

JsonObject = dict[str, Any]

_DEFAULT_HEADER = "X-Salesforce-Content-SHA256"


def build_event(options: JsonObject, now_ms: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers. Options: entity, id, operation or event, changes, changedFields, deliveryId, secret, header.

    Raises ControlError when entity or id is missing.
    """
    if not options.get("entity") or not options.get("id"):
        raise ControlError("an event needs an entity and an id")
    changes = options.get("changes", {})
    event = {
        "deliveryId": options.get("deliveryId", str(uuid.uuid4())),
        "event": options.get("event", f"{options['entity'].lower()}.{options.get('operation', 'updated')}"),
        "entity": options["entity"],
        "id": options["id"],
        "changedFields": options.get("changedFields", list(changes)),
        "occurredAt": options.get("occurredAt", iso_z(now_ms)),
        "changes": changes,
    }
    body = json.dumps(event, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "SFDC-Callout/62.0"}
    if options.get("secret"):
        signature = hmac.new(str(options["secret"]).encode(), body, hashlib.sha256).hexdigest()
        headers[options.get("header", _DEFAULT_HEADER)] = signature
    return body, headers
