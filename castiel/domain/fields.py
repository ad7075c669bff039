"""What an integration's entities and fields look like: discovered by adapters, checked against by schemas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FieldType = Literal[
    "string",
    "text",
    "integer",
    "number",
    "boolean",
    "date",
    "datetime",
    "email",
    "phone",
    "url",
    "enum",
    "reference",
    "object",
    "list",
]


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One field of an external entity.

    ``name`` is as the adapter's records carry it; a dot leads into an object (``owner.login``). ``values`` are
    those an enum takes; ``max_length`` is in characters. ``required``: a record can't be created without it.
    """

    name: str
    type: FieldType
    required: bool = False
    writable: bool = True
    values: tuple[str, ...] = ()
    label: str | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class EntityDescription:
    """One entity of an integration. Without ``writable`` its records can only be read."""

    name: str
    label: str
    fields: tuple[FieldDescription, ...] = field(default=())
    writable: bool = True
    deletable: bool = True

    def field(self, name: str) -> FieldDescription | None:
        """The field of that name, if the entity has it."""
        return next((description for description in self.fields if description.name == name), None)
