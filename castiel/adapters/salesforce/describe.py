"""What an org says of its objects and their fields.

Source: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_sobject_describe.htm
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from castiel.adapters.http import ApiClient, HttpReply
from castiel.adapters.http_dates import answered_at
from castiel.adapters.salesforce.settings import api_path, chosen_fields, entity_name
from castiel.domain.connections import Connection
from castiel.domain.fields import EntityDescription, FieldDescription, FieldType
from castiel.errors import MalformedResponse, RecordNotFound, SchemaMismatch

_NEEDED = ("Id", "IsDeleted", "SystemModstamp")
_UNREADABLE = {"address", "location", "base64", "complexvalue"}
"""Compound fields repeat what their parts say; a blob may be read only one at a time."""

KEPT_SECONDS = 60.0
"""How long a new field may stay unknown to writers. Passes look anew."""

_TYPES: Mapping[str, FieldType] = {
    "boolean": "boolean",
    "currency": "number",
    "date": "date",
    "datetime": "datetime",
    "double": "number",
    "email": "email",
    "id": "string",
    "int": "integer",
    "long": "integer",
    "percent": "number",
    "phone": "phone",
    "picklist": "enum",
    "reference": "reference",
    "textarea": "text",
    "url": "url",
}


@dataclass(frozen=True, slots=True)
class ObjectDescription:
    """One object's describe, and the server's clock when it was given."""

    name: str
    raw: Mapping[str, Any]
    at: datetime

    def field(self, name: str) -> Mapping[str, Any] | None:
        """The field of that name, if the connected user sees it."""
        return next((field for field in self.raw["fields"] if field.get("name") == name), None)

    def queryable(self, chosen: tuple[str, ...] | None) -> list[str]:
        """The fields to read: those chosen and there, or all, and always what the cursor needs."""
        names = [
            str(field["name"])
            for field in self.raw["fields"]
            if field.get("type") not in _UNREADABLE and not field.get("deprecatedAndHidden")
        ]
        return [name for name in names if chosen is None or name in chosen or name in _NEEDED]


class Describes:
    """The describes that one adapter has asked for, and for a minute those of the connection's other adapters."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api
        self._known: dict[str, ObjectDescription] = {}

    async def of(self, entity: str, *, fresh: bool = False) -> ObjectDescription:
        """An object's describe, from memory unless ``fresh``."""
        key = (
            "describe",
            self._connection.tenant_id,
            self._connection.id,
            api_path(self._connection),
            entity,
        )
        if not fresh and entity not in self._known:
            kept = self._api.shared.get(key)
            if kept is not None:
                self._known[entity] = kept
        if fresh or entity not in self._known:
            path = f"{api_path(self._connection)}/sobjects/{entity_name(entity)}/describe"
            try:
                reply = await self._api.call("GET", path)
            except RecordNotFound as error:
                text = f"{entity}: the org has no such object, or the connected user may not see it"
                raise SchemaMismatch(text, status=error.status, provider_code=error.provider_code) from None
            found = _object(reply, "fields")
            self._known[entity] = ObjectDescription(entity, found, answered_at(reply.headers))
            self._api.shared.put(key, self._known[entity], seconds=KEPT_SECONDS)
        return self._known[entity]

    async def fields(self, entity: str) -> list[str]:
        """The fields to read of an entity."""
        return (await self.of(entity)).queryable(chosen_fields(self._connection, entity))

    async def names(self) -> list[str]:
        """All objects the connected user sees."""
        reply = await self._api.call("GET", f"{api_path(self._connection)}/sobjects")
        return [str(found["name"]) for found in _object(reply, "sobjects")["sobjects"]]


def entity_description(found: ObjectDescription) -> EntityDescription:
    """A describe in Castiel's own words."""
    raw = found.raw
    return EntityDescription(
        name=found.name,
        label=str(raw.get("label") or found.name),
        fields=tuple(_field(found.field(name) or {}) for name in found.queryable(None)),
        writable=bool(raw.get("createable") or raw.get("updateable")),
        deletable=bool(raw.get("deletable")),
    )


def _field(raw: Mapping[str, Any]) -> FieldDescription:
    createable = bool(raw.get("createable"))
    values = [value for value in raw.get("picklistValues") or () if value.get("active")]
    return FieldDescription(
        name=str(raw["name"]),
        type=_TYPES.get(str(raw.get("type")), "string"),
        required=createable and not raw.get("nillable") and not raw.get("defaultedOnCreate"),
        writable=createable or bool(raw.get("updateable")),
        # A picklist that is not restricted takes any text over the API.
        values=tuple(str(value["value"]) for value in values) if raw.get("restrictedPicklist") else (),
        label=raw.get("label"),
        max_length=raw.get("length") or None,
    )


def _object(reply: HttpReply, member: str) -> dict[str, Any]:
    body = reply.json()
    items = body.get(member) if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(items, list) or not all(map(_is_named, items)):
        raise MalformedResponse(f"a describe without {member}", status=reply.status)
    return body


def _is_named(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("name"), str)
