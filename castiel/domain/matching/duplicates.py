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
    return _resolve(records, 0, matcher)[0]


def match_page(
    page: Sequence[Fields],
    candidates: Sequence[Fields],
    matcher: Matcher,
    keys: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]] | None = None,
) -> list[PageDecision]:
    """One decision per record of the page. Existing records are never merged with each other here.

    ``candidates``: the existing records that share a blocking key with the page; the order given decides between
    equals, so give the oldest first. ``keys``: the blocking keys of the page's records and of the candidates, where they are known
    already.
    """
    everything = [*candidates, *page]
    all_keys = None if keys is None else [*keys[1], *keys[0]]
    duplicates, results = _resolve(everything, len(candidates), matcher, all_keys)
    group_of = {member: group for group in duplicates.groups for member in group}
    possible: defaultdict[int, list[FoundPair]] = defaultdict(list)
    for pair in duplicates.reviews:
        possible[pair.first].append(pair)
        possible[pair.second].append(pair)
    decisions = []
    for position in range(len(candidates), len(everything)):
        found = tuple(_possible(pair, position, len(candidates)) for pair in possible[position])
        target = group_of.get(position, [position])[0]
        if target == position:
            decisions.append(PageDecision(Decision.REVIEW if found else Decision.DISTINCT, reviews=found))
            continue
        existing = target < len(candidates)
        decisions.append(
            PageDecision(
                Decision.MERGE,
                candidate=target if existing else None,
                leader=None if existing else target - len(candidates),
                result=results.score(target, position),
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
    records: Sequence[Fields], existing: int, matcher: Matcher, keys: Sequence[Sequence[str]] | None = None
) -> tuple[Duplicates, Pairs]:
    """The duplicates, and the results they rest on. No two of the first ``existing`` records get together."""
    prepared = [matcher.prepare(fields) for fields in records]
    copies = _copies(prepared, existing, matcher)
    results = Pairs(matcher, prepared)
    if keys is None:
        keys = [blocking_keys(fields, matcher.rules) for fields in records]
    likely = _likely_pairs(keys, prepared, sorted(copies), existing)
    merges: list[Pair] = []
    reviews: list[Pair] = []
    for pair in likely:
        if (result := results.compare(*pair)) is not None:
            (merges if result.decision is Decision.MERGE else reviews).append(pair)
    groups = cluster(results, merges, range(existing))
    grouped = {member: position for position, group in enumerate(groups) for member in group}
    apart = [pair for pair in (*reviews, *merges) if grouped.get(pair[0], -1) != grouped.get(pair[1], -2)]
    for first, others in copies.items():
        if first in grouped:
            groups[grouped[first]] = sorted([*groups[grouped[first]], *others])
        elif others:
            groups.append([first, *others])
    found = [FoundPair(i, j, results.score(i, j)) for i, j in sorted(apart)]
    return Duplicates(sorted(groups), found, len(likely)), results


def _copies(prepared: Sequence[Prepared], existing: int, matcher: Matcher) -> dict[int, list[int]]:
    """Each record, with the page's later ones that say the very same, where that is enough to merge them."""
    first_of: dict[tuple[tuple[str, ...], ...], int] = {}
    copies: dict[int, list[int]] = {}
    for position, record in enumerate(prepared):
        first = position if position < existing else first_of.setdefault(record.texts, position)
        if first != position and matcher.score(record, record).decision is Decision.MERGE:
            copies[first].append(position)
        else:
            copies[position] = []
    return copies


def _likely_pairs(
    keys: Sequence[Sequence[str]],
    prepared: Sequence[Prepared],
    positions: Sequence[int],
    existing: int,
) -> list[Pair]:
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    for position in positions:
        for key in keys[position]:
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
