"""How much alike two given names are: forms and spellings of one name, slips of the pen, or two names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from rapidfuzz.distance import OSA, JaroWinkler

from castiel.domain.matching.given_names import known_given_names
from castiel.domain.matching.nicknames import nickname_groups

_jaro_winkler: Callable[[str, str], float] = JaroWinkler.similarity
_osa_distance: Callable[[str, str], int] = OSA.distance

SAME_NAME = 0.97
"""Forms and spellings of one name: Bill and William, Sara and Sarah, Mary and Mary Ann."""
SLIP = 0.95
"""What two given names score of which one is the other, mistyped: about as telling as the same name, since hardly any
two people's names are one slip apart."""
INITIAL = 0.9
"""An initial and a name that begins with it."""
ONE_OF_SEVERAL = 0.9
"""James Robert and Robert: called by the middle name, or a son with his father's name in the second place."""
NEAR_MISS = 0.89
"""The most that two given names score which are alike: a slip of the pen, or a sibling."""

_VOWELS = frozenset("aeiouy")
_SHORT = 4
"""Of names with fewer letters, too many are one slip apart."""
_LONG = 7
"""From so many letters on, two slips are as likely as one in a short name."""


class GivenName(NamedTuple):
    """A given name, prepared: ``spoken`` is the same for spellings that sound the same."""

    text: str
    words: tuple[str, ...]
    groups: frozenset[int]
    spoken: str


def prepare(value: str) -> GivenName:
    """From a normalised name: words, lower case."""
    words = tuple(value.split())
    text = "".join(words)
    return GivenName(text, words, nickname_groups(words[0]) if words else frozenset(), spoken(text))


def compare(a: GivenName, b: GivenName) -> float:
    """1 for the same name; less than :data:`SLIP` for what may well be two."""
    if a.text == b.text:
        return 1.0
    if not a.words or not b.words:
        return 0.0
    first_a, first_b = a.words[0], b.words[0]
    if _initials(first_a) or _initials(first_b):
        return INITIAL if first_a[0] == first_b[0] else 0.0
    if len(a.words) == 1 or len(b.words) == 1:
        if first_a == first_b:
            return SAME_NAME
    elif first_a == first_b:
        # Mary Ann and Mary Jane; Mary A and Mary Ann are the same.
        second_a, second_b = a.words[1], b.words[1]
        return SAME_NAME if second_a.startswith(second_b) or second_b.startswith(second_a) else 0.5
    if first_a in b.words or first_b in a.words:
        return ONE_OF_SEVERAL
    if not a.groups.isdisjoint(b.groups) or a.spoken == b.spoken:
        return SAME_NAME
    return SLIP if _is_slip(a.text, b.text) else min(_alike(a.text, b.text), NEAR_MISS)


_SOUNDS = (
    (re.compile(r"ph"), "f"),
    (re.compile(r"ck|qu?|(?<=.)ch|ch(?=[lr])|c(?![eiyh])"), "k"),
    (re.compile(r"c(?=[eiy])|z"), "s"),
    (re.compile(r"w"), "v"),
    (re.compile(r"(?<=.)y(?=.)"), "i"),
    (re.compile(r"(?<=[^cs])h"), ""),
    (re.compile(r"([^aeiou\d])\1"), r"\1"),
)


def spoken(name: str) -> str:
    """A spelling common to those that sound the same: Sara(h), Jon and John, Eric and Erik, Micaela and Michaela.

    Nobody calls two children by one sound, so these are one name. Vowels stay as they are, and so does a final y:
    they tell Paul from Paula, Frances from Francis and Toni from Tony.
    """
    for pattern, sound in _SOUNDS:
        name = pattern.sub(sound, name)
    return name


def _initials(word: str) -> bool:
    """``J``, ``JP``: no name is without a vowel."""
    return len(word) == 1 or (len(word) <= 3 and _VOWELS.isdisjoint(word))


def _alike(a: str, b: str) -> float:
    # The greedy matching inside depends on which string comes first.
    return _jaro_winkler(a, b) if a < b else _jaro_winkler(b, a)


def _is_slip(a: str, b: str) -> bool:
    """One name mistyped, rather than two names (Paul and Paula, Kayla and Tayla, Martin and Marvin)."""
    if abs(len(a) - len(b)) > 2:
        return False
    known = known_given_names()
    of_names = (a in known) + (b in known)
    if of_names == 2:
        return False
    edits = _osa_distance(a, b)
    if edits == 1 and len(a) == len(b) >= _SHORT and sorted(a) == sorted(b):
        return True  # two neighbours in each other's place (Emam): names are not formed like that
    if a[0] != b[0]:
        return False  # slips seldom hit the first letter
    if a[-1] != b[-1]:
        return edits == 1 and of_names == 1 and _is_stray_end(a, b)
    if edits == 1 and of_names == 0 and _is_other_vowel(a, b):
        return False  # Ming and Meng: of names we do not know, a vowel may well make two
    return edits <= (2 if min(len(a), len(b)) >= _LONG else 1)


def _is_stray_end(a: str, b: str) -> bool:
    """A consonant typed at the end of a name, or in place of its last one.

    Another vowel at the end makes another name (Paul, Paula, Paulo), whether we know it or not.
    """
    ends = a[-1] + b[-1] if len(a) == len(b) else max(a, b, key=len)[-1]
    return min(len(a), len(b)) >= _SHORT and _VOWELS.isdisjoint(ends)


def _is_other_vowel(a: str, b: str) -> bool:
    differing = [pair for pair in zip(a, b, strict=False) if pair[0] != pair[1]]
    return len(a) == len(b) and all(one in _VOWELS and other in _VOWELS for one, other in differing)
