"""What a connection may be: its settings, entities and conflict policy against what its provider has. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from castiel.adapters.base import Provider
from castiel.domain.conflicts import ConflictPolicy
from castiel.domain.connections import EntitySync
from castiel.domain.tasks import SyncMode
from castiel.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class NewEntity:
    """An entity to sync. Without a shard type it is that of the provider's default schema."""

    entity: str
    shard_type: str | None = None
    direction: SyncMode = SyncMode.BIDIRECTIONAL
    schema_id: str | None = None


def default_entities(provider: Provider, direction: SyncMode) -> list[EntitySync]:
    """All that the provider has a default schema for."""
    return [
        EntitySync(entity=entity, shard_type=shard_type, direction=_possible(provider, entity, direction))
        for entity, shard_type in _defaults(provider).items()
    ]


def entities_of(provider: Provider, wanted: Sequence[NewEntity]) -> list[EntitySync]:
    """Each as it can be synced. Raises :class:`InvalidInput`, also for one that is there twice."""
    names = [each.entity for each in wanted]
    refuse_twice(names)
    return [_entity(provider, each) for each in wanted]


def refuse_twice(entities: Sequence[str]) -> None:
    """Raises :class:`InvalidInput` for an entity that is named twice."""
    twice = {name for name in entities if entities.count(name) > 1}
    if twice:
        raise InvalidInput(f"entities: {', '.join(sorted(twice))} twice")


def check_settings(provider: Provider, settings: Collection[str]) -> None:
    """Raises :class:`InvalidInput` for a setting that the provider does not have."""
    known = provider.capabilities.arguments
    for name in settings:
        if name not in known:
            raise InvalidInput(f"settings: {provider.title} has no {name!r}{instead(name, known)}")


def policy_of(given: Mapping[str, Any], resolvers: Collection[str]) -> dict[str, Any]:
    """A conflict policy as it is stored. ``resolvers``: the functions that it may name."""
    try:
        policy = ConflictPolicy.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"conflictPolicy{'.' if where else ''}{where}: {first['msg']}") from None
    for name in policy.resolver_names() - frozenset(resolvers):
        raise InvalidInput(f"conflictPolicy: there is no resolver {name!r}{instead(name, resolvers)}")
    return policy.to_json()


def instead(name: str, known: Collection[str]) -> str:
    """What was probably meant, or what there is, as the end of a sentence."""
    near = difflib.get_close_matches(name, list(known), n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(sorted(known))}" if known else ""


def _entity(provider: Provider, wanted: NewEntity) -> EntitySync:
    defaults = _defaults(provider)
    known = {*provider.capabilities.entities, *defaults}
    if wanted.entity not in known and wanted.schema_id is None:
        raise InvalidInput(
            f"entities: {provider.title} has no default schema for {wanted.entity!r}, so it needs a schema of its own"
            f"{instead(wanted.entity, known)}"
        )
    if wanted.entity in provider.capabilities.read_only_entities and wanted.direction is SyncMode.PUSH:
        raise InvalidInput(f"entities: {wanted.entity} can only be read at {provider.title}")
    shard_type = wanted.shard_type or defaults.get(wanted.entity)
    if shard_type is None:
        raise InvalidInput(f"entities: name the shard type of {wanted.entity}, as {wanted.entity}=type")
    return EntitySync(
        entity=wanted.entity,
        shard_type=shard_type,
        direction=_possible(provider, wanted.entity, wanted.direction),
        schema_id=wanted.schema_id,
    )


def _possible(provider: Provider, entity: str, direction: SyncMode) -> SyncMode:
    """What can only be read is only pulled."""
    return SyncMode.PULL if entity in provider.capabilities.read_only_entities else direction


def _defaults(provider: Provider) -> dict[str, str]:
    return {str(data["entity"]): str(data["shardType"]) for data in provider.default_schemas}
