"""The rules a shard type gets where a connection sets none."""

from __future__ import annotations

from castiel.domain.matching.company import company_rules, generic_rules
from castiel.domain.matching.person import person_rules
from castiel.domain.matching.rules import MatchRules

_PEOPLE = frozenset({"contact", "lead", "person", "user"})
_COMPANIES = frozenset({"account", "company", "organization"})


def default_rules(shard_type: str) -> MatchRules:
    """People's, companies', or by id alone."""
    if shard_type in _PEOPLE:
        return person_rules(shard_type)
    if shard_type in _COMPANIES:
        return company_rules(shard_type)
    return generic_rules(shard_type)
