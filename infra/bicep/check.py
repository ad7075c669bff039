"""A resource's body against its type's schema."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from infra.bicep.schema import Type
from infra.bicep.values import Unknown, is_known

PRIMITIVES: Mapping[str, type | tuple[type, ...]] = {"string": str, "int": (int, float), "bool": bool}


def problems_of(body: Mapping[str, Any], schema: Type, at: str) -> list[str]:
    """What is wrong with a resource: a line for each, with the path of the property."""
    return [f"{at}{path}: {text}" for path, text in _problems(body, schema, "")]


def _problems(value: Any, kind: Type, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Unknown) or value is None:
        return
    kind = kind.resolved()
    body = kind.body
    if body == "any":
        return
    if isinstance(body, str):
        yield from _primitive(value, body, path)
    elif "enum" in body:
        if is_known(value) and value not in body["enum"]:
            yield path, f"{value!r} is none of {', '.join(map(str, body['enum']))}"
    elif "array" in body:
        if not isinstance(value, list):
            yield path, f"{value!r} is no array"
            return
        for index, each in enumerate(value):
            yield from _problems(each, Type(body["array"], kind.group), f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield path, f"{value!r} is no object"
    elif "map" in body:
        for name, each in value.items():
            yield from _problems(each, Type(body["map"], kind.group), f"{path}.{name}")
    else:
        yield from _object(value, kind, path)


def _primitive(value: Any, kind: str, path: str) -> Iterator[tuple[str, str]]:
    is_right = isinstance(value, PRIMITIVES[kind]) and (kind == "bool" or not isinstance(value, bool))
    if not is_right:
        yield path, f"{value!r} is no {kind}"


def _object(value: Mapping[str, Any], kind: Type, path: str) -> Iterator[tuple[str, str]]:
    properties: dict[str, Any] = dict(kind.body.get("props", {}))
    if "by" in kind.body:
        case = kind.body["cases"].get(value.get(kind.body["by"]))
        if case is None:
            yield path, f"{kind.body['by']} must be one of {', '.join(kind.body['cases'])}"
            return
        properties |= Type(case, kind.group).resolved().body["props"]
    for name, each in value.items():
        at = f"{path}.{name}"
        if name in properties:
            yield from _property(each, properties[name], kind.group, at)
        elif "extra" in kind.body:
            yield from _problems(each, Type(kind.body["extra"], kind.group), at)
        else:
            near = difflib.get_close_matches(name, properties, n=1)
            yield at, "there is no such property" + (f"; {near[0]}?" if near else "")
    for name, described in properties.items():
        if "Required" in described.get("flags", ()) and name not in value:
            yield f"{path}.{name}", "is missing"


def _property(value: Any, described: Mapping[str, Any], group: str, at: str) -> Iterator[tuple[str, str]]:
    if "ReadOnly" in described.get("flags", ()):
        yield at, "can only be read"
        return
    yield from _problems(value, Type(described["type"], group), at)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < described.get("min", value) or value > described.get("max", value):
            yield at, f"{value} is outside {described.get('min', '')}…{described.get('max', '')}"
    elif isinstance(value, str) and is_known(value):
        length = len(value)
        if length < described.get("minLength", 0) or length > described.get("maxLength", length):
            yield (
                at,
                f"{value!r} has {length} characters, not {described.get('minLength', 0)}…{described.get('maxLength', '')}",
            )
