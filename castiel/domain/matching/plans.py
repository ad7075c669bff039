"""Which comparisons a pair needs, in which order, given the fields both records have.

A pair starts with the sum it would have if all its common fields agreed, and each field that differs takes something
away, the most decisive first: as soon as the sum is below what a review needs, the pair is distinct. There are few
distinct sets of present fields, so a plan for each is made once and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from castiel.domain.matching.comparators import Comparator
from castiel.domain.matching.rules import FieldRule, MatchRules, MergeGuard, Missing, Scoring

Step = tuple[int, int, Callable[[Any, Any], float], float, float, float]
"""(rule index, ALONE, FIRST_OF_SWAP or the index of the first of the swap, compare, floor, slope, most).

A plain tuple: the loop over steps is the hottest of all, and unpacking one is the fastest there is.
"""

ALONE = -1
FIRST_OF_SWAP = -2

_MAX_PLANS = 4096
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Line:
    """What a similarity takes away from full agreement: a straight line down to ``floor``, then ``most``."""

    floor: float
    slope: float
    most: float

    def loss(self, similarity: float) -> float:
        """What a similarity takes away."""
        return self.slope * (1.0 - similarity) if similarity > self.floor else self.most


def line(rule: FieldRule, scoring: Scoring) -> Line:
    """``mean``: the weighted similarity. ``evidence``: from the weight (at 1) to the penalty (at the floor)."""
    if scoring is Scoring.MEAN:
        return Line(rule.floor, rule.weight, rule.weight)
    most = rule.weight + rule.penalty
    return Line(rule.floor, most / (1 - rule.floor), most)


class Guarding(NamedTuple):
    """A guard, with those of its exceptions that both records have."""

    rule: str
    below: float
    distinct_below: float
    unless: tuple[int, ...]
    unless_at_least: float
    unless_all: tuple[int, ...]
    unless_all_at_least: float


@dataclass(frozen=True, slots=True)
class Plan:
    """``best`` is the sum if all agrees; below ``needed`` a pair is distinct; ``possible``: the sum of all weights.

    ``common``: the rules compared, in order. ``lacking``: rules that count one record's missing value against it.
    ``guards``: those whose field both have, by its position; ``absent``: those that hold because one has not.
    ``required``: the rules of which one must agree for a merge, as far as both records have them.
    """

    steps: tuple[Step, ...]
    best: float
    possible: float
    needed: float
    common: tuple[int, ...]
    lacking: tuple[int, ...]
    guards: Mapping[int, tuple[Guarding, ...]]
    absent: tuple[Guarding, ...]
    required: tuple[int, ...]


@dataclass(slots=True)
class Planner:
    """Makes and keeps the plans for one set of rules."""

    rules: MatchRules
    comparators: Sequence[Comparator]
    lines: Sequence[Line]
    _plans: dict[int, Plan] = field(default_factory=dict)
    _index: dict[str, int] = field(default_factory=dict)
    _partners: dict[int, int] = field(default_factory=dict)
    _strict: int = 0

    def __post_init__(self) -> None:
        for index, rule in enumerate(self.rules.fields):
            self._index[rule.name] = index
            if rule.missing is Missing.DISAGREE:
                self._strict |= 1 << index
        for swap in self.rules.swaps:
            one, other = (self._index[name] for name in swap.rules)
            self._partners |= {one: other, other: one}

    def plan(self, mask_a: int, mask_b: int) -> Plan:
        """The plan for two records, given the rules each has values for (bit masks)."""
        common = mask_a & mask_b
        lacking = (mask_a ^ mask_b) & self._strict
        key = common | lacking << len(self.comparators)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._make(_bits(common), _bits(lacking))
        return plan

    def _make(self, common: Sequence[int], lacking: Sequence[int]) -> Plan:
        rules = self.rules
        units = self._units(common)
        compared = tuple(index for unit in units for index in unit)
        agreed = sum(rules.fields[index].weight for index in compared)
        if rules.scoring is Scoring.EVIDENCE:
            best = rules.prior + agreed - sum(rules.fields[index].penalty for index in lacking)
            possible = 0.0
            needed = math.log2(rules.review_threshold / (1 - rules.review_threshold))
        else:
            best = agreed
            possible = agreed + sum(rules.fields[index].weight for index in lacking)
            needed = rules.review_threshold * possible
        return Plan(
            steps=tuple(step for unit in units for step in self._steps(unit)),
            best=best,
            possible=possible,
            needed=needed - _ROUNDING,
            common=compared,
            lacking=tuple(lacking),
            guards={
                index: guards
                for index in compared
                if (
                    guards := tuple(
                        self._guarding(g, compared) for g in rules.guards if self._index[g.rule] == index
                    )
                )
            },
            absent=tuple(
                self._guarding(guard, compared)
                for guard in rules.guards
                if guard.missing is Missing.DISAGREE and self._index[guard.rule] not in compared
            ),
            required=tuple(i for name in rules.merge_requires_any if (i := self._index[name]) in compared),
        )

    def _units(self, common: Sequence[int]) -> list[tuple[int, ...]]:
        """The rules to compare, those of a swap together, the most decisive first."""
        units: list[tuple[int, ...]] = []
        for index in common:
            partner = self._partners.get(index, -1)
            if partner not in common:
                units.append((index,))
            elif index < partner:
                units.append((index, partner))
        return sorted(units, key=lambda unit: (-sum(self.lines[index].most for index in unit), unit))

    def _steps(self, unit: tuple[int, ...]) -> Iterator[Step]:
        for index in unit:
            partner = ALONE if len(unit) == 1 else FIRST_OF_SWAP if index == unit[0] else unit[0]
            each = self.lines[index]
            yield index, partner, self.comparators[index].compare, each.floor, each.slope, each.most

    def _guarding(self, guard: MergeGuard, compared: Sequence[int]) -> Guarding:
        exceptions = tuple(index for name in guard.unless if (index := self._index[name]) in compared)
        together = tuple(index for name in guard.unless_all if (index := self._index[name]) in compared)
        return Guarding(
            guard.rule,
            guard.below,
            guard.distinct_below,
            exceptions,
            guard.unless_at_least,
            together if len(together) == len(guard.unless_all) else (),
            guard.unless_all_at_least,
        )


def _bits(mask: int) -> list[int]:
    return [index for index in range(mask.bit_length()) if mask >> index & 1]
