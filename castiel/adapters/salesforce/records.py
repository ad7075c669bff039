"""A record of an answer as Castiel's own value."""

from __future__ import annotations

from typing import Any

from castiel.adapters.base import ExternalRecord
from castiel.adapters.salesforce.moments import parse_moment
from castiel.errors import MalformedResponse


def external_record(entity: str, row: Any, key_field: str) -> ExternalRecord:
    """One row of a query or of a collection; ``key_field`` holds our own key. Raises :class:`MalformedResponse`."""
    if not isinstance(row, dict) or not isinstance(row.get("Id"), str):
        raise MalformedResponse("a record without an Id")
    stamp = row.get("SystemModstamp")
    if not isinstance(stamp, str):
        raise MalformedResponse("a record without a SystemModstamp")
    return ExternalRecord(
        entity=entity,
        external_id=row["Id"],
        fields={name: value for name, value in row.items() if name != "attributes"},
        modified_at=parse_moment(stamp),
        deleted=row.get("IsDeleted") is True,
        version=stamp,
        made_from=row.get(key_field) or None,
    )
