"""The ``merge`` strategy: lists as three-way sets, objects member by member, anything else the newest."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from castiel.domain.conflicts.versions import ABSENT, FieldVersions
from castiel.domain.json_values import identity, same


def merge_values(versions: FieldVersions) -> Any:
    """One value out of three. What only one side changed is taken from that side, at every depth."""
    base, local, external = versions.base, versions.local, versions.external
    if same(local, external) or same(local, base):
        return external
    if same(external, base):
        return local
    if isinstance(local, list) and isinstance(external, list):
        return _merge_lists(base if isinstance(base, list) else [], local, external)
    if isinstance(local, Mapping) and isinstance(external, Mapping):
        return _merge_objects(versions, base if isinstance(base, Mapping) else {}, local, external)
    return versions.newest


def _merge_lists(base: list[Any], local: list[Any], external: list[Any]) -> list[Any]:
    """Items either side added are in, items either side removed are out. Local order first, each item once."""
    in_base, in_local, in_external = _identities(base), _identities(local), _identities(external)
    kept = [item for item in local if (key := identity(item)) not in in_base or key in in_external]
    added = [item for item in external if (key := identity(item)) not in in_base and key not in in_local]
    unique: dict[Hashable, Any] = {}
    for item in kept + added:
        unique.setdefault(identity(item), item)
    return list(unique.values())


def _merge_objects(
    versions: FieldVersions, base: Mapping[str, Any], local: Mapping[str, Any], external: Mapping[str, Any]
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in dict.fromkeys([*local, *external]):
        member = replace(
            versions,
            base=base.get(name, ABSENT),
            local=local.get(name, ABSENT),
            external=external.get(name, ABSENT),
        )
        value = merge_values(member)
        if value is not ABSENT:
            merged[name] = value
    return merged


def _identities(items: Iterable[Any]) -> set[Hashable]:
    return {identity(item) for item in items}
