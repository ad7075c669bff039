"""A stored record as Salesforce prints it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from infra.local.sandbox.salesforce.schema import Field, SObject
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]


def datetime_text(ms: int) -> str:
    """As in `2026-11-01T10:00:00.000+0000`: whole seconds, three zeros, no colon in the zone."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


def value_of(record: Record, field: Field) -> Any:
    """The field's value as it appears in an answer."""
    if field.column == "id":
        return record.id
    if field.column == "deleted":
        return record.deleted
    if field.column == "created_ms":
        return datetime_text(record.created_ms)
    if field.column == "modified_ms":
        return datetime_text(record.modified_ms)
    value = record.data.get(field.name)
    return float(value) if field.type in ("double", "currency", "percent") and value is not None else value


def attributes(sobject: SObject, record_id: str, version: str) -> JsonObject:
    """The `attributes` member every record carries."""
    return {"type": sobject.name, "url": f"/services/data/{version}/sobjects/{sobject.name}/{record_id}"}


def render(sobject: SObject, record: Record, version: str, fields: list[Field] | None = None) -> JsonObject:
    """A record with the given fields (None: all)."""
    chosen = fields if fields is not None else list(sobject.fields.values())
    head: JsonObject = {"attributes": attributes(sobject, record.id, version)}
    return head | {field.name: value_of(record, field) for field in chosen}
