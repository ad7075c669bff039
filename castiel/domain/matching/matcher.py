"""Comparing two records by match rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from castiel.domain.matching.comparators import Many, MatchFunction, closest, comparator
from castiel.domain.matching.plans import ALONE, FIRST_OF_SWAP, Guarding, Plan, Planner, line
from castiel.domain.matching.results import Decision, Explanation, MatchResult
from castiel.domain.matching.rules import MatchRules, Scoring
from castiel.domain.matching.similarities import jaro_winkler
from castiel.domain.matching.values import Fields, with_derived

NO_FUNCTIONS: Mapping[str, MatchFunction] = MappingProxyType({})

REQUIRES_ANY = "mergeRequiresAny"
"""What ``held_back_by`` says where no field of ``merge_requires_any`` agrees."""

_TURNED = 0.97
"""Values in each other's place agree by this share of what they would in their own."""
_TURN_BELOW = 0.9
_NEVER = -1e300
_CERTAIN = 1000.0
"""Bits; beyond, a probability is 0 or 1 in every digit a float has, and its formula overflows."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record made ready to be compared often: normalised, encoded. ``texts`` are its normalised values."""

    values: tuple[Any, ...]
    texts: tuple[tuple[str, ...], ...]
    mask: int


class Matcher:
    """One set of rules, ready to run. Keeps nothing of the records it is given."""

    def __init__(self, rules: MatchRules, functions: Mapping[str, MatchFunction] = NO_FUNCTIONS) -> None:
        """``functions``: the custom comparisons by name. ConfigurationError: a rule names another."""
        self.rules = rules
        self._comparators = [comparator(rule, functions) for rule in rules.fields]
        self._lines = [line(rule, rules.scoring) for rule in rules.fields]
        self._planner = Planner(rules, self._comparators, self._lines)
        self._evidence = rules.scoring is Scoring.EVIDENCE
        self._merge_threshold = rules.merge_threshold
        self._review_threshold = rules.review_threshold

    def prepare(self, fields: Fields) -> Prepared:
        """Do once per record what every comparison of it needs."""
        complete = with_derived(fields, self.rules.derive)
        values, texts, mask = [], [], 0
        for position, each in enumerate(self._comparators):
            normalised = each.texts(complete)
            prepared = each.prepare(complete, normalised) if normalised else ()
            if prepared:
                mask |= 1 << position
            values.append(prepared[0] if len(prepared) == 1 else Many(prepared))
            texts.append(normalised)
        return Prepared(tuple(values), tuple(texts), mask)

    def compare(self, a: Prepared, b: Prepared) -> MatchResult | None:
        """The result of a pair that is to be merged or reviewed; None for distinct records, found out early."""
        plan = self._planner.plan(a.mask, b.mask)
        total, differing, turned = self._sum(a, b, plan, plan.needed)
        if total < plan.needed or not plan.steps:
            return None
        result = self._result(plan, total, differing, turned)
        return None if result.decision is Decision.DISTINCT else result

    def score(self, a: Prepared, b: Prepared) -> MatchResult:
        """The whole result of a pair, with every field's part, whatever the decision."""
        plan = self._planner.plan(a.mask, b.mask)
        return self._result(plan, *self._sum(a, b, plan, _NEVER))

    def score_pairs(self, pairs: Iterable[tuple[Prepared, Prepared]]) -> Iterator[MatchResult | None]:
        """``compare`` for each pair, in order."""
        return (self.compare(a, b) for a, b in pairs)

    def _sum(
        self, a: Prepared, b: Prepared, plan: Plan, needed: float
    ) -> tuple[float, dict[int, float], tuple[int, ...]]:
        """The pair's sum, the similarities of the fields that differ, and the fields read as swapped."""
        values_a, values_b = a.values, b.values
        total = plan.best
        differing: dict[int, float] = {}
        turned: tuple[int, ...] = ()
        for index, partner, compare, floor, slope, most in plan.steps:
            x, y = values_a[index], values_b[index]
            if x == y:
                continue
            several = type(x) is Many or type(y) is Many
            similarity = closest(compare, x, y) if several else compare(x, y)
            differing[index] = similarity
            total -= slope * (1.0 - similarity) if similarity > floor else most
            if partner != ALONE:
                if partner == FIRST_OF_SWAP:
                    continue  # the second may turn this one around: nothing is final between them
                if similarity < _TURN_BELOW and differing.get(partner, 1.0) < _TURN_BELOW:
                    regained = self._turn(a, b, partner, index, differing)
                    if regained > 0:
                        total += regained
                        turned += (partner, index)
            if total < needed:
                break
        return total, differing, turned

    def _turn(self, a: Prepared, b: Prepared, one: int, other: int, differing: dict[int, float]) -> float:
        """What is regained by reading two fields' values as being in each other's place; 0 if nothing is."""
        # The mean of both directions, so that it does not matter which record is called a.
        if self._comparators[one].kind == self._comparators[other].kind:
            compare = self._comparators[one].compare
            there = closest(compare, a.values[one], b.values[other])
            back = closest(compare, a.values[other], b.values[one])
        else:
            there = jaro_winkler(a.texts[one][0], b.texts[other][0])
            back = jaro_winkler(a.texts[other][0], b.texts[one][0])
        similarity = _TURNED * (there + back) / 2
        line_one, line_other = self._lines[one], self._lines[other]
        as_they_stand = line_one.loss(differing[one]) + line_other.loss(differing[other])
        regained = as_they_stand - line_one.loss(similarity) - line_other.loss(similarity)
        if regained <= 0:
            return 0.0
        differing[one] = differing[other] = similarity
        return regained

    def _result(
        self, plan: Plan, total: float, differing: dict[int, float], turned: tuple[int, ...]
    ) -> MatchResult:
        if self._evidence:
            score = 1.0 / (1.0 + 2.0**-total) if -_CERTAIN < total < _CERTAIN else float(total > 0)
        else:
            score = min(1.0, max(0.0, total / plan.possible)) if plan.possible else 0.0
        vetoes, apart = _vetoes(plan, differing) if differing else ((), False)
        held: tuple[str, ...] = ()
        if apart:
            decision, held = Decision.DISTINCT, vetoes
        elif score < self._merge_threshold:
            decision = Decision.REVIEW if score >= self._review_threshold else Decision.DISTINCT
        else:
            held = vetoes + self._lacks(plan, differing)
            decision = Decision.REVIEW if held else Decision.MERGE
        against = (
            total < self.rules.prior
            if self._evidence
            else decision is Decision.DISTINCT and plan.possible > 0
        )
        explain = partial(self._explanations, plan, differing, turned)
        return MatchResult(score, decision, held, bool(vetoes) or against, explain)

    def _lacks(self, plan: Plan, differing: Mapping[int, float]) -> tuple[str, ...]:
        """What keeps the pair from merging though nothing speaks against it: too little that identifies."""
        lacking: tuple[str, ...] = ()
        if plan.absent:
            lacking = tuple(guard.rule for guard in plan.absent if not _excused(guard, differing))
        if self.rules.merge_requires_any:
            least = self.rules.merge_requires_at_least
            for index in plan.required:
                if differing.get(index, 1.0) >= least:
                    return lacking
            return (*lacking, REQUIRES_ANY)
        return lacking

    def _explanations(
        self, plan: Plan, differing: Mapping[int, float], turned: tuple[int, ...]
    ) -> tuple[Explanation, ...]:
        compared = [
            self._explanation(index, differing.get(index, 1.0), index in turned) for index in plan.common
        ]
        return (*compared, *(self._explanation(index, None, False) for index in plan.lacking))

    def _explanation(self, index: int, similarity: float | None, swapped: bool) -> Explanation:
        rule, each = self.rules.fields[index], self._lines[index]
        return Explanation(
            rule=rule.name,
            fields=tuple(rule.fields),
            strategy=rule.strategy.value,
            function=rule.similarity or "",
            similarity=similarity,
            weight=rule.weight,
            contribution=rule.weight - (each.most if similarity is None else each.loss(similarity)),
            swapped=swapped,
        )


def _vetoes(plan: Plan, differing: Mapping[int, float]) -> tuple[tuple[str, ...], bool]:
    """The guards whose field both records have, too unlike; and whether they make the two distinct."""
    vetoes: tuple[str, ...] = ()
    apart = False
    guards = plan.guards
    for position, similarity in differing.items():
        if position in guards:
            for guard in guards[position]:
                if similarity < guard.below and not _excused(guard, differing):
                    apart = apart or similarity < guard.distinct_below
                    if guard.rule not in vetoes:
                        vetoes += (guard.rule,)
    return vetoes, apart or len(vetoes) > 1


def _excused(guard: Guarding, differing: Mapping[int, float]) -> bool:
    for other in guard.unless:  # any() takes twice as long, and this runs for most pairs
        if differing.get(other, 1.0) >= guard.unless_at_least:
            return True
    least = guard.unless_all_at_least
    return bool(guard.unless_all) and all(differing.get(other, 1.0) >= least for other in guard.unless_all)
