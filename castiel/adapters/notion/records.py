"""A page as a record: its properties as plain values by name, and a few keys of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from castiel.adapters.base import ExternalRecord
from castiel.adapters.http import ApiClient
from castiel.adapters.notion.dialect import members
from castiel.adapters.notion.moments import parse_moment
from castiel.adapters.notion.schema import TITLE
from castiel.adapters.notion.settings import canonical_id
from castiel.adapters.notion.values import Json, plain_value
from castiel.errors import MalformedResponse, RecordNotFound

ENTITY = "Page"
OWN_KEYS = ("id", "url", "created_time", "last_edited_time", TITLE)
"""What every record has beside its properties. A property of the same name is shown instead."""

_MOST_REFERENCES = 25


def is_trashed(page: Mapping[str, Any]) -> bool:
    """Whether the page is in the trash, by the word of either API version."""
    return bool(page.get("in_trash") or page.get("archived"))


def data_source_of(page: Mapping[str, Any]) -> str | None:
    """The data source the page belongs to, if it belongs to one."""
    parent = page.get("parent")
    return canonical_id(parent.get("data_source_id")) if isinstance(parent, dict) else None


def record_of(page: Json, marker: str) -> ExternalRecord:
    """The page as a record; the property ``marker`` holds our own key. Raises :class:`MalformedResponse`.

    ``own_write`` stays unset: ``last_edited_by`` names the last writer of several within one rounded minute, so
    that a person's edit just before ours would pass for ours.
    """
    fields = plain_fields(page)
    key = fields.get(marker)
    return ExternalRecord(
        entity=ENTITY,
        external_id=page_id(page),
        fields=fields,
        modified_at=parse_moment(page.get("last_edited_time")),
        deleted=is_trashed(page),
        made_from=key if isinstance(key, str) and key else None,
    )


def page_id(page: Mapping[str, Any]) -> str:
    """The page's id. Raises :class:`MalformedResponse`."""
    found = canonical_id(page.get("id"))
    if found is None:
        raise MalformedResponse("a page without an id")
    return found


def page_path(external_id: str) -> str:
    """A page's address. Raises :class:`RecordNotFound` for what can be no page's id."""
    known = canonical_id(external_id)
    if known is None:
        raise RecordNotFound("no page has such an id")
    return f"/v1/pages/{known}"


def plain_fields(page: Mapping[str, Any]) -> Json:
    """Properties by name, and the keys of :data:`OWN_KEYS`."""
    properties = page.get("properties")
    if not isinstance(properties, dict):
        raise MalformedResponse("a page without properties")
    try:
        plain = {name: plain_value(value) for name, value in properties.items()}
    except (AttributeError, TypeError):
        raise MalformedResponse("a property that can't be read") from None
    title = next((plain[name] for name, value in properties.items() if value.get("type") == TITLE), None)
    own = {name: page.get(name) for name in OWN_KEYS[:-1]}
    return own | {TITLE: title} | plain


async def complete(api: ApiClient, page: Json) -> Json:
    """The page with the long lists read to their end: a page itself shows at most 25 references of a property.

    Source: https://developers.notion.com/reference/retrieve-a-page#limits
    """
    for value in (page.get("properties") or {}).values():
        kind = value.get("type")
        cut_off = value.get("has_more") is True
        if kind == "people":  # says nothing of more
            cut_off = len(value.get("people") or ()) >= _MOST_REFERENCES
        if kind in ("relation", "people") and cut_off:
            value[kind] = await _all_items(api, page_id(page), str(value.get("id")), kind)
    return page


async def _all_items(api: ApiClient, page: str, property_id: str, kind: str) -> list[Any]:
    # The id is URL-encoded already, as Notion gives it.
    path = f"{page_path(page)}/properties/{property_id}"
    items: list[Any] = []
    cursor: str | None = None
    while True:
        params = {"page_size": 100} | ({"start_cursor": cursor} if cursor else {})
        answer = members(await api.call("GET", path, params=params))
        items += [item.get(kind) for item in answer.get("results") or ()]
        cursor = answer.get("next_cursor")
        if not answer.get("has_more") or not cursor:
            return items
