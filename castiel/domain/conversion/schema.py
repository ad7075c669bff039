"""Conversion schemas: how an external entity's fields become a shard's fields, and back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from castiel.domain.fields import FieldType
from castiel.domain.model import Document, Model, UtcDatetime


class Direction(StrEnum):
    """Which way a mapping goes: ``inbound`` from the integration into the shard, ``outbound`` back, or both."""

    BOTH = "both"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class TransformCall(Model):
    """A named transform with its options; ``each`` applies it to every item of a list. A bare name is a call, too."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    each: bool = False


def _call_from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


TransformChain = list[Annotated[TransformCall, BeforeValidator(_call_from_name)]]


class MappingBase(Model):
    """What all mappings share.

    ``type`` is what the shard's field is coerced to, ``external_type`` what the external one is. ``required``: a
    record without a value fails. ``external`` is the external field that is written; where it is left out, the
    ``source`` is, if that is a plain path.
    """

    direction: Direction = Direction.BOTH
    type: FieldType | None = None
    external_type: FieldType | None = None
    values: tuple[str, ...] = ()
    required: bool = False
    external: str | None = None

    @property
    def inbound(self) -> bool:
        """Whether it fills the shard."""
        return self.direction != Direction.OUTBOUND

    @property
    def outbound(self) -> bool:
        """Whether it feeds the external record."""
        return self.direction != Direction.INBOUND


class DirectMapping(MappingBase):
    """The field as it is at ``source``."""

    kind: Literal["direct"] = "direct"
    field: str
    source: str


class DefaultMapping(MappingBase):
    """The field at ``source`` or, where that is empty, ``value``. Without ``source`` always ``value``: a constant.

    Without ``field`` it is a constant for the external record, written when the record is created.
    """

    kind: Literal["default"] = "default"
    field: str | None = None
    source: str | None = None
    value: Any

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if self.field is None and self.external is None:
            raise ValueError("a default needs 'field', 'external' or both")
        if self.value is None:
            raise ValueError("a default needs a 'value'")
        return self


class TransformMapping(MappingBase):
    """The field at ``source``, put through ``transforms`` in order.

    Outbound it goes through ``outbound_transforms`` or, without those, through the inverses in reverse order.
    """

    kind: Literal["transform"] = "transform"
    field: str
    source: str
    transforms: TransformChain = Field(min_length=1)
    outbound_transforms: TransformChain | None = None


class CompositeMapping(MappingBase):
    """Several fields in one. ``parts`` name the sources.

    With ``separator`` the parts that have a value are joined; with ``template`` (``{street}, {city}``) they are set
    in, and all must have a value; with neither the field is an object of them. An object goes back as it came. Joined
    text goes back only with ``split``: ``first`` gives the first parts one piece each and the last one the rest,
    ``last`` gives the last parts one piece each and the first one the rest.
    """

    kind: Literal["composite"] = "composite"
    field: str
    parts: dict[str, str] = Field(min_length=1)
    separator: str | None = Field(default=None, min_length=1)
    template: str | None = None
    split: Literal["first", "last"] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.separator is not None and self.template is not None:
            raise ValueError("a composite has 'separator' or 'template', not both")
        if self.split is not None and self.separator is None:
            raise ValueError("'split' needs 'separator'")
        return self


class Case(Model):
    """If ``when`` holds: the value at ``source`` put through ``transforms``, or else ``value``."""

    when: str | None = None
    source: str | None = None
    value: Any = None
    transforms: TransformChain = Field(default_factory=list)


class ConditionalMapping(MappingBase):
    """The first of ``cases`` whose ``when`` holds, or ``otherwise``; ``None`` without either.

    ``outbound_cases`` and ``outbound_otherwise`` say the way back: their expressions read the shard's fields.
    """

    kind: Literal["conditional"] = "conditional"
    field: str
    cases: list[Case] = Field(min_length=1)
    otherwise: Case | None = None
    outbound_cases: list[Case] = Field(default_factory=list)
    outbound_otherwise: Case | None = None


FieldMapping = Annotated[
    DirectMapping | DefaultMapping | TransformMapping | CompositeMapping | ConditionalMapping,
    Field(discriminator="kind"),
]


class DerivedRule(Model):
    """A further shard made from the same external record, or one for each item at ``each``.

    It is made where ``condition`` holds and ``key``, put through ``key_transforms``, gives a value: equal keys are
    the same shard. Its mappings only go inbound. With ``each`` the expressions read the item (one that is no object
    is called ``value``), and ``parent`` in it is the whole record.
    """

    shard_type: str
    key: str
    condition: str | None = None
    each: str | None = None
    key_transforms: TransformChain = Field(default_factory=list)
    mappings: list[FieldMapping] = Field(min_length=1)


class ConversionSchema(Document):
    """A document of the ``conversion-schemas`` container.

    ``version`` rises with every change. ``match_rules`` are duplicate matching's, ``label_field`` the shard field
    that names a record to people.
    """

    tenant_id: str
    integration_id: str
    entity: str
    shard_type: str
    version: int = 1
    name: str | None = None
    label_field: str | None = None
    mappings: list[FieldMapping]
    derived: list[DerivedRule] = Field(default_factory=list)
    match_rules: dict[str, Any] | None = None
    created_at: UtcDatetime | None = None
    updated_at: UtcDatetime | None = None
