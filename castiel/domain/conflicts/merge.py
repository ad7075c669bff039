"""Three-way merge of a shard's fields with an external record's, field by field, against what both last agreed on.

Which fields take part: those in ``base`` or ``external``. A field in neither is local only; it is kept, never
compared and never pushed. Within that scope a field that is absent counts as ``None``: one in ``base`` that
``external`` no longer has was cleared there, and one that was never agreed on was empty before, so that the first
meeting of two records fills each other's gaps without a conflict. Where ``carried`` says which fields the external
record can hold at all, others are out of scope: that it does not name them says nothing.

After the merge the engine stores ``outcome.base`` and ``outcome.parked`` on the external reference, and both are
passed in again next time:

- the base of a settled field is the external value, also where the merged value still has to be pushed: until the
  push arrives (and sets the base to what it pushed) the field stays in ``to_push``;
- the base of a field that waits for a person stays the old one, because nothing was agreed, and ``parked``
  remembers the external value the person was shown. While the external side says the same, the field is only
  *held*: not changed, not pushed, and not reported again. A new external value is a new conflict.

A person's decision is stored by setting the shard's field to the chosen value, the base to the parked external
value, and dropping the field from ``parked``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from castiel.domain.conflicts.policy import ConflictPolicy, ConflictStrategy
from castiel.domain.conflicts.resolvers import BUILT_IN, UNRESOLVED, Resolver
from castiel.domain.conflicts.structures import merge_values
from castiel.domain.conflicts.versions import FieldVersions
from castiel.domain.json_values import same
from castiel.errors import ConfigurationError

ChangedAt = Callable[[str], datetime | None] | Mapping[str, datetime]
"""When each field was last set here: a look-up by the field's name."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field changed on both sides to different values, and what became of it.

    ``resolved`` is false where it waits for a person; ``value`` is then the local one, which stays.
    """

    field: str
    base: Any
    local: Any
    external: Any
    strategy: ConflictStrategy
    resolved: bool
    value: Any


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """What a merge says is to be done.

    ``fields`` are all the shard's fields after it. ``changed_locally`` are those whose value in the shard must
    change, ``to_push`` those the external side still has to be told. ``base`` and ``parked`` are what to store on
    the external reference. ``held`` are the fields that wait for a person, newly or still.
    """

    fields: dict[str, Any]
    changed_locally: frozenset[str]
    to_push: frozenset[str]
    conflicts: tuple[FieldConflict, ...]
    base: dict[str, Any]
    parked: dict[str, Any]

    @property
    def held(self) -> frozenset[str]:
        """The fields that wait for a person."""
        return frozenset(self.parked)


def merge_three_way(
    base: Mapping[str, Any],
    local: Mapping[str, Any],
    external: Mapping[str, Any],
    policy: ConflictPolicy,
    *,
    local_changed_at: ChangedAt = _NOTHING,
    external_changed_at: datetime | None = None,
    resolvers: Mapping[str, Resolver] = BUILT_IN,
    parked: Mapping[str, Any] = _NOTHING,
    carried: Collection[str] | None = None,
) -> MergeOutcome:
    """Merge ``external`` into ``local``. Changes none of its arguments.

    ``parked`` holds, for fields a person was already asked about, the external value they were shown. ``carried`` are
    the fields that ``external`` can hold (``None``: any); what is known of others stays. Raises
    ``ConfigurationError`` where the policy names a resolver that is not in ``resolvers``.
    """
    when = local_changed_at.get if isinstance(local_changed_at, Mapping) else local_changed_at
    merge = _Merge(dict(local))
    for name in dict.fromkeys([*base, *external]):
        if carried is not None and name not in carried:
            merge.keep(name, base, parked)
            continue
        versions = FieldVersions(
            name, base.get(name), local.get(name), external.get(name), when(name), external_changed_at
        )
        if same(versions.external, versions.local) or same(versions.local, versions.base):
            merge.settle(versions, versions.external)
        elif same(versions.external, versions.base):
            merge.settle(versions, versions.local)
        else:
            _resolve(merge, versions, policy, resolvers, parked)
    return merge.outcome()


def _resolve(
    merge: _Merge,
    versions: FieldVersions,
    policy: ConflictPolicy,
    resolvers: Mapping[str, Resolver],
    parked: Mapping[str, Any],
) -> None:
    strategy = policy.strategy_for(versions.field)
    value = _decide(strategy, versions, policy.resolver_for(versions.field), resolvers)
    if value is UNRESOLVED:
        asked = versions.field in parked and same(parked[versions.field], versions.external)
        if not asked:
            merge.report(versions, strategy, resolved=False, value=versions.local)
        merge.hold(versions)
    else:
        merge.report(versions, strategy, resolved=True, value=value)
        merge.settle(versions, value)


def _decide(
    strategy: ConflictStrategy,
    versions: FieldVersions,
    resolver: str | None,
    resolvers: Mapping[str, Resolver],
) -> Any:
    match strategy:
        case ConflictStrategy.EXTERNAL_WINS:
            return versions.external
        case ConflictStrategy.LOCAL_WINS:
            return versions.local
        case ConflictStrategy.NEWEST_WINS:
            return versions.newest
        case ConflictStrategy.MERGE:
            return merge_values(versions)
        case ConflictStrategy.MANUAL:
            return UNRESOLVED
        case ConflictStrategy.CUSTOM:
            return _named(resolver, versions.field, resolvers)(versions)


def _named(name: str | None, field_name: str, resolvers: Mapping[str, Resolver]) -> Resolver:
    if name is None or name not in resolvers:
        known = ", ".join(sorted(resolvers))
        raise ConfigurationError(
            f"field '{field_name}': no conflict resolver is called '{name}'; there are: {known}"
        )
    return resolvers[name]


@dataclass(slots=True)
class _Merge:
    """The outcome as it grows."""

    fields: dict[str, Any]
    changed_locally: set[str] = field(default_factory=set)
    to_push: set[str] = field(default_factory=set)
    conflicts: list[FieldConflict] = field(default_factory=list)
    base: dict[str, Any] = field(default_factory=dict)
    parked: dict[str, Any] = field(default_factory=dict)

    def settle(self, versions: FieldVersions, value: Any) -> None:
        if not same(value, versions.local):
            self.fields[versions.field] = value
            self.changed_locally.add(versions.field)
        if not same(value, versions.external):
            self.to_push.add(versions.field)
        self.base[versions.field] = versions.external

    def keep(self, name: str, base: Mapping[str, Any], parked: Mapping[str, Any]) -> None:
        if name in base:
            self.base[name] = base[name]
        if name in parked:
            self.parked[name] = parked[name]

    def hold(self, versions: FieldVersions) -> None:
        self.base[versions.field] = versions.base
        self.parked[versions.field] = versions.external

    def report(
        self, versions: FieldVersions, strategy: ConflictStrategy, *, resolved: bool, value: Any
    ) -> None:
        self.conflicts.append(
            FieldConflict(
                versions.field, versions.base, versions.local, versions.external, strategy, resolved, value
            )
        )

    def outcome(self) -> MergeOutcome:
        return MergeOutcome(
            self.fields,
            frozenset(self.changed_locally),
            frozenset(self.to_push),
            tuple(self.conflicts),
            self.base,
            self.parked,
        )
