"""What may be changed in a connection, and the connection as it is then. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from castiel.adapters.base import Provider
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.tasks import SyncMode
from castiel.errors import InvalidInput
from castiel.services.connection_rules import (
    NewEntity,
    check_settings,
    entities_of,
    instead,
    policy_of,
    refuse_twice,
)


@dataclass(frozen=True, slots=True)
class ChangedEntity:
    """An entity to add, or to put in the place of the one of its name, whose direction and switch then stay."""

    entity: str
    shard_type: str | None = None
    schema_id: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """What is left out stays as it is."""

    name: str | None = None
    """An empty one takes the name away."""
    entities: tuple[ChangedEntity, ...] = ()
    remove: tuple[str, ...] = ()
    """Entities that are synced no more."""
    directions: Mapping[str, SyncMode] = field(default_factory=dict)
    enabled: Mapping[str, bool] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    conflict_policy: Mapping[str, Any] | None = None
    """An empty one takes the connection's own policy away."""
    deduplicate: bool | None = None


def changed(
    before: Connection, change: ConnectionChange, provider: Provider, resolvers: Collection[str]
) -> Connection:
    """A copy with the change in it. Raises :class:`InvalidInput`, naming the field."""
    check_settings(provider, change.settings)
    for name in change.unset:
        if name in change.settings or name not in before.settings:
            reason = "set and unset" if name in change.settings else "not set"
            raise InvalidInput(f"settings: {name!r} is {reason}{instead(name, before.settings)}")
    after = before.copy_of()
    kept = {name: value for name, value in before.settings.items() if name not in change.unset}
    after.settings = {**kept, **change.settings}
    after.entities = _entities(before, change, provider)
    if change.name is not None:
        after.name = change.name or None
    if change.conflict_policy is not None:
        after.conflict_policy = (
            policy_of(change.conflict_policy, resolvers) if change.conflict_policy else None
        )
    if change.deduplicate is not None:
        after.deduplicate = change.deduplicate
    return after


def _entities(before: Connection, change: ConnectionChange, provider: Provider) -> list[EntitySync]:
    refuse_twice([each.entity for each in change.entities] + list(change.remove))
    there = {each.entity: each for each in before.entities}
    new = {each.entity: each for each in change.entities}
    _require(change.remove, there, before)
    names = [name for name in {**there, **new} if name not in change.remove]
    _require([*change.directions, *change.enabled], names, before)
    return [
        _entity(
            provider,
            there.get(name) or _by_the_rules(provider, new[name], SyncMode.BIDIRECTIONAL),
            new.get(name),
            change.directions.get(name),
            change.enabled.get(name),
        )
        for name in names
    ]


def _entity(
    provider: Provider,
    present: EntitySync,
    new: ChangedEntity | None,
    direction: SyncMode | None,
    enabled: bool | None,
) -> EntitySync:
    """One entity as it is then."""
    update: dict[str, Any] = {}
    if new is not None or direction is not None:
        made = _by_the_rules(provider, new or present, direction or present.direction)
        update |= {"shard_type": made.shard_type, "direction": made.direction, "schema_id": made.schema_id}
    if enabled is not None:
        update["enabled"] = enabled
    return present.model_copy(update=update)


def _by_the_rules(provider: Provider, entity: ChangedEntity | EntitySync, direction: SyncMode) -> EntitySync:
    """As when a connection is added."""
    [made] = entities_of(provider, [NewEntity(entity.entity, entity.shard_type, direction, entity.schema_id)])
    return made


def _require(names: Collection[str], known: Collection[str], connection: Connection) -> None:
    for name in names:
        if name not in known:
            raise InvalidInput(f"entities: connection {connection.id} has no {name!r}{instead(name, known)}")
