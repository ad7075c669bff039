"""What the data sources' pages look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from castiel.adapters.notion.records import ENTITY, OWN_KEYS
from castiel.adapters.notion.schema import TITLE, DataSource
from castiel.adapters.notion.values import TEXT_ITEM_UNITS, TEXT_ITEMS, is_writable
from castiel.domain.fields import EntityDescription, FieldDescription, FieldType

_TYPES: dict[str, FieldType] = {
    "title": "string",
    "rich_text": "text",
    "number": "number",
    "select": "enum",
    "status": "enum",
    "multi_select": "list",
    "date": "date",
    "people": "list",
    "files": "list",
    "checkbox": "boolean",
    "url": "url",
    "email": "email",
    "phone_number": "phone",
    "relation": "list",
    "created_time": "datetime",
    "last_edited_time": "datetime",
    "created_by": "object",
    "last_edited_by": "object",
}
_OWN_TYPES: dict[str, FieldType] = {
    "id": "string",
    "url": "url",
    "created_time": "datetime",
    "last_edited_time": "datetime",
    TITLE: "string",
}
# https://developers.notion.com/reference/request-limits#size-limits
_LENGTHS = {
    "title": TEXT_ITEM_UNITS * TEXT_ITEMS,
    "rich_text": TEXT_ITEM_UNITS * TEXT_ITEMS,
    "url": 2000,
    "email": 200,
    "phone_number": 200,
}


def page_description(sources: Sequence[DataSource], marker: str) -> EntityDescription:
    """The properties of all data sources together; of two with one name, the first data source's.

    The label says where the marker property is missing, without which a retried create can't be resolved.
    """
    fields = {name: FieldDescription(name, _OWN_TYPES[name], writable=name == TITLE) for name in OWN_KEYS}
    described: dict[str, FieldDescription] = {}
    for source in sources:
        for name, one in source.properties.items():
            described.setdefault(name, _field(name, one))
    return EntityDescription(ENTITY, _label(sources, marker), tuple((fields | described).values()))


def _field(name: str, one: dict[str, Any]) -> FieldDescription:
    kind = str(one.get("type"))
    options = (one.get(kind) or {}).get("options") or ()
    return FieldDescription(
        name,
        # What formulas and rollups come to is not in their description.
        _TYPES.get(kind, "string"),
        writable=is_writable(kind),
        values=tuple(str(option.get("name")) for option in options),
        label=name,
        max_length=_LENGTHS.get(kind),
    )


def _label(sources: Sequence[DataSource], marker: str) -> str:
    titles = ", ".join(source.title or source.id for source in sources)
    lacking = [source.title or source.id for source in sources if source.kind(marker) != "rich_text"]
    if not lacking:
        return titles
    return f"{titles} (add a text property {marker!r} to {', '.join(lacking)}: retried creates need it)"
