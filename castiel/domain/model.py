"""The base of every document and message: camelCase JSON outside, snake_case inside, unknown fields kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel


def format_utc(moment: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; a fraction only where there is one, so that the brief's examples round-trip."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def utc_date(moment: datetime) -> str:
    """The UTC date of a moment, ``YYYY-MM-DD``: the second path of the hierarchical ``…On`` partition keys."""
    return moment.astimezone(UTC).date().isoformat()


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _to_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


_JSON = PlainSerializer(format_utc, when_used="json")

UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc), _JSON]
"""A moment, to the microsecond."""

UtcSecond = Annotated[AwareDatetime, AfterValidator(_to_second), _JSON]
"""A moment, to the second: what Cosmos DB queries compare as text must all have the same form."""

UtcDay = Annotated[date, PlainSerializer(lambda d: d.isoformat(), when_used="json")]

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
        extra = self.__pydantic_extra__ or {}
        explicit = self.__pydantic_fields_set__
        fields = type(self).__pydantic_fields__
        for name, field in fields.items():
            key = field.serialization_alias or name
            for candidate in (key, name):
                if candidate in data and candidate not in extra:
                    value = data[candidate]
                    if value is None or (name not in explicit and value in ([], {})):
                        del data[candidate]
        return data

    def to_json(self) -> dict[str, Any]:
        """The JSON object, as written to stores and queues."""
        return self.model_dump(mode="json", by_alias=True)

    def to_json_text(self) -> str:
        """The JSON text, as sent in messages."""
        return self.model_dump_json(by_alias=True)


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
