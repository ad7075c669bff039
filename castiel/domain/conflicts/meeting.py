"""Who wins where two records of one thing differ at their first meeting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from castiel.domain.conflicts.policy import ConflictPolicy, ConflictStrategy
from castiel.domain.json_values import is_empty
from castiel.domain.matching import MergePolicy


def meeting_policy(
    merge_policy: MergePolicy, own: ConflictPolicy, stored: Mapping[str, Any], coming: Mapping[str, Any]
) -> ConflictPolicy:
    """The matching rules' merge policy, as the policy of a three-way merge without a base.

    ``merge_fields`` leaves it to the connection's ``own`` strategies.
    """
    match merge_policy:
        case MergePolicy.KEEP_FIRST:
            return ConflictPolicy(strategy=ConflictStrategy.LOCAL_WINS)
        case MergePolicy.KEEP_LAST:
            return ConflictPolicy(strategy=ConflictStrategy.EXTERNAL_WINS)
        case MergePolicy.KEEP_MOST_COMPLETE:
            first = _filled(stored) >= _filled(coming)
            return ConflictPolicy(
                strategy=ConflictStrategy.LOCAL_WINS if first else ConflictStrategy.EXTERNAL_WINS
            )
        case MergePolicy.MERGE_FIELDS:
            return own


def _filled(fields: Mapping[str, Any]) -> int:
    return sum(not is_empty(value) for value in fields.values())
