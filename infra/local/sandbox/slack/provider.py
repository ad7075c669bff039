"""The Slack workspace of the sandbox: its routes, and what the control API does to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from infra.local.sandbox.faults import FaultRule, Faults
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.slack.channels import Channels
from infra.local.sandbox.slack.errors import ApiError, ordered
from infra.local.sandbox.slack.events import Events
from infra.local.sandbox.slack.limits import Limits
from infra.local.sandbox.slack.messages import Messages
from infra.local.sandbox.slack.names import ENTITIES, NAME
from infra.local.sandbox.slack.oauth import OAuth
from infra.local.sandbox.slack.rows import Rows, Writer
from infra.local.sandbox.slack.seed import seed_records
from infra.local.sandbox.slack.shapes import channel_shape, message_shape, user_shape
from infra.local.sandbox.slack.tokens import BOT_SCOPE, USER_SCOPE, Tokens
from infra.local.sandbox.slack.users import Users
from infra.local.sandbox.slack.web_api import Gate
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]


class SlackProvider:
    """One workspace with one installed app. See `provider.Provider` for what each method promises."""

    name = NAME
    root_segments: tuple[str, ...] = ()

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults()
        self._tokens = Tokens(store)
        self._limits = Limits(store.clock)
        self._rows = Rows(store, self.faults)
        self._oauth = OAuth(store, self._tokens)
        self._events = Events(self._rows)
        self._gate = Gate(self._tokens, self._limits)
        self._gate.add(
            *Users(self._rows).methods(),
            *Channels(self._rows).methods(),
            *Messages(self._rows, self._tokens, self._limits).methods(),
            *self._oauth.methods(),
        )

    def routes(self) -> list[web.RouteDef]:
        return [
            *self._oauth.routes(),
            web.get("/api/{method}", self._gate.handle),
            web.post("/api/{method}", self._gate.handle),
        ]

    def error_response(self, rule: FaultRule) -> web.Response:
        return ordered(rule.status or 200, rule.code).response()

    def decorate(self, request: web.Request, response: web.StreamResponse) -> None:
        """Slack tells nothing of its quota; there is no header to add."""

    def reset(self) -> None:
        self.store.forget(NAME)
        self._limits.clear()
        self._rows.clear()

    def seed(self, counts: Mapping[str, int], seed: int) -> dict[str, int]:
        return seed_records(self.store, counts, seed)

    def plain(self, entity: str, record_id: str) -> JsonObject | None:
        record = self.store.get(NAME, _known(entity), record_id)
        return _plain(entity, record) if record else None

    def plain_list(self, entity: str, deleted: bool, limit: int, offset: int) -> list[JsonObject]:
        where = "1" if deleted else "deleted=0"
        tail = f"ORDER BY modified_ms, id LIMIT {int(limit)} OFFSET {int(offset)}"
        return [_plain(entity, record) for record in self.store.find(NAME, _known(entity), where, (), tail)]

    def create_record(self, entity: str, fields: JsonObject) -> str:
        with _as_control_error():
            if _known(entity) == "User":
                return self._rows.create_user(dict(fields), Writer()).id
            if entity == "Channel":
                return self._rows.create_channel(fields, Writer()).id
            content = {name: value for name, value in fields.items() if name != "channel"}
            return self._rows.post(str(fields.get("channel", "")), content, Writer()).id

    def edit_record(self, entity: str, record_id: str, fields: JsonObject) -> None:
        with _as_control_error():
            if _known(entity) == "User":
                self._rows.edit_user(record_id, fields, Writer())
            elif entity == "Channel":
                self._rows.edit_channel(record_id, fields, Writer())
            else:
                self._rows.edit_message(record_id, fields, Writer())

    def delete_record(self, entity: str, record_id: str) -> None:
        with _as_control_error():
            self._rows.delete(_known(entity), record_id, Writer())

    def policy(self) -> JsonObject:
        return self._tokens.policy()

    def set_policy(self, changes: JsonObject) -> JsonObject:
        try:
            return self._tokens.set_policy(changes)
        except KeyError as error:
            raise ControlError(f"no setting {error}") from None

    def grant(self, options: JsonObject, base_url: str) -> JsonObject:  # noqa: ARG002  (the protocol's)
        """Options besides the common ones: `userScope`, or `tokenType` user for a user's token at the top."""
        client_id = options.get("clientId", "castiel-local")
        if options.get("tokenType") == "user":
            granted = self._oauth.grant(client_id, "", options.get("scope", USER_SCOPE))
            return {**granted, **granted["authed_user"]}
        return self._oauth.grant(client_id, options.get("scope", BOT_SCOPE), options.get("userScope", ""))

    def expire_access_tokens(self) -> int:
        return self._tokens.expire_sessions()

    def revoke(self, token: str | None) -> int:
        return self._tokens.revoke(token)

    def event(self, options: JsonObject) -> tuple[bytes, dict[str, str]]:
        return self._events.build(options)


def _known(entity: str) -> str:
    if entity not in ENTITIES:
        raise ControlError(f"no entity {entity!r}", 404)
    return entity


def _plain(entity: str, record: Record) -> JsonObject:
    if entity == "Message":
        kept = Record(record.id, record.data, record.created_ms, record.modified_ms)
        shape = message_shape(kept) | {"channel": record.data["channel"]}
    else:
        shape = user_shape(record) if entity == "User" else channel_shape(record)
    return shape | {"id": record.id, "deleted": record.deleted, "modifiedMs": record.modified_ms}


class _as_control_error:  # noqa: N801 — reads as the `with` it is used in
    """Turns the workspace's refusal of an out-of-band write into the control API's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ApiError):
            raise ControlError(error.code) from None
