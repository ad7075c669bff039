"""The base of every document and message: camelCase JSON outside, snake_case inside, unknown fields kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel


def format_utc(moment: datetime) -> str:
    """RFC 3339 in UTC with ``Z``, microseconds only where there are any: the form pydantic writes by itself."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def format_second(moment: datetime) -> str:
    """The same without its fraction: what stored times are compared with, most of which are whole seconds."""
    return format_utc(moment.replace(microsecond=0))


def as_utc(moment: datetime) -> datetime:
    """A moment in UTC, which one without a zone is meant in. Raises ValueError where its zone leads beyond the calendar."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None


def utc_date(moment: datetime) -> str:
    """The UTC date of a moment, ``YYYY-MM-DD``: the second path of the hierarchical ``…On`` partition keys."""
    return moment.astimezone(UTC).date().isoformat()


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _to_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A moment, to the microsecond."""

UtcSecond = Annotated[AwareDatetime, AfterValidator(_to_second)]
"""A moment, to the second: what Cosmos DB queries compare as text must all have the same form."""

_EMPTY: tuple[object, ...] = ([], {})

SYSTEM_PROPERTIES = ("_rid", "_self", "_attachments", "_ts")


class Model(BaseModel):
    """camelCase in JSON; unknown fields survive a read-modify-write; absent stays absent.

    A field that is ``None``, or an empty collection nobody set, is left out of the JSON.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        validate_assignment=False,
        ser_json_inf_nan="constants",
    )

    @model_serializer(mode="wrap")
    def _compact(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        data = handler(self)
        empty = [key for key, value in data.items() if not value and (value is None or value in _EMPTY)]
        if empty:
            extra = self.__pydantic_extra__ or {}
            names = _field_names(type(self))
            for key in empty:
                unset = data[key] is None or names.get(key) not in self.__pydantic_fields_set__
                if unset and key not in extra:
                    del data[key]
        return data

    def to_json(self) -> dict[str, Any]:
        """The JSON object, as written to stores and queues."""
        return self.model_dump(mode="json", by_alias=True)

    def to_json_text(self) -> str:
        """The JSON text, as sent in messages."""
        return self.model_dump_json(by_alias=True)


@cache
def _field_names(model: type[Model]) -> Mapping[str, str]:
    """A model's fields by the names they may have in its JSON."""
    fields = model.__pydantic_fields__
    return {key: name for name, field in fields.items() for key in (name, field.serialization_alias or name)}


class Document(Model):
    """A document in Cosmos DB. ``etag`` is what it had when read; it is never written back."""

    id: str
    etag: str | None = Field(default=None, alias="_etag", exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_system_properties(cls, data: Any) -> Any:
        if isinstance(data, dict) and any(name in data for name in SYSTEM_PROPERTIES):
            return {key: value for key, value in data.items() if key not in SYSTEM_PROPERTIES}
        return data

    def copy_of(self) -> Self:
        """An independent copy: changing it leaves this one as it was."""
        return self.model_copy(deep=True)
