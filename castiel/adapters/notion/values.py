"""Notion's typed property values as plain values, and back.

Sources: https://developers.notion.com/reference/page-property-values,
https://developers.notion.com/reference/request-limits (sizes)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from castiel.errors import SchemaMismatch

Json = dict[str, Any]

TEXT_ITEM_UNITS = 2000
TEXT_ITEMS = 100
"""A text has at most 100 items of 2000 characters, which Notion counts in UTF-16 units."""


def plain_value(value: Mapping[str, Any]) -> Any:
    """One property of a page. What has no plain form is ``None``."""
    kind = str(value.get("type"))
    content = value.get(kind)
    read = _READERS.get(kind)
    return read(content) if read is not None and content is not None else None


def typed_value(name: str, kind: str, value: Any) -> Json:
    """A plain value as the property of that type takes it; ``None`` clears it. Raises :class:`SchemaMismatch`."""
    write = _WRITERS.get(kind)
    if write is None:
        raise SchemaMismatch(f"{name}: a {kind} property can't be written")
    try:
        return {kind: write(value)}
    except (TypeError, KeyError):
        raise SchemaMismatch(f"{name}: not a value for a {kind} property") from None


def is_writable(kind: str) -> bool:
    """Whether properties of that type take values through the API."""
    return kind in _WRITERS


# Reading --------------------------------------------------------------------------------------------------


def _read_text(items: Any) -> str | None:
    return "".join(str(item.get("plain_text") or "") for item in items) or None


def _read_name(option: Any) -> str | None:
    name = option.get("name")
    return name if isinstance(name, str) else None


def _read_date(date: Any) -> Any:
    """A moment or day is text; a range stays an object, so that its end is not lost on the way back."""
    if not date.get("end") and not date.get("time_zone"):
        return date.get("start")
    return {name: date[name] for name in ("start", "end", "time_zone") if date.get(name)}


def _read_person(user: Any) -> Json:
    person = user.get("person") or {}
    told = {"id": user.get("id"), "name": user.get("name"), "email": person.get("email")}
    return {name: value for name, value in told.items() if value is not None}


def _read_file(file: Any) -> Json:
    # The address of a file that Notion keeps is signed anew at each reading: it would look like a change.
    url = (file.get("external") or {}).get("url")
    return {"name": file.get("name")} | ({"url": url} if url else {})


def _read_unique_id(value: Any) -> str | None:
    number, prefix = value.get("number"), value.get("prefix")
    return None if number is None else f"{prefix}-{number}" if prefix else str(number)


def _read_rollup(value: Any) -> Any:
    if value.get("type") == "array":
        return [plain_value(item) for item in value.get("array") or ()]
    return plain_value(value)


def _as_is(value: Any) -> Any:
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "title": _read_text,
    "rich_text": _read_text,
    "number": _as_is,
    "string": _as_is,
    "boolean": _as_is,
    "checkbox": _as_is,
    "url": _as_is,
    "email": _as_is,
    "phone_number": _as_is,
    "created_time": _as_is,
    "last_edited_time": _as_is,
    "select": _read_name,
    "status": _read_name,
    "multi_select": lambda options: [_read_name(option) for option in options],
    "date": _read_date,
    "people": lambda users: [_read_person(user) for user in users],
    "created_by": _read_person,
    "last_edited_by": _read_person,
    "relation": lambda pages: [page.get("id") for page in pages],
    "files": lambda files: [_read_file(file) for file in files],
    "formula": plain_value,
    "rollup": _read_rollup,
    "unique_id": _read_unique_id,
    "verification": lambda value: value.get("state"),
}


# Writing --------------------------------------------------------------------------------------------------


def text_items(text: str) -> list[Json]:
    """A text as rich text items, cut where one would grow too long, and never inside a character."""
    items = [{"type": "text", "text": {"content": piece}} for piece in _pieces(text)]
    if len(items) > TEXT_ITEMS:
        raise SchemaMismatch(f"a text of more than {TEXT_ITEMS * TEXT_ITEM_UNITS} characters")
    return items


def _pieces(text: str) -> Iterator[str]:
    start = units = 0
    for position, character in enumerate(text):
        size = 2 if ord(character) > 0xFFFF else 1
        if units + size > TEXT_ITEM_UNITS:
            yield text[start:position]
            start, units = position, 0
        units += size
    if start < len(text):
        yield text[start:]


def _write_text(value: Any) -> list[Json]:
    return text_items(_of(value, str)) if value is not None else []


def _write_line(value: Any) -> str | None:
    return _of(value, str) if value not in (None, "") else None


def _write_number(value: Any) -> float | None:
    if isinstance(value, bool):
        raise TypeError
    return _of(value, int | float) if value is not None else None


def _write_option(value: Any) -> Json | None:
    return {"name": _of(value, str)} if value not in (None, "") else None


def _write_date(value: Any) -> Json | None:
    if value in (None, ""):
        return None
    if isinstance(value, str):
        return {"start": value}
    return {name: value[name] for name in ("start", "end", "time_zone") if name == "start" or value.get(name)}


def _write_reference(value: Any) -> Json:
    return {"id": _of(value["id"] if isinstance(value, Mapping) else value, str)}


def _write_file(value: Any) -> Json:
    url = _of(value["url"] if isinstance(value, Mapping) else value, str)
    name = value.get("name") if isinstance(value, Mapping) else None
    return {"name": name or url[:100], "type": "external", "external": {"url": url}}


def _listed(write: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def write_all(value: Any) -> list[Any]:
        items = [] if value in (None, "") else value if isinstance(value, list) else [value]
        return [write(item) for item in items]

    return write_all


def _of(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


_WRITERS: dict[str, Callable[[Any], Any]] = {
    "title": _write_text,
    "rich_text": _write_text,
    "number": _write_number,
    "checkbox": lambda value: _of(value, bool) if value is not None else False,
    "url": _write_line,
    "email": _write_line,
    "phone_number": _write_line,
    "select": _write_option,
    "status": _write_option,
    "multi_select": _listed(_write_option),
    "date": _write_date,
    "people": _listed(_write_reference),
    "relation": _listed(_write_reference),
    "files": _listed(_write_file),
}
