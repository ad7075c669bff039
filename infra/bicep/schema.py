"""Resource types as ``infra/azure/schemas/types.json`` keeps them.

A type is written as: ``"string"``, ``"int"``, ``"bool"``, ``"any"``; ``{"enum": [values]}``; ``{"array": type}``;
``{"map": type}``; ``{"ref": name}`` within its group; ``{"props": {name: {"type", "flags", "min", "max"}}}`` with
``"extra"`` for further names; and ``{"by": property, "cases": {value: type}, "props": {…}}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent.parent / "azure" / "schemas" / "types.json"


@dataclass(frozen=True)
class Type:
    """One type, with the group that its references are looked up in."""

    body: Any
    group: str

    def resolved(self) -> Type:
        """Itself, or what it refers to."""
        found = self
        while isinstance(found.body, Mapping) and "ref" in found.body:
            found = Type(groups()[found.group][found.body["ref"]], found.group)
        return found

    def property(self, name: str) -> tuple[Type, Mapping[str, Any]] | None:
        """A property's type and its description; ``None`` when there is no such property."""
        body = self.resolved().body
        if not isinstance(body, Mapping):
            return (Type("any", self.group), {}) if body == "any" else None
        if "map" in body:
            return Type(body["map"], self.group), {}
        known = {**body.get("props", {})}
        for case in body.get("cases", {}).values():
            known.update(Type(case, self.group).resolved().body.get("props", {}))
        if name in known:
            return Type(known[name]["type"], self.group), known[name]
        return (Type(body["extra"], self.group), {}) if "extra" in body else None


@cache
def _file() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text("utf-8")))


def groups() -> Mapping[str, Any]:
    """The named types of each provider and version."""
    return dict(_file()["groups"])


def resource_type(name: str) -> Type | None:
    """The body of ``Provider/type@version``; ``None`` for a type without a schema."""
    found = _file()["resources"].get(name)
    return None if found is None else Type(found["body"], found["group"])


def sources() -> dict[str, str]:
    """Where each resource type's schema comes from."""
    return {name: each["source"] for name, each in _file()["resources"].items()}
