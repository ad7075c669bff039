"""Named similarities: how much alike two normalised values are, from 0 (nothing) to 1 (the same).

A similarity has two halves: ``prepare`` does once per value what would else be done once per pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from rapidfuzz.distance import OSA, Indel, JaroWinkler

from castiel.domain.matching.given_names import COMMON_GIVEN_NAMES
from castiel.domain.matching.nicknames import nickname_groups


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
NEAR_MISS = 0.89
"""The most that two given names score which are alike: a slip of the pen, or a sibling."""
SLIP = 0.93
"""What two given names score of which one is the other, mistyped."""


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


class _GivenName(NamedTuple):
    text: str
    words: tuple[str, ...]
    groups: frozenset[int]


def _prepare_given_name(value: str) -> _GivenName:
    words = tuple(value.split())
    return _GivenName(_spaceless(value), words, nickname_groups(words[0]) if words else frozenset())


def _given_name(a: _GivenName, b: _GivenName) -> float:
    if a.text == b.text:
        return 1.0
    if not a.words or not b.words:
        return 0.0
    first_a, first_b = a.words[0], b.words[0]
    if len(first_a) == 1 or len(first_b) == 1:
        return 0.9 if first_a[0] == first_b[0] else 0.0
    if len(a.words) == 1 or len(b.words) == 1:
        if first_a == first_b:
            return 0.95
    elif first_a == first_b:
        # Mary Ann and Mary Jane; Mary A and Mary Ann are the same.
        second_a, second_b = a.words[1], b.words[1]
        return 0.95 if second_a.startswith(second_b) or second_b.startswith(second_a) else 0.5
    if not a.groups.isdisjoint(b.groups):
        return 0.95
    return SLIP if _is_slip(a.text, b.text) else min(jaro_winkler(a.text, b.text), NEAR_MISS)


def _is_slip(a: str, b: str) -> bool:
    """One name mistyped, rather than two names (Paul and Paula, Kayla and Tayla, Martin and Marvin)."""
    if a[0] != b[0] or a[-1] != b[-1] or abs(len(a) - len(b)) > 2:
        return False  # slips seldom hit the first letter; other endings make other names
    if a in COMMON_GIVEN_NAMES and b in COMMON_GIVEN_NAMES:
        return False
    return _osa_distance(a, b) <= (2 if min(len(a), len(b)) >= 7 else 1)


class _Street(NamedTuple):
    numbers: tuple[str, ...]
    name: str


def _prepare_street(value: str) -> _Street:
    words = value.split()
    numbers = tuple(sorted(word for word in words if word[0].isdigit()))
    return _Street(numbers, "".join(word for word in words if not word[0].isdigit()))


def _street(a: _Street, b: _Street) -> float:
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
        "date": Similarity(_same, _date),
        "givenName": Similarity(_prepare_given_name, _given_name),
        "street": Similarity(_prepare_street, _street),
    }
)
"""Every similarity by the name rules use."""
