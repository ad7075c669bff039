"""Conversion: an external entity's fields into a shard's, and back, by a schema that a person can write."""

from castiel.domain.conversion.convert import (
    Converted,
    DerivedRecord,
    carried_fields,
    fed_fields,
    to_external,
    to_shard,
)
from castiel.domain.conversion.problems import SchemaProblem, did_you_mean
from castiel.domain.conversion.schema import (
    Case,
    CompositeMapping,
    ConditionalMapping,
    ConversionSchema,
    DefaultMapping,
    DerivedRule,
    Direction,
    DirectMapping,
    FieldMapping,
    TransformCall,
    TransformMapping,
)
from castiel.domain.conversion.transforms import transforms
from castiel.domain.conversion.validation import validate_schema

__all__ = [
    "Case",
    "CompositeMapping",
    "ConditionalMapping",
    "ConversionSchema",
    "Converted",
    "DefaultMapping",
    "DerivedRecord",
    "DerivedRule",
    "DirectMapping",
    "Direction",
    "FieldMapping",
    "SchemaProblem",
    "TransformCall",
    "TransformMapping",
    "carried_fields",
    "did_you_mean",
    "fed_fields",
    "to_external",
    "to_shard",
    "transforms",
    "validate_schema",
]
