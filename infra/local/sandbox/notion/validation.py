"""What Notion takes as a property's value, and what it makes of it.

Sources: https://developers.notion.com/reference/page-property-values, https://developers.notion.com/reference/request-limits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.local.sandbox.clock import parse_ms
from infra.local.sandbox.notion.errors import ApiError, invalid
from infra.local.sandbox.notion.ids import canonical_id
from infra.local.sandbox.notion.rendering import text_items, user
from infra.local.sandbox.notion.schema import READ_ONLY, Property, Source, option

JsonObject = dict[str, Any]

_MOST_ITEMS = 100
_TEXT_UNITS = 2000


def cleaned(
    source: Source, hidden: list[str], given: Mapping[str, Any], path: str = "body.properties"
) -> JsonObject:
    """The values to store, by property name. Raises ApiError validation_error."""
    values: JsonObject = {}
    for key, value in given.items():
        prop = source.find(key)
        if prop is None or prop.name in hidden:
            raise ApiError("validation_error", f"{key} is not a property that exists.")
        at = f"{path}.{key}"
        if not isinstance(value, dict):
            raise invalid(at, "should be an object", value)
        if prop.type in READ_ONLY:
            raise invalid(f"{at}.{prop.type}", "should be not present", value)
        if prop.type not in value:
            raise ApiError("validation_error", f"{key} is expected to be {prop.type}.")
        unknown = set(value) - {"id", "type", prop.type}
        if unknown:
            name = sorted(unknown)[0]
            raise invalid(f"{at}.{name}", "should be not present", value[name])
        values[prop.name] = _CLEANERS[prop.type](prop, value[prop.type], f"{at}.{prop.type}")
    return values


def plain_to_content(prop: Property, value: Any) -> JsonObject:
    """A plain value, as a person would type it, in the form of a write."""
    match prop.type:
        case "title" | "rich_text":
            pieces = [value[start : start + 1000] for start in range(0, len(value), 1000)] if value else []
            content: Any = [{"text": {"content": piece}} for piece in pieces]
        case "select" | "status":
            content = {"name": value} if value else None
        case "multi_select":
            content = [{"name": name} for name in value or []]
        case "people" | "relation":
            content = [{"id": one} for one in value or []]
        case "date":
            content = {"start": value} if isinstance(value, str) else value
        case "files":
            content = [{"name": url, "external": {"url": url}} for url in value or []]
        case _:
            content = value
    return {prop.type: content}


def _rich_text(_prop: Property, items: Any, at: str) -> list[JsonObject]:
    found: list[JsonObject] = []
    for index, item in enumerate(_list(items, at)):
        text = item.get("text") if isinstance(item, dict) else None
        content = text.get("content") if isinstance(text, dict) else None
        if not isinstance(content, str):
            raise invalid(f"{at}[{index}].text.content", "should be a string", content)
        units = len(content.encode("utf-16-le")) // 2
        if units > _TEXT_UNITS:
            raise invalid(f"{at}[{index}].text.content.length", f"should be ≤ `{_TEXT_UNITS}`", units)
        found += text_items(content, text.get("link") if isinstance(text, dict) else None)
    return found


def _line(most: int) -> Callable[[Property, Any, str], str | None]:
    def clean(_prop: Property, value: Any, at: str) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise invalid(at, "should be a string or `null`", value)
        if not value:
            raise invalid(f"{at}.length", "should be ≥ `1`", 0)
        if len(value) > most:
            raise invalid(f"{at}.length", f"should be ≤ `{most}`", len(value))
        return value

    return clean


def _number(_prop: Property, value: Any, at: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise invalid(at, "should be a number or `null`", value)
    return value


def _checkbox(_prop: Property, value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(at, "should be a boolean", value)
    return value


def _select(prop: Property, value: Any, at: str) -> JsonObject | None:
    """An option that is not there yet is added."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid(at, "should be an object or `null`", value)
    known = {one["name"]: one for one in prop.config["options"]}
    by_id = {one["id"]: one for one in prop.config["options"]}
    name = value.get("name")
    if name is None and value.get("id") in by_id:
        return _shown(by_id[value["id"]])
    if not isinstance(name, str) or not name:
        raise invalid(f"{at}.name", "should be a string", name)
    if "," in name:
        raise ApiError("validation_error", f"Invalid {prop.type} option, commas not allowed: {name}")
    return _shown(known.get(name) or option(name))


def _status(prop: Property, value: Any, at: str) -> JsonObject | None:
    names = {one["name"] for one in prop.config["options"]}
    if isinstance(value, dict) and value.get("name") not in names:
        text = f'Invalid status option. Status option "{value.get("name")}" does not exist".'
        raise ApiError("validation_error", text)
    return _select(prop, value, at)


def _multi_select(prop: Property, value: Any, at: str) -> list[JsonObject]:
    found = [_select(prop, one, f"{at}[{index}]") for index, one in enumerate(_list(value, at))]
    return [one for one in found if one is not None]


def _date(_prop: Property, value: Any, at: str) -> JsonObject | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid(at, "should be an object or `null`", value)
    for part in ("start", "end"):
        text = value.get(part)
        if text is None and part == "end":
            continue
        if not isinstance(text, str) or not _is_date(text):
            raise invalid(f"{at}.{part}", "should be a valid ISO 8601 date string", text)
    return {part: value.get(part) for part in ("start", "end", "time_zone")}


def _people(_prop: Property, value: Any, at: str) -> list[JsonObject]:
    ids = _ids(value, at)
    for one in ids:
        if user(one) is None:
            raise ApiError("validation_error", f"User {one} could not be found.")
    return [{"object": "user", "id": one} for one in ids]


def _relation(_prop: Property, value: Any, at: str) -> list[JsonObject]:
    return [{"id": one} for one in _ids(value, at)]


def _files(_prop: Property, value: Any, at: str) -> list[JsonObject]:
    found = []
    for index, file in enumerate(_list(value, at)):
        url = (file.get("external") or {}).get("url") if isinstance(file, dict) else None
        if not isinstance(url, str) or not isinstance(file.get("name"), str):
            raise invalid(f"{at}[{index}].external", "should be defined", None)
        found.append({"name": file["name"], "type": "external", "external": {"url": url}})
    return found


def _ids(value: Any, at: str) -> list[str]:
    found = []
    for index, one in enumerate(_list(value, at)):
        known = canonical_id(one.get("id")) if isinstance(one, dict) else None
        if known is None:
            raise invalid(f"{at}[{index}].id", "should be a valid uuid", one)
        found.append(known)
    return list(dict.fromkeys(found))


def _list(value: Any, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(at, "should be an array", value)
    if len(value) > _MOST_ITEMS:
        raise invalid(f"{at}.length", f"should be ≤ `{_MOST_ITEMS}`", len(value))
    return value


def _shown(one: JsonObject) -> JsonObject:
    return {name: one[name] for name in ("id", "name", "color")}


def _is_date(text: str) -> bool:
    try:
        parse_ms(text if "T" in text and (text.endswith("Z") or "+" in text) else f"{text[:10]}T00:00:00Z")
    except ValueError:
        return False
    return True


_CLEANERS: dict[str, Callable[[Property, Any, str], Any]] = {
    "title": _rich_text,
    "rich_text": _rich_text,
    "email": _line(200),
    "phone_number": _line(200),
    "url": _line(2000),
    "number": _number,
    "checkbox": _checkbox,
    "select": _select,
    "status": _status,
    "multi_select": _multi_select,
    "date": _date,
    "people": _people,
    "relation": _relation,
    "files": _files,
}
