"""A record deleted on one side and changed on the other: the later of the two stands.

Neither is lost by the order in which they happen to arrive. What is only our own write coming back, or what a provider
works out by itself, is no change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from castiel.domain.json_values import same
from castiel.domain.shards import ExternalReference, Shard

GRAIN = timedelta(seconds=1)
"""Salesforce dates in whole seconds: closer than that, nobody knows which came first, and the deletion stands."""


def outlives(
    shard: Shard,
    reference: ExternalReference,
    external_base: Mapping[str, Any],
    fed: Collection[str],
    modified_at: datetime | None,
) -> bool:
    """Whether a record that is there brings its deleted shard (or deleted reference) back.

    ``external_base``: the record's values, as the next base. ``fed``: the fields that are pushed to it; others that
    were never agreed on are the provider's own. Where nobody can say when the record changed, a change counts.
    """
    base = reference.base
    changed = any(
        not same(value, base.get(name))
        for name, value in external_base.items()
        if name in base or name in fed
    )
    if changed:
        return _is_later(modified_at, shard.deleted_at if shard.deleted else reference.modified_at)
    if not reference.deleted:
        return False  # deleted here or by another system; it goes from this one by a push
    # It may have been restored, or read before it was deleted: then it was not touched since it was last seen.
    known = reference.modified_at
    return known is None or modified_at is None or modified_at > known


def changed_after(
    shard: Shard, names: Collection[str], deleted_at: datetime | None, *, besides: str | None = None
) -> list[str]:
    """Those of the fields that were set later than a record was deleted, by others than ``besides``.

    ``deleted_at`` of ``None``: nobody knows when.
    """
    if deleted_at is None:
        return []
    return sorted(
        name
        for name in names
        if (origin := shard.field_origins.get(name)) is not None
        and origin.source != besides
        and _is_later(origin.at, deleted_at)
    )


def _is_later(changed_at: datetime | None, deleted_at: datetime | None) -> bool:
    return changed_at is None or deleted_at is None or changed_at > deleted_at + GRAIN
