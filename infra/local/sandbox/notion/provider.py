"""The Notion workspace of the sandbox: its routes, and what the control API does to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from infra.local.sandbox.faults import FaultRule, Faults
from infra.local.sandbox.notion.errors import ApiError, ordered
from infra.local.sandbox.notion.events import build_event
from infra.local.sandbox.notion.ids import CONTACTS_ID, NAME, canonical_id
from infra.local.sandbox.notion.oauth import OAuth
from infra.local.sandbox.notion.pages import PAGE, Pages, Writer
from infra.local.sandbox.notion.query import Queries
from infra.local.sandbox.notion.rendering import content_of, plain_text
from infra.local.sandbox.notion.rest import Rest
from infra.local.sandbox.notion.schema import SOURCES, Source
from infra.local.sandbox.notion.seed import seed_records
from infra.local.sandbox.notion.tokens import Tokens
from infra.local.sandbox.notion.validation import cleaned, plain_to_content
from infra.local.sandbox.notion.web_api import Gate
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]


class NotionProvider:
    """One workspace with one bot. See `provider.Provider` for what each method promises."""

    name = NAME
    root_segments: tuple[str, ...] = ()

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults()
        self._tokens = Tokens(store)
        self._oauth = OAuth(store, self._tokens)
        self._gate = Gate(self._tokens, store.clock)
        self._pages = Pages(store, self.faults)
        self._queries = Queries(store)

    def routes(self) -> list[web.RouteDef]:
        rest = Rest(self._pages, self._queries, self._tokens)
        return [
            *self._oauth.routes(),
            *rest.routes(self._gate),
            web.route("*", "/v1/{rest:.*}", _no_such_url),
        ]

    def error_response(self, rule: FaultRule) -> web.Response:
        return ordered(rule.status, rule.code, rule.message).response()

    def decorate(self, request: web.Request, response: web.StreamResponse) -> None:
        """Notion says nothing of its quota."""

    def reset(self) -> None:
        self.store.forget(NAME)
        self._queries.clear()
        self._gate.reset()

    def seed(self, counts: Mapping[str, int], seed: int) -> dict[str, int]:
        return seed_records(self.store, counts, seed)

    def plain(self, entity: str, record_id: str) -> JsonObject | None:
        _check(entity)
        record = self.store.get(NAME, PAGE, canonical_id(record_id) or "")
        return _plain(record) if record else None

    def plain_list(self, entity: str, deleted: bool, limit: int, offset: int) -> list[JsonObject]:
        _check(entity)
        where = "1" if deleted else "deleted=0"
        tail = f"ORDER BY modified_ms, id LIMIT {int(limit)} OFFSET {int(offset)}"
        return [_plain(record) for record in self.store.find(NAME, PAGE, where, (), tail)]

    def create_record(self, entity: str, fields: JsonObject) -> str:
        _check(entity)
        source_id = canonical_id(fields.pop("dataSource", CONTACTS_ID))
        if source_id not in SOURCES:
            raise ControlError("no such data source", 404)
        source = SOURCES[source_id]
        with _as_control_error():
            return self._pages.create(source, _values(source, fields), Writer()).id

    def edit_record(self, entity: str, record_id: str, fields: JsonObject) -> None:
        """`inTrash: false` takes a page out of the trash again."""
        _check(entity)
        trashed = fields.pop("inTrash", None)
        with _as_control_error():
            source = self._pages.source_of(self._pages.read(record_id))
            self._pages.update(record_id, _values(source, fields), Writer(), trashed)

    def delete_record(self, entity: str, record_id: str) -> None:
        _check(entity)
        with _as_control_error():
            self._pages.update(record_id, {}, Writer(), trashed=True)

    def policy(self) -> JsonObject:
        return self._tokens.policy()

    def set_policy(self, changes: JsonObject) -> JsonObject:
        try:
            policy = self._tokens.set_policy(changes)
        except KeyError as error:
            raise ControlError(f"no setting {error}") from None
        if policy["cursorSeconds"] == 0:
            self._queries.clear()
        return policy

    def grant(self, options: JsonObject, base_url: str) -> JsonObject:  # noqa: ARG002
        client_id = options.get("clientId", "castiel-local")
        return self._oauth.answer(self._tokens.grant(client_id, options.get("refreshToken")))

    def expire_access_tokens(self) -> int:
        return self._tokens.expire_sessions()

    def revoke(self, token: str | None) -> int:
        return self._tokens.revoke_all() if token is None else int(self._tokens.revoke(token))

    def event(self, options: JsonObject) -> tuple[bytes, dict[str, str]]:
        record = self.store.get(NAME, PAGE, canonical_id(options.get("id")) or "")
        source_id = record.data["source"] if record else None
        return build_event(options, self.store.clock.now_ms(), source_id)


async def _no_such_url(_request: web.Request) -> web.Response:
    return ApiError("invalid_request_url").response()


def _check(entity: str) -> None:
    if entity != PAGE:
        raise ControlError(f"no entity {entity!r}; there is {PAGE}", 404)


def _values(source: Source, fields: JsonObject) -> JsonObject:
    """What a person typed, as it is stored. Raises ApiError."""
    given = {
        name: plain_to_content(prop, value) if (prop := source.find(name)) else {}
        for name, value in fields.items()
    }
    return cleaned(source, [], given)


def _plain(record: Record) -> JsonObject:
    source = SOURCES[record.data["source"]]
    fields = {prop.name: _plain_value(content_of(record, prop)) for prop in source.properties}
    return fields | {
        "id": record.id,
        "dataSource": source.id,
        "deleted": record.deleted,
        "modifiedMs": record.modified_ms,
    }


def _plain_value(content: Any) -> Any:
    if isinstance(content, dict):
        return content.get("name") or content.get("start") or content.get("number") or content.get("string")
    if isinstance(content, list) and content and "plain_text" in content[0]:
        return plain_text(content)
    if isinstance(content, list):
        return [one.get("name") or one.get("id") for one in content]
    return content


class _as_control_error:  # noqa: N801 — reads as the `with` it is used in
    """Turns the workspace's refusal of an out-of-band write into the control API's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ApiError):
            raise ControlError(f"{error.code}: {error.message}", error.status) from None
