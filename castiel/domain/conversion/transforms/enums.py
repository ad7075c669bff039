"""Values that are called differently on both sides."""

from __future__ import annotations

from typing import Any, Literal

from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms.registry import Function, transform
from castiel.domain.json_values import identity

Unlisted = Literal["error", "keep", "null"]


def _renamed(names: list[tuple[Any, Any]], unlisted: Unlisted) -> Function:
    table: dict[Any, Any] = {}
    for old, new in names:
        table.setdefault(identity(old), new)

    def rename(value: Any) -> Any:
        key = identity(value)
        if key in table:
            return table[key]
        if unlisted == "error":
            raise UnconvertibleError("is not one of the values listed")
        return value if unlisted == "keep" else None

    return rename


def _enum_back(*, values: dict[str, Any], unlisted: Unlisted = "error") -> Function:
    return _renamed([(inner, outer) for outer, inner in values.items()], unlisted)


@transform(
    "enum",
    does="renames values: `values` is `{external: ours}`; what is not in it is an `error`, is kept (`keep`) or is "
    "left out (`null`), as `unlisted` says",
    source="the schema's own table",
    limits="external values are text; where two have one name here, the first is what goes back",
    inverse=_enum_back,
)
def enum(*, values: dict[str, Any], unlisted: Unlisted = "error") -> Function:
    return _renamed(list(values.items()), unlisted)
