"""Events that GitHub posts.

Sources: https://docs.github.com/en/webhooks/webhook-events-and-payloads,
…/webhooks/using-webhooks/best-practices-for-using-webhooks
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from castiel.adapters.github.ids import ItemId
from castiel.adapters.github.marker import without_marks
from castiel.adapters.github.moments import parse_moment
from castiel.adapters.github.records import ISSUE, PULL_REQUEST, REPOSITORY
from castiel.domain.messages import Operation
from castiel.domain.strict_json import read_json
from castiel.domain.webhooks import Delivery, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook, MalformedResponse

Json = Mapping[str, Any]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")
_DELIVERY_ID = re.compile(r"[\w-]{1,128}", re.ASCII)
_FORM = "application/x-www-form-urlencoded"

_OPERATIONS = {
    "opened": Operation.CREATE,
    "created": Operation.CREATE,
    "deleted": Operation.DELETE,
    "transferred": Operation.DELETE,
}
"""Of issues, pull requests and repositories; every other action is an update. A transferred repository keeps its id."""

_CHANGED: dict[str, tuple[str, ...]] = {
    "closed": ("state", "state_reason", "closed_at"),
    "reopened": ("state", "state_reason", "closed_at"),
    "labeled": ("labels",),
    "unlabeled": ("labels",),
    "assigned": ("assignees",),
    "unassigned": ("assignees",),
    "milestoned": ("milestone",),
    "demilestoned": ("milestone",),
    "locked": ("locked",),
    "unlocked": ("locked",),
    "converted_to_draft": ("draft",),
    "ready_for_review": ("draft",),
    "synchronize": ("head",),
    "renamed": ("name", "full_name", "html_url"),
    "archived": ("archived",),
    "unarchived": ("archived",),
    "publicized": ("private", "visibility"),
    "privatized": ("private", "visibility"),
}
"""What an action changed, where its ``changes`` don't say."""

_LIFECYCLE = {
    ("installation", "deleted"): "uninstalled",
    ("installation", "suspend"): "suspended",
    ("installation", "unsuspend"): "resumed",
    ("github_app_authorization", "revoked"): "revoked",
}


class GitHubWebhooks:
    """Reads deliveries whose signature was verified.

    GitHub sends none again by itself: a receiver that was away has to ask for the failed ones, or sync.
    """

    signature_preset = "github"

    def handshake(self, request: WebhookRequest) -> dict[str, Any] | None:
        """The answer to ``ping``, which GitHub sends when a webhook is made."""
        return {"success": True, "event": "ping"} if _event(request) == "ping" else None

    def parse(self, request: WebhookRequest) -> Delivery:
        """Read a delivery. Raises :class:`InvalidWebhook`, which names the field and never its value."""
        delivery_id = request.headers.get("x-github-delivery", "")
        if not _DELIVERY_ID.fullmatch(delivery_id):
            raise InvalidWebhook("X-GitHub-Delivery: missing, or not an id")
        event = _event(request)
        body = _body(request)
        action = body.get("action")
        if action is not None and (not isinstance(action, str) or not _NAME.fullmatch(action)):
            raise InvalidWebhook("action: not the name of one")
        read = _READERS.get(event, _other)
        return Delivery(delivery_id, read(body, event, action or "", request.settings))


def _issue(body: Json, event: str, action: str, settings: Json) -> tuple[WebhookEvent, ...]:
    found = _item(body, event, action, settings, ISSUE, _object(body, "issue"))
    changes = body.get("changes")
    if action != "transferred" or not isinstance(changes, dict) or "new_issue" not in changes:
        return (found,)
    # It lives on in another repository, under another number: a new record.
    moved = {**body, "repository": _object(changes, "new_repository"), "changes": None}
    return found, _item(moved, event, "opened", settings, ISSUE, _object(changes, "new_issue"))


def _pull_request(body: Json, event: str, action: str, settings: Json) -> tuple[WebhookEvent, ...]:
    return (_item(body, event, action, settings, PULL_REQUEST, _object(body, "pull_request")),)


def _item(body: Json, event: str, action: str, settings: Json, entity: str, raw: Json) -> WebhookEvent:
    repository = _integer(_object(body, "repository"), "id")
    external_id = str(ItemId(repository, _integer(raw, "number")))
    record = {**raw, "body": without_marks(raw["body"])} if isinstance(raw.get("body"), str) else raw
    operation = _OPERATIONS.get(action, Operation.UPDATE)
    return _record_event(body, event, action, settings, entity, external_id, operation, record)


def _repository(body: Json, event: str, action: str, settings: Json) -> tuple[WebhookEvent, ...]:
    raw = _object(body, "repository")
    operation = Operation.UPDATE if action == "transferred" else _OPERATIONS.get(action, Operation.UPDATE)
    external_id = str(_integer(raw, "id"))
    return (_record_event(body, event, action, settings, REPOSITORY, external_id, operation, raw),)


def _record_event(
    body: Json,
    event: str,
    action: str,
    settings: Json,
    entity: str,
    external_id: str,
    operation: Operation,
    raw: Json,
) -> WebhookEvent:
    fields = _changed_fields(body, action) if operation is Operation.UPDATE else ()
    return WebhookEvent(
        event_type=f"{event}.{action}",
        entity=entity,
        external_id=external_id,
        operation=operation,
        changes={name: raw[name] for name in fields if name in raw},
        changed_fields=fields,
        occurred_at=_moment(raw.get("updated_at")),
        own_write=_is_own(body, settings),
    )


def _other(body: Json, event: str, action: str, settings: Json) -> tuple[WebhookEvent, ...]:
    """An event about the connection itself, or about nothing that is synced."""
    lifecycle = _LIFECYCLE.get((event, action))
    ours = settings.get("installationId")
    if event == "github_app_authorization" and ours:
        # A person's own: an installation's tokens are signed for by the app.
        lifecycle = None
    # An app has one webhook for all its installations.
    another = event == "installation" and lifecycle and ours
    if another and str(ours) != str(_integer(_object(body, "installation"), "id")):
        lifecycle = None
    return (WebhookEvent(event_type=f"{event}.{action}" if action else event, lifecycle=lifecycle),)


_Reader = Callable[[Json, str, str, Json], tuple[WebhookEvent, ...]]
_READERS: Mapping[str, _Reader] = {
    "issues": _issue,
    "pull_request": _pull_request,
    "repository": _repository,
}


def _changed_fields(body: Json, action: str) -> tuple[str, ...]:
    changes = body.get("changes")
    return _CHANGED.get(action) or (tuple(changes) if isinstance(changes, dict) else ())


def _is_own(body: Json, settings: Json) -> bool:
    """Whether our app's bot did it. What a person's token writes can't be told from the person."""
    sender, slug = body.get("sender"), settings.get("appSlug")
    if not slug or not isinstance(sender, dict):
        return False
    return sender.get("type") == "Bot" and sender.get("login") == f"{slug}[bot]"


def _event(request: WebhookRequest) -> str:
    name = request.headers.get("x-github-event", "")
    if not _NAME.fullmatch(name):
        raise InvalidWebhook("X-GitHub-Event: missing, or not the name of an event")
    return name


def _body(request: WebhookRequest) -> Json:
    text = request.body
    if request.headers.get("content-type", "").split(";")[0].strip().lower() == _FORM:
        try:
            text = parse_qs(text.decode(), strict_parsing=True, max_num_fields=10)["payload"][0].encode()
        except (ValueError, KeyError):
            raise InvalidWebhook("payload: missing in the form") from None
    try:
        body = read_json(text)
    except ValueError:
        raise InvalidWebhook("body: not JSON") from None
    if not isinstance(body, dict):
        raise InvalidWebhook("body: an object is needed")
    return body


def _object(body: Json, name: str) -> dict[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise InvalidWebhook(f"{name}: an object is needed")
    return value


def _integer(body: Json, name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidWebhook(f"{name}: a number is needed")
    return value


def _moment(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_moment(text)
    except MalformedResponse:
        raise InvalidWebhook("updated_at: not a time") from None
