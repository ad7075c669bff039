"""What people type about a connection, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from castiel.cli.exits import UsageProblem
from castiel.cli.values import json_or_text
from castiel.domain.tasks import SyncMode
from castiel.errors import InvalidInput

if TYPE_CHECKING:
    from castiel.services.connection_changes import ChangedEntity
    from castiel.services.connection_rules import NewEntity

OWN_POLICY_ENDS = "default"


def new_entity(text: str, direction: SyncMode) -> NewEntity:
    """``Contact``, ``Contact=person``, ``Contact=person@schema-1``."""
    from castiel.services.connection_rules import NewEntity

    entity, shard_type, schema = _entity(text)
    return NewEntity(entity, shard_type, direction, schema)


def changed_entity(text: str) -> ChangedEntity:
    """The same, for a connection that there is."""
    from castiel.services.connection_changes import ChangedEntity

    return ChangedEntity(*_entity(text))


def directions(texts: Sequence[str]) -> dict[str, SyncMode]:
    """``Contact=pull``, by the entity."""
    found: dict[str, SyncMode] = {}
    for text in texts:
        entity, _, direction = text.partition("=")
        try:
            found[entity] = SyncMode(direction)
        except ValueError:
            modes = ", ".join(f"{entity or 'Contact'}={each.value}" for each in SyncMode)
            raise UsageProblem(f"--direction {text!r}: write one of {modes}") from None
    return found


def switches(enable: Sequence[str], disable: Sequence[str]) -> dict[str, bool]:
    """Which entities are switched on, and which off."""
    both = sorted(set(enable) & set(disable))
    if both:
        raise UsageProblem(f"--enable, --disable: {', '.join(both)} is in both")
    return {**dict.fromkeys(enable, True), **dict.fromkeys(disable, False)}


def conflict_policy(text: str | None) -> Mapping[str, Any] | None:
    """A strategy's name, or the policy as JSON."""
    if text is None:
        return None
    value = json_or_text(text)
    if isinstance(value, str):
        return {"strategy": value}
    if not isinstance(value, dict):
        raise InvalidInput("--conflicts: a strategy's name, or a JSON object")
    return value


def changed_policy(text: str | None) -> Mapping[str, Any] | None:
    """The same, or an empty one for ``default``: none of the connection's own any more."""
    return {} if text == OWN_POLICY_ENDS else conflict_policy(text)


def _entity(text: str) -> tuple[str, str | None, str | None]:
    entity, _, rest = text.partition("=")
    shard_type, _, schema = rest.partition("@")
    if not entity:
        raise UsageProblem(f"--entity {text!r}: write Contact, Contact=person or Contact=person@schema-1")
    return entity, shard_type or None, schema or None
