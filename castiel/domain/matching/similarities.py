"""Named similarities: how much alike two normalised values are, from 0 (nothing) to 1 (the same).

A similarity has two halves: ``prepare`` does once per value what would else be done once per pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from rapidfuzz.distance import OSA, Indel, JaroWinkler

from castiel.domain.matching import given_name_similarity


@dataclass(frozen=True, slots=True)
class Similarity:
    """``compare`` takes two prepared values; it is symmetric, and 1 for equal ones."""

    prepare: Callable[[str], Any]
    compare: Callable[[Any, Any], float]


_jaro_winkler: Callable[[str, str], float] = JaroWinkler.similarity
_osa_distance: Callable[[str, str], int] = OSA.distance
_osa: Callable[[str, str], float] = OSA.normalized_similarity
_indel: Callable[[str, str], float] = Indel.normalized_similarity

# One edit (a typed, missing or transposed character), two edits, more.
_BY_EDITS = (1.0, 0.88, 0.65)
_NEIGHBOURS_SWAPPED = 0.93
"""Two identity numbers with neighbouring digits swapped: chance has one way to that, and nine times more to others."""
_NEXT_NUMBER = 0.8
"""Two that differ in the last digit: a slip, or twins, whose numbers were given out one after the other."""
_HALF_STREET = 0.7


def _same(value: str) -> str:
    return value


def _equal(a: Any, b: Any) -> float:
    return 1.0 if a == b else 0.0


def jaro_winkler(a: str, b: str) -> float:
    """Jaro-Winkler, made symmetric: the greedy matching inside depends on which string comes first."""
    return _jaro_winkler(a, b) if a < b else _jaro_winkler(b, a)


def _spaceless(value: str) -> str:
    return value.replace(" ", "")


def _sorted_words(value: str) -> str:
    return " ".join(sorted(value.split()))


def _word_set(value: str) -> frozenset[str]:
    return frozenset(value.split())


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    union = len(a | b)
    return len(a & b) / union if union else 0.0


def _code(a: str, b: str) -> float:
    edits = _osa_distance(a, b)
    return _BY_EDITS[edits] if edits < len(_BY_EDITS) and min(len(a), len(b)) >= 4 else float(a == b)


def _date(a: str, b: str) -> float:
    if a != b and a[:4] == b[:4] and a[4:6] == b[6:] and a[6:] == b[4:6]:
        return 0.9
    return _code(a, b)


def _identity_number(a: str, b: str) -> float:
    edits = _osa_distance(a, b)
    if edits == 0:
        return 1.0
    if edits >= len(_BY_EDITS) or min(len(a), len(b)) < 4:
        return 0.0
    if edits == 1:
        if len(a) == len(b) and sorted(a) == sorted(b):
            return _NEIGHBOURS_SWAPPED
        if a[:-1] == b[: len(a) - 1] or b[:-1] == a[: len(b) - 1]:
            return _NEXT_NUMBER
    return _BY_EDITS[edits]


class _Street(NamedTuple):
    numbers: tuple[str, ...]
    name: str


def _prepare_street(value: str) -> _Street:
    words = value.split()
    numbers = tuple(sorted(word for word in words if word[0].isdigit()))
    return _Street(numbers, "".join(word for word in words if not word[0].isdigit()))


def _street(a: _Street, b: _Street) -> float:
    if a == b:
        return 1.0
    if not a.name or not b.name:  # a house number whose street was lost says what the number says, no more
        return _HALF_STREET if a.numbers == b.numbers or not (a.numbers and b.numbers) else 0.0
    name = 1.0 if a.name == b.name else _indel(a.name, b.name)
    if a.numbers == b.numbers:
        return name
    return name * (0.9 if not a.numbers or not b.numbers else 0.7)


SIMILARITIES: Mapping[str, Similarity] = MappingProxyType(
    {
        "equal": Similarity(_same, _equal),
        "jaroWinkler": Similarity(_spaceless, jaro_winkler),
        "editDistance": Similarity(_same, _osa),
        "ratio": Similarity(_spaceless, _indel),
        "sortedWords": Similarity(_sorted_words, _indel),
        "commonWords": Similarity(_word_set, _jaccard),
        "code": Similarity(_same, _code),
        "identityNumber": Similarity(_same, _identity_number),
        "date": Similarity(_same, _date),
        "givenName": Similarity(given_name_similarity.prepare, given_name_similarity.compare),
        "street": Similarity(_prepare_street, _street),
    }
)
"""Every similarity by the name rules use."""
