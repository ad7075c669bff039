"""What a comparison found, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Decision(StrEnum):
    """What becomes of a pair."""

    MERGE = "merge"
    REVIEW = "review"
    DISTINCT = "distinct"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one field rule said about a pair. Names and numbers only, never the values.

    ``similarity`` is None where a record lacks the field and the rule counts that as disagreement.
    ``contribution`` is what the rule added to the score's sum (``evidence``: bits; ``mean``: weighted similarity).
    """

    rule: str
    fields: tuple[str, ...]
    strategy: str
    function: str
    similarity: float | None
    weight: float
    contribution: float
    swapped: bool = False

    def to_json(self) -> dict[str, Any]:
        """The JSON object, for results and parked duplicates."""
        return {
            "rule": self.rule,
            "fields": list(self.fields),
            "strategy": self.strategy,
            "function": self.function,
            "similarity": None if self.similarity is None else round(self.similarity, 4),
            "weight": self.weight,
            "contribution": round(self.contribution, 4),
            "swapped": self.swapped,
        }


@dataclass(slots=True)
class MatchResult:
    """A pair's score (0..1), the decision it led to, and each field's part in it.

    ``held_back_by`` names the guards that kept a score above the merge threshold from merging.
    ``contradicted``: the records speak against each other, rather than just saying too little.
    ``explain`` makes the explanations: they are for the few pairs somebody looks at.
    """

    score: float
    decision: Decision
    held_back_by: tuple[str, ...]
    contradicted: bool
    explain: Callable[[], tuple[Explanation, ...]] = field(repr=False, compare=False)

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """What each compared field contributed, the most decisive first."""
        return self.explain()

    def to_json(self) -> dict[str, Any]:
        """The JSON object, for results and parked duplicates."""
        return {
            "score": round(self.score, 4),
            "decision": self.decision.value,
            "heldBackBy": list(self.held_back_by),
            "contradicted": self.contradicted,
            "explanations": [explanation.to_json() for explanation in self.explanations],
        }
