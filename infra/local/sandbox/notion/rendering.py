"""A stored page as Notion prints it.

Sources: https://developers.notion.com/reference/page, https://developers.notion.com/reference/page-property-values
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.clock import iso_z
from infra.local.sandbox.notion.ids import (
    BOT_ID,
    COLLEAGUE_ID,
    PERSON_ID,
    ROOT_PAGE_ID,
    WORKSPACE_ID,
    WORKSPACE_NAME,
)
from infra.local.sandbox.notion.schema import Property, Source
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]

REFERENCES_SHOWN = 25
TRASH_RENAMED_IN = "2026-03-11"
_ANNOTATIONS = {
    "bold": False,
    "italic": False,
    "strikethrough": False,
    "underline": False,
    "code": False,
    "color": "default",
}
_PEOPLE = {
    PERSON_ID: ("Christine Example", "christine@example.com"),
    COLLEAGUE_ID: ("Robin Example", "robin@example.com"),
}
_LISTS = frozenset({"title", "rich_text", "multi_select", "people", "relation", "files"})


def minute(ms: int) -> str:
    """A page's times are told to the minute."""
    return iso_z(ms // 60_000 * 60_000)


def text_items(text: str, link: JsonObject | None = None) -> list[JsonObject]:
    """Plain text as one rich text item, or none."""
    if not text:
        return []
    return [
        {
            "type": "text",
            "text": {"content": text, "link": link},
            "annotations": dict(_ANNOTATIONS),
            "plain_text": text,
            "href": link["url"] if link else None,
        }
    ]


def plain_text(items: list[JsonObject]) -> str:
    return "".join(item["plain_text"] for item in items)


def user(user_id: str) -> JsonObject | None:
    """The whole user, or None for one the workspace doesn't have."""
    if user_id == BOT_ID:
        owner = {"type": "user", "user": user(PERSON_ID)}
        bot = {"owner": owner, "workspace_name": WORKSPACE_NAME, "workspace_id": WORKSPACE_ID}
        return {
            "object": "user",
            "id": BOT_ID,
            "name": "Castiel",
            "avatar_url": None,
            "type": "bot",
            "bot": bot,
        }
    if user_id not in _PEOPLE:
        return None
    name, email = _PEOPLE[user_id]
    return {
        "object": "user",
        "id": user_id,
        "name": name,
        "avatar_url": None,
        "type": "person",
        "person": {"email": email},
    }


def people() -> list[JsonObject]:
    """All users, as they are listed."""
    return [found for one in (*_PEOPLE, BOT_ID) if (found := user(one))]


def content_of(record: Record, prop: Property) -> Any:
    """What stands under a property's type."""
    values: JsonObject = record.data["values"]
    match prop.type:
        case "created_time":
            return minute(record.created_ms)
        case "last_edited_time":
            return minute(record.modified_ms)
        case "created_by":
            return user(record.data["createdBy"])
        case "last_edited_by":
            return user(record.data["editedBy"])
        case "unique_id":
            return {"prefix": prop.config["prefix"], "number": record.data["number"]}
        case "formula":
            parts = (plain_text(values.get("Name", [])), plain_text(values.get("Company", [])))
            return {"type": "string", "string": " – ".join(parts)}
        case "rollup":
            counted = len(values.get(prop.config["relation_property_name"], []))
            return {"type": "number", "number": counted, "function": "count"}
        case "checkbox":
            return values.get(prop.name, False)
    return values.get(prop.name, [] if prop.type in _LISTS else None)


def property_value(record: Record, prop: Property) -> JsonObject:
    """One property of a page; long lists are cut."""
    content = content_of(record, prop)
    value: JsonObject = {"id": prop.id, "type": prop.type, prop.type: content}
    if prop.type == "relation":
        value["has_more"] = len(content) > REFERENCES_SHOWN
    if prop.type in ("relation", "people"):
        value[prop.type] = content[:REFERENCES_SHOWN]
    if prop.type == "people":
        value["people"] = [user(one["id"]) or {"object": "user", "id": one["id"]} for one in value["people"]]
    return value


def page(record: Record, source: Source, version: str, hidden: list[str]) -> JsonObject:
    """The page object."""
    title = plain_text(record.data["values"].get(source.properties[0].name, []))
    slug = "-".join(word for word in "".join(c if c.isalnum() else " " for c in title).split())
    short = record.id.replace("-", "")
    shown = [prop for prop in source.properties if prop.name not in hidden]
    return {
        "object": "page",
        "id": record.id,
        "created_time": minute(record.created_ms),
        "last_edited_time": minute(record.modified_ms),
        "created_by": {"object": "user", "id": record.data["createdBy"]},
        "last_edited_by": {"object": "user", "id": record.data["editedBy"]},
        "cover": None,
        "icon": None,
        "parent": {
            "type": "data_source_id",
            "data_source_id": source.id,
            "database_id": source.database_id,
        },
        **_trash(record.deleted, version),
        "is_locked": False,
        "properties": {prop.name: property_value(record, prop) for prop in shown},
        "url": f"https://www.notion.so/{slug}-{short}" if slug else f"https://www.notion.so/{short}",
        "public_url": None,
    }


def data_source(
    source: Source, version: str, hidden: list[str], options: Mapping[str, list[str]]
) -> JsonObject:
    """The data source object; ``options`` are those that writes have added, by property."""
    shown = [prop for prop in source.properties if prop.name not in hidden]
    return {
        "object": "data_source",
        "id": source.id,
        "title": text_items(source.title),
        "description": [],
        "parent": {"type": "database_id", "database_id": source.database_id},
        "database_parent": {"type": "page_id", "page_id": ROOT_PAGE_ID},
        "is_inline": False,
        **_trash(False, version),
        "created_time": "2020-03-17T19:10:00.000Z",
        "last_edited_time": "2021-08-11T17:57:00.000Z",
        "created_by": {"object": "user", "id": PERSON_ID},
        "last_edited_by": {"object": "user", "id": PERSON_ID},
        "properties": {prop.name: prop.render(options.get(f"{source.id}:{prop.name}", [])) for prop in shown},
        "icon": None,
        "cover": None,
        "url": f"https://www.notion.so/{source.database_id.replace('-', '')}",
        "public_url": None,
    }


def database(source: Source, version: str) -> JsonObject:
    """The database around a data source."""
    return {
        "object": "database",
        "id": source.database_id,
        "title": text_items(source.title),
        "description": [],
        "parent": {"type": "page_id", "page_id": ROOT_PAGE_ID},
        "is_inline": False,
        "in_trash": False,
        **({} if version >= TRASH_RENAMED_IN else {"archived": False}),
        "is_locked": False,
        "created_time": "2020-03-17T19:10:00.000Z",
        "last_edited_time": "2021-08-11T17:57:00.000Z",
        "data_sources": [{"id": source.id, "name": source.title}],
        "icon": None,
        "cover": None,
        "url": f"https://www.notion.so/{source.database_id.replace('-', '')}",
        "public_url": None,
    }


def _trash(trashed: bool, version: str) -> JsonObject:
    old = {} if version >= TRASH_RENAMED_IN else {"archived": trashed}
    return old | {"in_trash": trashed}
