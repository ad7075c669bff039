"""A data source's properties: asked once per adapter, and what a page's fields become by them.

Source: https://developers.notion.com/reference/property-object
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from castiel.adapters.http import ApiClient
from castiel.adapters.notion.dialect import members
from castiel.adapters.notion.values import Json, typed_value
from castiel.errors import MalformedResponse, SchemaMismatch

TITLE = "title"
"""The title property, whatever its name: ``title`` is its id in every data source."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data source's title and its properties by name."""

    id: str
    title: str
    properties: Mapping[str, Json]

    def kind(self, name: str) -> str | None:
        """A property's type, if there is such a property."""
        found = self.properties.get(name)
        return str(found.get("type")) if found is not None else None

    @property
    def title_property(self) -> str | None:
        """The name of the title property."""
        return next((name for name in self.properties if self.kind(name) == TITLE), None)

    def typed(self, fields: Mapping[str, Any]) -> Json:
        """Fields by property name as the body of a write has them. Raises :class:`SchemaMismatch`."""
        return dict(self._typed(name, value) for name, value in fields.items())

    def _typed(self, name: str, value: Any) -> tuple[str, Json]:
        known = name if name in self.properties else self.title_property if name == TITLE else None
        if known is None:
            raise SchemaMismatch(f"{name}: the data source has no such property")
        return known, typed_value(known, self.kind(known) or "", value)


class DataSources:
    """The data sources of one connection, each read once."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._known: dict[str, DataSource] = {}

    async def of(self, data_source_id: str) -> DataSource:
        """Raises :class:`~castiel.errors.RecordNotFound` for one that is not shared with the integration."""
        if data_source_id not in self._known:
            body = members(await self._api.call("GET", f"/v1/data_sources/{data_source_id}"))
            self._known[data_source_id] = _data_source(data_source_id, body)
        return self._known[data_source_id]


def _data_source(data_source_id: str, body: Json) -> DataSource:
    properties = body.get("properties")
    if not isinstance(properties, dict) or not all(isinstance(one, dict) for one in properties.values()):
        raise MalformedResponse("a data source without properties")
    title = "".join(str(item.get("plain_text") or "") for item in body.get("title") or ())
    return DataSource(data_source_id, title, properties)
