"""Webhooks as GitHub posts them.

Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads, https://github.com/octokit/webhooks
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any
from urllib.parse import urlencode

from infra.local.sandbox.github.hooks import hook_secret
from infra.local.sandbox.github.showing import Showing
from infra.local.sandbox.github.tokens import INSTALLATION_ID, USER
from infra.local.sandbox.github.world import BOT, ISSUE, PULL_REQUEST, REPOSITORY, World
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]
_API = "https://api.github.com"
_EVENTS = {ISSUE: "issues", PULL_REQUEST: "pull_request", REPOSITORY: "repository"}
_ACTIONS = {
    ISSUE: {"created": "opened", "updated": "edited", "deleted": "deleted"},
    PULL_REQUEST: {"created": "opened", "updated": "edited", "deleted": "closed"},
    REPOSITORY: {"created": "created", "updated": "edited", "deleted": "deleted"},
}
_VERBS = {"create": "created", "update": "updated", "delete": "deleted"}


def build_event(options: JsonObject, world: World, record: Record | None) -> tuple[bytes, dict[str, str]]:
    """Body and headers.

    Options: entity with id and operation (or GitHub's own action), or event (``ping``, ``installation``,
    ``github_app_authorization``) with action; changes ({field: old value}), own (the app's bot did it), secret
    (or hookId: signed with that hook's), deliveryId, form (post it as a form).
    """
    event = options.get("event") or _EVENTS.get(options.get("entity", ""))
    if event is None:
        raise ControlError("an event needs an entity and an id, or an event")
    showing = Showing(world)
    payload = _payload(str(event), options, world, record)
    payload["sender"] = showing.user(_API, BOT if options.get("own") else USER)
    body = json.dumps(payload, ensure_ascii=False).encode()
    content_type = "application/json"
    if options.get("form"):
        body = urlencode({"payload": body.decode()}).encode()
        content_type = "application/x-www-form-urlencoded"
    headers = {
        "Accept": "*/*",
        "Content-Type": content_type,
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": str(options.get("deliveryId") or uuid.uuid4()),
        "X-GitHub-Event": str(event),
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "29310",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
    }
    secret = options.get("secret") or hook_secret(world.store, options.get("hookId"))
    if secret:
        key = str(secret).encode()
        headers["X-Hub-Signature"] = f"sha1={hmac.new(key, body, hashlib.sha1).hexdigest()}"
        headers["X-Hub-Signature-256"] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
    return body, headers


def _payload(event: str, options: JsonObject, world: World, record: Record | None) -> JsonObject:
    if event == "ping":
        return {"zen": "Responsive is better than fast.", "hook_id": 292430182, "hook": {"type": "App"}}
    if event == "installation":
        installation = {"id": INSTALLATION_ID, "app_id": 29310, "app_slug": "castiel-sync"}
        return {"action": options.get("action", "deleted"), "installation": installation}
    if event == "github_app_authorization":
        return {"action": "revoked"}
    if record is None:
        raise ControlError("an event needs an entity and the id of a record")
    showing, entity = Showing(world), str(options["entity"])
    verb = _VERBS.get(str(options.get("operation", "update")), str(options.get("operation")))
    payload: JsonObject = {
        "action": options.get("action") or _ACTIONS[entity].get(verb, "edited"),
        "installation": {"id": INSTALLATION_ID, "node_id": "MDIzOkludGVncmF0aW9u"},
    }
    if options.get("changes"):
        payload["changes"] = {name: {"from": old} for name, old in options["changes"].items()}
    if entity == REPOSITORY:
        return payload | {"repository": showing.repository(_API, record)}
    repository = world.repository(record.data["repo"])
    shown = (
        {"issue": showing.issue(_API, ISSUE, record)}
        if entity == ISSUE
        else {"number": record.data["number"], "pull_request": showing.pull(_API, record, whole=True)}
    )
    return payload | shown | {"repository": showing.repository(_API, repository)}
