"""Named transforms: a library for what the fields of different systems need most."""

from castiel.domain.conversion.transforms import (  # noqa: F401 - importing them registers their transforms
    contact,
    dates,
    enums,
    lists,
    markup,
    money,
    names,
    places,
    text,
)
from castiel.domain.conversion.transforms.registry import (
    Transform,
    TransformError,
    find_transform,
    transforms,
)

__all__ = ["Transform", "TransformError", "find_transform", "transforms"]
