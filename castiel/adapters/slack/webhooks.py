"""Events that Slack posts to the app's request URL.

Sources: https://docs.slack.dev/apis/events-api, https://docs.slack.dev/reference/events,
https://docs.slack.dev/reference/events/url_verification, …/events/app_rate_limited
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from castiel.adapters.slack.ids import is_channel_id, is_ts, is_user_id, message_id
from castiel.adapters.slack.moments import moment_of_number, moment_of_ts
from castiel.adapters.slack.records import is_own, is_said
from castiel.adapters.slack.texts import plain
from castiel.domain.messages import Operation
from castiel.domain.strict_json import read_json
from castiel.domain.webhooks import Delivery, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook

_MOST_TEXT = 255
_MOST_CHALLENGE = 1024
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,79}", re.ASCII)

_LIFECYCLE = {"app_uninstalled": "uninstalled", "tokens_revoked": "revoked"}
_CHANNEL_OPERATIONS = {
    "created": Operation.CREATE,
    "rename": Operation.UPDATE,
    "unarchive": Operation.UPDATE,
    "shared": Operation.UPDATE,
    "unshared": Operation.UPDATE,
    "archive": Operation.DELETE,
    "deleted": Operation.DELETE,
}
_USER_OPERATIONS = {"team_join": Operation.CREATE, "user_change": Operation.UPDATE}
_EDITS = {"message_changed": Operation.UPDATE, "message_deleted": Operation.DELETE}


class SlackWebhooks:
    """Reads deliveries whose signature was verified."""

    signature_preset = "slack"

    def handshake(self, request: WebhookRequest) -> dict[str, Any] | None:
        """The challenge of a ``url_verification``, and of nothing else that happens to carry one."""
        try:
            body = read_json(request.body)
        except ValueError:
            return None
        if not isinstance(body, dict) or body.get("type") != "url_verification":
            return None
        if set(body) - {"token", "challenge", "type"}:
            return None
        challenge = body.get("challenge")
        if not isinstance(challenge, str) or not 0 < len(challenge) <= _MOST_CHALLENGE:
            return None
        return {"challenge": challenge}

    def parse(self, request: WebhookRequest) -> Delivery:
        """Read a delivery. Raises :class:`InvalidWebhook`, which names the field and never its value."""
        body = _object(_json(request.body), "body")
        kind = _text(body, "type", needed=True)
        if kind == "app_rate_limited":
            # Slack holds events back: what was missed is found by the next pass.
            moment = body.get("minute_rate_limited")
            event = WebhookEvent(kind, occurred_at=moment_of_number(moment))
            return Delivery(_fingerprint(request), (event,))
        if kind != "event_callback":
            raise InvalidWebhook("type: event_callback is needed")
        event = _event(body, request.settings)
        return Delivery(_text(body, "event_id") or _fingerprint(request), (event,))


def _event(body: Mapping[str, Any], settings: Mapping[str, Any]) -> WebhookEvent:
    event = _object(body.get("event"), "event")
    kind = _text(event, "type", needed=True)
    if not _TYPE.fullmatch(kind):
        raise InvalidWebhook("event.type: not the name of an event")
    when = moment_of_ts(event["event_ts"]) if "event_ts" in event else None
    when = when or moment_of_number(body.get("event_time"))
    if not _is_ours(body, settings):
        return WebhookEvent(kind, occurred_at=when)
    if kind in _LIFECYCLE:
        dead = kind != "tokens_revoked" or _concerns_us(event, settings)
        return WebhookEvent(kind, occurred_at=when, lifecycle=_LIFECYCLE[kind] if dead else None)
    if kind == "message":
        return _message(event, when, settings)
    if kind in _USER_OPERATIONS:
        return _user(kind, event, when)
    family, _, verb = kind.partition("_")
    if family in ("channel", "group") and verb in _CHANNEL_OPERATIONS:
        return _channel(kind, verb, event, when)
    return WebhookEvent(kind, occurred_at=when)


def _is_ours(body: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether the event is of the connection's workspace; in shared channels several take part in one."""
    wanted = settings.get("teamId")
    if not wanted:
        return True
    authorizations = body.get("authorizations")
    shown = authorizations if isinstance(authorizations, list) else []
    teams = [body.get("team_id"), body.get("context_team_id")]
    teams += [one.get("team_id") for one in shown if isinstance(one, dict)]
    return wanted in teams


def _concerns_us(event: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether the revoked tokens are of our kind: a person's own token is no concern of the bot's."""
    tokens = event.get("tokens")
    kind = "oauth" if settings.get("tokenType") == "user" else "bot"
    return not isinstance(tokens, dict) or bool(tokens.get(kind))


def _user(kind: str, event: Mapping[str, Any], when: Any) -> WebhookEvent:
    user = _object(event.get("user"), "event.user")
    operation = Operation.DELETE if user.get("deleted") is True else _USER_OPERATIONS[kind]
    return WebhookEvent(
        kind,
        entity="User",
        external_id=_id(user, "id", is_user_id),
        operation=operation,
        changes=user,
        occurred_at=when,
    )


def _channel(kind: str, verb: str, event: Mapping[str, Any], when: Any) -> WebhookEvent:
    """``channel`` is an object in some events and its id alone in others."""
    given = event.get("channel")
    channel = given if isinstance(given, dict) else {"id": given}
    return WebhookEvent(
        kind,
        entity="Channel",
        external_id=_id(channel, "id", is_channel_id),
        operation=_CHANNEL_OPERATIONS[verb],
        changes=channel if isinstance(given, dict) else {},
        changed_fields=("name",) if verb == "rename" else (),
        occurred_at=when,
    )


def _message(event: Mapping[str, Any], when: Any, settings: Mapping[str, Any]) -> WebhookEvent:
    subtype = _text(event, "subtype")
    if subtype and not _TYPE.fullmatch(subtype):
        raise InvalidWebhook("event.subtype: not the name of a subtype")
    kind = f"message.{subtype}" if subtype else "message"
    operation = _EDITS.get(subtype, Operation.CREATE)
    if operation is Operation.DELETE:
        message: Mapping[str, Any] = {"ts": event.get("deleted_ts")}
    else:
        message = _object(event.get("message"), "event.message") if subtype in _EDITS else event
    if not is_said(message):
        return WebhookEvent(kind, occurred_at=when)
    channel, ts = _id(event, "channel", is_channel_id), _id(message, "ts", is_ts)
    # Under a thread that remains, a deleted message turns into a tombstone.
    if message.get("subtype") == "tombstone":
        operation = Operation.DELETE
    text = message.get("text")
    return WebhookEvent(
        kind,
        entity="Message",
        external_id=message_id(channel, ts),
        operation=operation,
        changes={"text": plain(text)} if isinstance(text, str) and operation is not Operation.DELETE else {},
        changed_fields=("text",) if operation is Operation.UPDATE else (),
        occurred_at=when,
        # Who deleted a message isn't said; an edit is always its author's.
        own_write=operation is not Operation.DELETE and is_own(settings, message),
    )


def _fingerprint(request: WebhookRequest) -> str:
    return hashlib.sha256(request.body).hexdigest()


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


def _id(body: Mapping[str, Any], name: str, fits: Callable[[str], bool]) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not fits(found):
        raise InvalidWebhook(f"{name}: not an id")
    return found
