"""Pairs into groups: each group one person or company.

Merging is not transitive by itself: "J. Smith" may match the father and the son. So two groups become one only if
no record of one contradicts a record of the other, unless a third that matches both outright has the very fields they
contradict each other in (it was seen with the one wrong, and with the other wrong, and is still the same).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import product

from castiel.domain.matching.matcher import Matcher, Prepared
from castiel.domain.matching.results import Decision, MatchResult

Pair = tuple[int, int]


class Pairs:
    """The results of pairs of records, each found once."""

    def __init__(self, matcher: Matcher, records: Sequence[Prepared]) -> None:
        self.records = records
        self._matcher = matcher
        self._found: dict[Pair, MatchResult | None] = {}
        self._whole: dict[Pair, MatchResult] = {}

    def compare(self, i: int, j: int) -> MatchResult | None:
        """The pair's result; None for distinct records."""
        pair = (i, j) if i < j else (j, i)
        if pair not in self._found:
            self._found[pair] = self._matcher.compare(self.records[pair[0]], self.records[pair[1]])
        return self._found[pair]

    def score(self, i: int, j: int) -> MatchResult:
        """The pair's whole result, distinct or not."""
        pair = (i, j) if i < j else (j, i)
        found = self._found.get(pair) or self._whole.get(pair)
        if found is None:
            found = self._whole[pair] = self._matcher.score(self.records[pair[0]], self.records[pair[1]])
        return found


def cluster(pairs: Pairs, merges: Iterable[Pair], apart: Collection[int] = ()) -> list[list[int]]:
    """Groups of two and more, each sorted, by first member. Two records of ``apart`` never share a group.

    The strongest pairs join first; equally strong ones in the order of their content, so that the groups do not
    depend on the order the records came in.
    """
    group_of: dict[int, list[int]] = {}
    for i, j in sorted(merges, key=lambda pair: _strength(pairs, pair)):
        one, other = group_of.get(i, [i]), group_of.get(j, [j])
        if one is other or not _compatible(pairs, one, other, apart):
            continue
        joined = sorted([*one, *other])
        for member in joined:
            group_of[member] = joined
    return sorted({id(group): group for group in group_of.values()}.values())


def _strength(pairs: Pairs, pair: Pair) -> tuple[float, tuple[object, ...]]:
    result = pairs.score(*pair)
    content = sorted(pairs.records[index].texts for index in pair)
    return -round(result.score, 9), (*content, *pair)


def _compatible(pairs: Pairs, one: Sequence[int], other: Sequence[int], apart: Collection[int]) -> bool:
    if apart and any(i in apart for i in one) and any(j in apart for j in other):
        return False
    members = (*one, *other)
    return all(
        not pairs.score(i, j).contradicted or _vouched_for(pairs, i, j, members)
        for i, j in product(one, other)
    )


def _vouched_for(pairs: Pairs, i: int, j: int, members: Sequence[int]) -> bool:
    disputed = pairs.records[i].mask & pairs.records[j].mask
    return any(
        disputed & ~pairs.records[third].mask == 0
        and pairs.score(i, third).decision is Decision.MERGE
        and pairs.score(third, j).decision is Decision.MERGE
        for third in members
        if third not in (i, j)
    )
