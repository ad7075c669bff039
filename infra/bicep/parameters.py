"""A parameter's value against its declaration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.bicep.evaluate import Expressions
from infra.bicep.syntax import BicepError, Declaration
from infra.bicep.values import Unknown, is_known

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "int": int,
    "bool": bool,
    "object": dict,
    "array": list,
}


def checked(file: Path, declared: Declaration, value: Any, expressions: Expressions) -> Any:
    """The value. Raises :class:`BicepError` when it is of another type or outside what is allowed."""
    at = f"{file.name}: parameter {declared.name}"
    kind = "array" if declared.text.endswith("[]") else declared.text
    if isinstance(value, Unknown):
        return value
    if kind in KINDS and (not isinstance(value, KINDS[kind]) or (kind == "int" and isinstance(value, bool))):
        raise BicepError(f"{at}: {value!r} is no {declared.text}")
    inner = declared.text.removesuffix("[]")
    if (
        declared.text.endswith("[]")
        and inner in KINDS
        and not all(isinstance(each, KINDS[inner]) or not is_known(each) for each in value)
    ):
        raise BicepError(f"{at}: {value!r} is no {declared.text}")
    for name, decorator in declared.decorators.items():
        arguments = decorator.child_by_field_name("arguments")
        if arguments is None or not is_known(value):
            continue
        limit = expressions.value(arguments.named_children[0]) if arguments.named_children else None
        _limited(at, name, limit, value)
    return value


def _limited(at: str, name: str, limit: Any, value: Any) -> None:
    if name == "allowed" and value not in limit:
        raise BicepError(f"{at}: {value!r} is none of {', '.join(map(repr, limit))}")
    if name == "minLength" and len(value) < limit:
        raise BicepError(f"{at}: {value!r} is shorter than {limit}")
    if name == "maxLength" and len(value) > limit:
        raise BicepError(f"{at}: {value!r} is longer than {limit}")
