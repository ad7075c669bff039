"""Conflicts: fields changed on both sides since they last agreed, and the six ways to settle them."""

from castiel.domain.conflicts.merge import ChangedAt, FieldConflict, MergeOutcome, merge_three_way
from castiel.domain.conflicts.policy import ConflictPolicy, ConflictStrategy
from castiel.domain.conflicts.resolvers import BUILT_IN, UNRESOLVED, Resolver
from castiel.domain.conflicts.versions import FieldVersions

__all__ = [
    "BUILT_IN",
    "UNRESOLVED",
    "ChangedAt",
    "ConflictPolicy",
    "ConflictStrategy",
    "FieldConflict",
    "FieldVersions",
    "MergeOutcome",
    "Resolver",
    "merge_three_way",
]
