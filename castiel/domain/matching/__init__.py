"""Duplicates: which records are one and the same, why, and what to make of them. Pure.

``rules`` says what to compare; ``blocking_keys`` what to look candidates up by; ``Matcher`` compares two records;
``find_duplicates`` and ``match_page`` many; ``merge`` makes one record of several.
"""

from castiel.domain.matching.blocking import KEY_LENGTH, blocking_keys, fields_read
from castiel.domain.matching.company import company_rules, generic_rules
from castiel.domain.matching.comparators import MatchFunction
from castiel.domain.matching.defaults import default_rules
from castiel.domain.matching.duplicates import (
    Duplicates,
    FoundPair,
    PageDecision,
    Possible,
    find_duplicates,
    match_page,
)
from castiel.domain.matching.matcher import REQUIRES_ANY, Matcher, Prepared
from castiel.domain.matching.merging import Merged, merge
from castiel.domain.matching.person import person_rules
from castiel.domain.matching.results import Decision, Explanation, MatchResult
from castiel.domain.matching.rules import MatchRules, MergePolicy, Scoring, Strategy, parse_rules

__all__ = [
    "KEY_LENGTH",
    "REQUIRES_ANY",
    "Decision",
    "Duplicates",
    "Explanation",
    "FoundPair",
    "MatchFunction",
    "MatchResult",
    "MatchRules",
    "Matcher",
    "MergePolicy",
    "Merged",
    "PageDecision",
    "Possible",
    "Prepared",
    "Scoring",
    "Strategy",
    "blocking_keys",
    "company_rules",
    "default_rules",
    "fields_read",
    "find_duplicates",
    "generic_rules",
    "match_page",
    "merge",
    "parse_rules",
    "person_rules",
]
