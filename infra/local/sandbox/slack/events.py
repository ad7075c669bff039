"""Outgoing events as the Events API posts them, signed with the app's signing secret.

Sources: https://docs.slack.dev/apis/events-api, https://docs.slack.dev/reference/events,
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import Any

from infra.local.sandbox.clock import parse_ms
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.slack.names import APP_ID, BOT_USER_ID, TEAM_ID
from infra.local.sandbox.slack.rows import Rows
from infra.local.sandbox.slack.shapes import channel_shape, message_shape, user_shape
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]

_VERIFICATION = "verification-of-the-sandbox"
_DEFAULT_TYPES = {
    ("User", "create"): "team_join",
    ("User", "update"): "user_change",
    ("User", "delete"): "user_change",
    ("Channel", "create"): "channel_created",
    ("Channel", "update"): "channel_rename",
    ("Channel", "delete"): "channel_archive",
    ("Message", "create"): "message",
    ("Message", "update"): "message_changed",
    ("Message", "delete"): "message_deleted",
}
_PAST = {"created": "create", "updated": "update", "deleted": "delete"}


class Events:
    """Makes bodies and headers from what the workspace holds."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def build(self, options: JsonObject) -> tuple[bytes, dict[str, str]]:
        """Options: entity, id and operation, or `event` with the type's own name; changes (merged into the
        event), deliveryId, occurredAt, teamId, retryNum, retryReason, secret, challenge.

        Raises ControlError.
        """
        body = json.dumps(self._body(options), ensure_ascii=False, separators=(",", ":")).encode()
        now = self._rows.store.clock.now_ms() // 1000
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        if options.get("secret"):
            base = f"v0:{now}:".encode() + body
            digest = hmac.new(str(options["secret"]).encode(), base, hashlib.sha256).hexdigest()
            headers |= {"X-Slack-Request-Timestamp": str(now), "X-Slack-Signature": f"v0={digest}"}
        if "retryNum" in options:
            reason = str(options.get("retryReason", "http_timeout"))
            headers |= {"X-Slack-Retry-Num": str(options["retryNum"]), "X-Slack-Retry-Reason": reason}
        return body, headers

    def _body(self, options: JsonObject) -> JsonObject:
        kind = options.get("event")
        if kind == "url_verification":
            challenge = options.get("challenge", secrets.token_urlsafe(32))
            return {"token": _VERIFICATION, "challenge": challenge, "type": "url_verification"}
        team = options.get("teamId", TEAM_ID)
        now_ms = (
            parse_ms(options["occurredAt"]) if "occurredAt" in options else self._rows.store.clock.now_ms()
        )
        outer = {"token": _VERIFICATION, "team_id": team, "api_app_id": APP_ID}
        if kind == "app_rate_limited":
            return outer | {"type": "app_rate_limited", "minute_rate_limited": now_ms // 60_000 * 60}
        event = self._event(options, f"{now_ms // 1000}.{now_ms % 1000:03d}000") | options.get("changes", {})
        return outer | {
            "event": event,
            "type": "event_callback",
            "event_id": options.get("deliveryId", f"Ev{secrets.token_hex(5).upper()}"),
            "event_time": now_ms // 1000,
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": team,
                    "user_id": BOT_USER_ID,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
        }

    def _event(self, options: JsonObject, event_ts: str) -> JsonObject:
        kind = options.get("event")
        if kind == "tokens_revoked":
            return {
                "type": kind,
                "tokens": options.get("tokens", {"oauth": [], "bot": [BOT_USER_ID]}),
                "event_ts": event_ts,
            }
        if kind == "app_uninstalled":
            return {"type": kind, "event_ts": event_ts}
        entity, record_id = str(options.get("entity", "")), str(options.get("id", ""))
        operation = str(options.get("operation", "update"))
        kind = kind or _DEFAULT_TYPES.get((entity, _PAST.get(operation, operation)))
        record = self._rows.get(entity, record_id)
        if kind is None or record is None:
            raise ControlError("an event needs the entity and id of a record that is there")
        if entity == "User":
            cached = {"cache_ts": record.modified_ms // 1000}
            return {"type": kind, "user": user_shape(record), **cached, "event_ts": event_ts}
        if entity == "Channel":
            return _channel_event(str(kind), record, event_ts)
        return _message_event(str(kind), record, event_ts)


def _channel_event(kind: str, record: Record, event_ts: str) -> JsonObject:
    shape = channel_shape(record)
    if kind.endswith(("_created", "_rename")):
        names = ("id", "name", "is_channel", "name_normalized", "created", "creator", "is_archived")
        return {"type": kind, "channel": {name: shape[name] for name in names}, "event_ts": event_ts}
    actor = {"user": record.data["creator"]} if kind.endswith("archive") else {}
    return {"type": kind, "channel": record.id, **actor, "event_ts": event_ts}


def _message_event(kind: str, record: Record, event_ts: str) -> JsonObject:
    channel, ts = record.data["channel"], record.data["ts"]
    where = {"channel": channel, "channel_type": "channel"}
    if kind == "message":
        return {**message_shape(record), **where, "event_ts": ts}
    before = {n: v for n, v in record.data.items() if n not in ("channel", "edited")}
    hidden = {"type": "message", "subtype": kind, "hidden": True, "ts": event_ts, "event_ts": event_ts}
    if kind == "message_changed":
        return {**hidden, "message": message_shape(record), "previous_message": before, **where}
    return {**hidden, "deleted_ts": ts, "previous_message": before, **where}
