"""Duplicates within a page, and between a page and the candidates its blocking keys found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from castiel.domain.matching.blocking import blocking_keys
from castiel.domain.matching.clusters import Pair, Pairs, cluster
from castiel.domain.matching.matcher import Matcher, Prepared
from castiel.domain.matching.results import Decision, MatchResult
from castiel.domain.matching.values import Fields

WINDOW = 25
"""Of a key that more records share, each is compared with so many neighbours (sorted by content) only."""


@dataclass(frozen=True, slots=True)
class FoundPair:
    """Two records (``first`` < ``second``, positions in what was given) and what their comparison found."""

    first: int
    second: int
    result: MatchResult


@dataclass(frozen=True, slots=True)
class Duplicates:
    """``groups``: records to merge, two or more each, in order. ``reviews``: pairs a person should look at."""

    groups: list[list[int]]
    reviews: list[FoundPair]
    compared: int


@dataclass(frozen=True, slots=True)
class Possible:
    """A possible duplicate for review: a candidate or another record of the page, by position."""

    candidate: int | None
    page_record: int | None
    result: MatchResult


@dataclass(frozen=True, slots=True)
class PageDecision:
    """What becomes of one record of a page.

    ``merge`` with ``candidate``: into that existing record. ``merge`` with ``leader``: into that record of the
    page, which is new. Else it is a new record, to be parked for review where ``reviews`` are.
    """

    decision: Decision
    candidate: int | None = None
    leader: int | None = None
    result: MatchResult | None = None
    reviews: tuple[Possible, ...] = ()


def find_duplicates(records: Sequence[Fields], matcher: Matcher) -> Duplicates:
    """The duplicates among the records: the same groups in whatever order they come."""
    groups, reviews, pairs = _resolve(records, 0, matcher)
    return Duplicates(groups, reviews, pairs)


def match_page(page: Sequence[Fields], candidates: Sequence[Fields], matcher: Matcher) -> list[PageDecision]:
    """One decision per record of the page. Existing records are never merged with each other here.

    ``candidates``: the existing records that share a blocking key with the page; the order given decides between
    equals, so give the oldest first.
    """
    everything = [*candidates, *page]
    groups, reviews, _ = _resolve(everything, len(candidates), matcher)
    group_of = {member: group for group in groups for member in group}
    possible: defaultdict[int, list[FoundPair]] = defaultdict(list)
    for pair in reviews:
        possible[pair.first].append(pair)
        possible[pair.second].append(pair)
    prepared = Pairs(matcher, [matcher.prepare(fields) for fields in everything]) if groups else None
    decisions = []
    for position in range(len(candidates), len(everything)):
        found = tuple(_possible(pair, position, len(candidates)) for pair in possible[position])
        target = group_of.get(position, [position])[0]
        if target == position or prepared is None:
            decisions.append(PageDecision(Decision.REVIEW if found else Decision.DISTINCT, reviews=found))
            continue
        existing = target < len(candidates)
        decisions.append(
            PageDecision(
                Decision.MERGE,
                candidate=target if existing else None,
                leader=None if existing else target - len(candidates),
                result=prepared.score(target, position),
                reviews=found,
            )
        )
    return decisions


def _possible(pair: FoundPair, position: int, candidates: int) -> Possible:
    other = pair.second if pair.first == position else pair.first
    if other < candidates:
        return Possible(other, None, pair.result)
    return Possible(None, other - candidates, pair.result)


def _resolve(
    records: Sequence[Fields], existing: int, matcher: Matcher
) -> tuple[list[list[int]], list[FoundPair], int]:
    """Groups, pairs for review and the number of pairs compared; the first ``existing`` records stay apart."""
    prepared = [matcher.prepare(fields) for fields in records]
    twins = _same_content(prepared, existing)
    unique = sorted(twins)
    results = Pairs(matcher, prepared)
    likely = _likely_pairs(records, prepared, unique, existing, matcher)
    merges: list[Pair] = []
    reviews: list[Pair] = []
    for pair in likely:
        if (found := results.compare(*pair)) is not None:
            (merges if found.decision is Decision.MERGE else reviews).append(pair)
    groups = cluster(results, merges, range(existing))
    grouped = {member: position for position, group in enumerate(groups) for member in group}
    apart = [pair for pair in (*reviews, *merges) if grouped.get(pair[0], -1) != grouped.get(pair[1], -2)]
    for first, others in twins.items():
        if others and results.score(first, first).decision is Decision.MERGE:
            if first in grouped:
                groups[grouped[first]] = sorted([*groups[grouped[first]], *others])
            else:
                groups.append([first, *others])
    return sorted(groups), [FoundPair(i, j, results.score(i, j)) for i, j in sorted(apart)], len(likely)


def _same_content(prepared: Sequence[Prepared], existing: int) -> dict[int, list[int]]:
    """The first record of each content, with the page's later ones that say the very same."""
    first_of: dict[tuple[tuple[str, ...], ...], int] = {}
    same: dict[int, list[int]] = {}
    for position, record in enumerate(prepared):
        first = position if position < existing else first_of.setdefault(record.texts, position)
        same.setdefault(first, [])
        if first != position:
            same[first].append(position)
    return same


def _likely_pairs(
    records: Sequence[Fields],
    prepared: Sequence[Prepared],
    positions: Sequence[int],
    existing: int,
    matcher: Matcher,
) -> list[Pair]:
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    for position in positions:
        for key in blocking_keys(records[position], matcher.rules):
            blocks[key].append(position)
    pairs: set[Pair] = set()
    for block in blocks.values():
        if len(block) > WINDOW:
            block.sort(key=lambda position: prepared[position].texts)
            near = ((i, j) for at, i in enumerate(block) for j in block[at + 1 : at + 1 + WINDOW])
            pairs.update((i, j) if i < j else (j, i) for i, j in near)
        else:
            pairs.update(combinations(block, 2))
    return sorted(pair for pair in pairs if pair[1] >= existing)
