"""The REST endpoints: users, databases, data sources and pages.

Sources: https://developers.notion.com/reference/post-page, …/patch-page, …/retrieve-a-page,
…/retrieve-a-page-property, …/retrieve-a-data-source, …/get-self
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from infra.local.sandbox.notion import rendering
from infra.local.sandbox.notion.errors import ApiError, invalid, not_found
from infra.local.sandbox.notion.ids import BOT_ID, canonical_id
from infra.local.sandbox.notion.pages import BOT, Pages
from infra.local.sandbox.notion.query import Queries
from infra.local.sandbox.notion.schema import SOURCES, Source
from infra.local.sandbox.notion.tokens import Tokens
from infra.local.sandbox.notion.validation import cleaned
from infra.local.sandbox.notion.web_api import Call, Gate
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]

_CREATE = frozenset({"parent", "properties", "icon", "cover", "children", "content", "template", "position"})
_UPDATE = frozenset(
    {"properties", "icon", "cover", "is_locked", "in_trash", "archived", "erase_content", "template"}
)
_PAGINATED = frozenset({"title", "rich_text", "relation", "people"})


class Rest:
    """Handlers over the workspace's pages."""

    def __init__(self, pages: Pages, queries: Queries, tokens: Tokens) -> None:
        self._pages = pages
        self._queries = queries
        self._tokens = tokens

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        return [
            gate.route("GET", "/users", self._users),
            gate.route("GET", "/users/me", self._me),
            gate.route("GET", "/users/{user_id}", self._user),
            gate.route("GET", "/databases/{database_id}", self._database),
            gate.route("GET", "/data_sources/{data_source_id}", self._data_source),
            gate.route("POST", "/data_sources/{data_source_id}/query", self._query),
            gate.route("POST", "/pages", self._create),
            gate.route("GET", "/pages/{page_id}", self._page),
            gate.route("PATCH", "/pages/{page_id}", self._update),
            # The property's id is URL-encoded in itself, and the path's decoding must not undo that.
            gate.route("GET", "/pages/{page_id}/properties/{property_id}", self._property),
        ]

    async def _users(self, _call: Call) -> JsonObject:
        return _listed(rendering.people(), "user")

    async def _me(self, _call: Call) -> JsonObject:
        return rendering.user(BOT_ID) or {}

    async def _user(self, call: Call) -> JsonObject:
        user_id = call.id("user_id")
        found = rendering.user(user_id)
        if found is None:
            raise not_found("user", user_id)
        return found

    async def _database(self, call: Call) -> JsonObject:
        wanted = call.id("database_id")
        source = next((source for source in SOURCES.values() if source.database_id == wanted), None)
        if source is None:
            raise not_found("database", wanted)
        return rendering.database(source, call.version)

    async def _data_source(self, call: Call) -> JsonObject:
        source = _source(call.id("data_source_id"))
        return rendering.data_source(source, call.version, self._hidden, self._pages.options())

    async def _query(self, call: Call) -> JsonObject:
        source, body = _source(call.id("data_source_id")), await call.json()
        return self._queries.run(source, body, call.version, self._tokens.policy())

    async def _create(self, call: Call) -> JsonObject:
        body = await call.json()
        _only(body, _CREATE, call.version)
        parent = body.get("parent")
        if not isinstance(parent, dict):
            raise invalid("body.parent", "should be defined", parent)
        source_id = canonical_id(parent.get("data_source_id"))
        if source_id is None:
            raise invalid(
                "body.parent.data_source_id", "should be a valid uuid", parent.get("data_source_id")
            )
        values = cleaned(_source(source_id), self._hidden, _properties(body))
        return self._shown(self._pages.create(_source(source_id), values, BOT), call.version)

    async def _page(self, call: Call) -> JsonObject:
        return self._shown(self._pages.read(call.id("page_id")), call.version)

    async def _update(self, call: Call) -> JsonObject:
        body, record = await call.json(), self._pages.read(call.id("page_id"))
        _only(body, _UPDATE, call.version)
        trashed = body.get("in_trash", body.get("archived"))
        if trashed is not None and not isinstance(trashed, bool):
            raise invalid("body.in_trash", "should be a boolean or `undefined`", trashed)
        values = (
            cleaned(self._pages.source_of(record), self._hidden, _properties(body))
            if "properties" in body
            else {}
        )
        return self._shown(self._pages.update(record.id, values, BOT, trashed), call.version)

    async def _property(self, call: Call) -> JsonObject:
        record = self._pages.read(call.id("page_id"))
        raw = call.request.rel_url.raw_parts[-1]
        source = self._pages.source_of(record)
        prop = source.find(raw) or source.find(call.request.match_info["property_id"])
        if prop is None or prop.name in self._hidden:
            raise ApiError("validation_error", f"{raw} is not a property that exists.")
        content = rendering.content_of(record, prop)
        if prop.type not in _PAGINATED:
            return {"object": "property_item", "type": prop.type, "id": prop.id, prop.type: content}
        if prop.type == "people":
            content = [rendering.user(one["id"]) for one in content]
        items = [
            {"object": "property_item", "type": prop.type, "id": prop.id, prop.type: one} for one in content
        ]
        inner: JsonObject = {"id": prop.id, "next_url": None, "type": prop.type, prop.type: {}}
        return _paged(items, call.request.query) | {"type": "property_item", "property_item": inner}

    @property
    def _hidden(self) -> list[str]:
        hidden: list[str] = self._tokens.policy()["hiddenProperties"]
        return hidden

    def _shown(self, record: Record, version: str) -> JsonObject:
        return rendering.page(record, self._pages.source_of(record), version, self._hidden)


def _source(source_id: str) -> Source:
    if source_id not in SOURCES:
        raise not_found("data_source", source_id)
    return SOURCES[source_id]


def _properties(body: JsonObject) -> JsonObject:
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise invalid("body.properties", "should be defined", properties)
    return properties


def _only(body: JsonObject, known: frozenset[str], version: str) -> None:
    for name, value in body.items():
        if name not in known or (name == "archived" and version >= rendering.TRASH_RENAMED_IN):
            raise invalid(f"body.{name}", "should be not present", value)


def _listed(results: list[JsonObject], kind: str) -> JsonObject:
    return {
        "object": "list",
        "results": results,
        "next_cursor": None,
        "has_more": False,
        "type": kind,
        kind: {},
    }


def _paged(items: list[JsonObject], query: Any) -> JsonObject:
    """A page of a property's items; the cursor is a position here."""
    size = min(int(query.get("page_size", "100")), 100)
    start = int(query.get("start_cursor", "0"))
    end = start + size
    more = end < len(items)
    return {
        "object": "list",
        "results": items[start:end],
        "next_cursor": str(end) if more else None,
        "has_more": more,
    }
