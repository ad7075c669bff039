"""The answer of ``azmcp bicepschema get`` as the types of :mod:`infra.bicep.schema`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PRIMITIVES = frozenset({"string", "int", "bool", "any"})
SOURCE = "azmcp bicepschema (npm @azure/mcp-linux-x64 2.0.5, MIT)"


def convert(name: str, answer: list[dict[str, Any]]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The resource's entry, its group, and the named types that it reaches.

    Raises :class:`LookupError` when azmcp knows the type in another version only.
    """
    resource = next((each for each in answer if each["$type"] == "Resource" and each["name"] == name), None)
    if resource is None:
        known = [each["name"] for each in answer if each["$type"] == "Resource"]
        raise LookupError(f"{name}: azmcp has {', '.join(known)}")
    provider, _, version = name.partition("@")
    group = f"{provider.partition('/')[0]}@{version}"
    named = {each["name"]: each for each in answer if each["$type"] in ("Object", "DiscriminatedObject")}
    body = _object(resource["bodyType"], named)
    types: dict[str, Any] = {}
    _reach(body, named, types)
    return {"body": body, "group": group, "source": SOURCE}, group, types


def _reach(body: Any, named: Mapping[str, Any], types: dict[str, Any]) -> None:
    if isinstance(body, dict):
        target = body.get("ref")
        if isinstance(target, str) and target not in types:
            types[target] = _object(named[target], named)
            _reach(types[target], named, types)
        for value in body.values():
            _reach(value, named, types)


def _object(raw: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "props": {
            each["name"]: _property(each, named)
            for each in raw.get("properties", raw.get("baseProperties", []))
        }
    }
    if raw.get("additionalPropertiesType"):
        found["extra"] = _type(raw["additionalPropertiesType"], named)
    if raw["$type"] == "DiscriminatedObject":
        found["by"] = raw["discriminator"]
        found["cases"] = {}
        for case in raw["elements"]:
            own = next(each for each in case["properties"] if each["name"] == raw["discriminator"])
            found["cases"][own["type"]] = _object(case, named)
    return found


def _property(raw: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": _type(raw["type"], named)}
    flags = [flag for flag in ("Required", "ReadOnly") if flag in (raw.get("flags") or "")]
    if flags:
        found["flags"] = flags
    for key, modifier in (
        ("min", "minValue"),
        ("max", "maxValue"),
        ("minLength", "minLength"),
        ("maxLength", "maxLength"),
    ):
        limit = re.search(rf"\b{modifier}: (-?\d+)", raw.get("modifiers") or "")
        if limit:
            found[key] = int(limit[1])
    return found


def _type(text: Any, named: Mapping[str, Any]) -> Any:
    """``A | B | string`` is an enumeration that azmcp leaves open; values outside it are taken as mistakes."""
    if not isinstance(text, str):
        return "any"
    if text.endswith("[]"):
        return {"array": _type(text[:-2], named)}
    if text in PRIMITIVES:
        return text
    if text in named:
        return {"ref": text}
    values = [each.strip() for each in text.split("|")]
    return {"enum": [value for value in values if value != "string"]}
