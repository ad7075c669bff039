"""A webhook as Notion posts it: thin, and signed with the subscription's verification token.

Sources: https://developers.notion.com/reference/webhooks, https://developers.notion.com/reference/webhooks-events-delivery
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any

from infra.local.sandbox.clock import iso_z
from infra.local.sandbox.notion.ids import (
    BOT_ID,
    CONTACTS_DATABASE_ID,
    CONTACTS_ID,
    INTEGRATION_ID,
    PERSON_ID,
    SUBSCRIPTION_ID,
    WORKSPACE_ID,
    WORKSPACE_NAME,
)
from infra.local.sandbox.notion.schema import SOURCES, Source
from infra.local.sandbox.provider import ControlError

JsonObject = dict[str, Any]

_VERBS = {
    "create": "created",
    "created": "created",
    "update": "properties_updated",
    "updated": "properties_updated",
    "delete": "deleted",
    "deleted": "deleted",
    "undelete": "undeleted",
    "undeleted": "undeleted",
}


def build_event(options: JsonObject, now_ms: int, source_id: str | None) -> tuple[bytes, dict[str, str]]:
    """Body and headers. Options: entity, id, operation or event, changes (properties by name), authors
    (["person", "bot"]), deliveryId, occurredAt, secret, apiVersion; or verificationToken alone, which is sent
    unsigned as a new subscription's first delivery is. Raises ControlError when entity or id is missing.
    """
    if options.get("verificationToken"):
        return _sent({"verification_token": options["verificationToken"]}, None)
    if not options.get("entity") or not options.get("id"):
        raise ControlError("an event needs an entity and an id")
    entity = str(options["entity"]).lower()
    verb = _VERBS.get(str(options.get("operation", "updated")), str(options.get("operation")))
    kind = options.get("event") or f"{entity}.{verb}"
    source = SOURCES.get(options.get("dataSource") or source_id or CONTACTS_ID)
    event: JsonObject = {
        "id": options.get("deliveryId") or str(uuid.uuid4()),
        "timestamp": options.get("occurredAt") or iso_z(now_ms),
        "workspace_id": WORKSPACE_ID,
        "workspace_name": WORKSPACE_NAME,
        "subscription_id": SUBSCRIPTION_ID,
        "integration_id": INTEGRATION_ID,
        "type": kind,
        "authors": [_author(one) for one in options.get("authors", ["person"])],
        "accessible_by": [{"id": PERSON_ID, "type": "person"}, {"id": BOT_ID, "type": "bot"}],
        "attempt_number": int(options.get("attempt", 1)),
        "api_version": options.get("apiVersion", "2025-09-03"),
        "entity": {"id": options["id"], "type": kind.split(".")[0]},
        "data": _data(kind, options, source),
    }
    return _sent(event, options.get("secret"))


def _data(kind: str, options: JsonObject, source: Source | None) -> JsonObject:
    parent: JsonObject = {"id": CONTACTS_DATABASE_ID, "type": "database"}
    if source is not None:
        parent = {"id": source.database_id, "type": "database", "data_source_id": source.id}
    data: JsonObject = {"parent": parent}
    changed = list(options.get("changedFields") or options.get("changes") or ())
    if kind.endswith("content_updated"):
        data["updated_blocks"] = options.get("updatedBlocks", [])
    if kind.endswith("properties_updated"):
        found = [source.find(name) if source else None for name in changed]
        data["updated_properties"] = [prop.id for prop in found if prop]
    return data


def _author(kind: str) -> JsonObject:
    return {"id": BOT_ID if kind == "bot" else PERSON_ID, "type": "bot" if kind == "bot" else "person"}


def _sent(event: JsonObject, secret: Any) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "notion-api"}
    if secret:
        digest = hmac.new(str(secret).encode(), body, hashlib.sha256).hexdigest()
        headers["X-Notion-Signature"] = f"sha256={digest}"
    return body, headers
