"""The shipped rules for companies (accounts), and the plain ones for records that only an id identifies.

Evidence in bits, as for people. A shared domain alone does not merge: groups of companies have one. Neither does a
shared address or switchboard: office parks do.
"""

from __future__ import annotations

from typing import Any

from castiel.domain.matching.rules import MatchRules

_IDS = ["taxId", "vatId", "registrationNumber", "duns"]
_NAME = ["companyName", "compact"]

_FIELDS: list[dict[str, Any]] = [
    {
        "name": "taxId", "fields": _IDS,
        "strategy": "fuzzy", "similarity": "code", "normalisers": ["identifier"],
        "weight": 22, "penalty": 5, "floor": 0.8,
    },
    {
        "name": "domain", "fields": ["domain", "website", "email"],
        "normalisers": ["companyDomain"],
        "weight": 11, "penalty": 2,
    },
    {
        "name": "name", "fields": ["name"],
        "strategy": "fuzzy", "similarity": "sortedWords", "normalisers": ["companyName"],
        "weight": 11, "penalty": 6, "floor": 0.6,
    },
    {"name": "phone", "fields": ["phone"], "normalisers": ["phone"], "weight": 8, "penalty": 0.5},
    {
        "name": "street", "fields": ["street"],
        "strategy": "fuzzy", "similarity": "street", "normalisers": ["street"],
        "weight": 5, "penalty": 1, "floor": 0.5,
    },
    {
        "name": "postalCode", "fields": ["postalCode"],
        "strategy": "fuzzy", "similarity": "code", "normalisers": ["postalCode"],
        "weight": 3, "penalty": 1, "floor": 0.5,
    },
    {
        "name": "city", "fields": ["city"],
        "strategy": "fuzzy", "similarity": "jaroWinkler",
        "weight": 2, "penalty": 1, "floor": 0.7,
    },
    {"name": "country", "fields": ["country"], "weight": 0.5, "penalty": 2},
]  # fmt: skip

_GUARDS: list[dict[str, Any]] = [
    # Acme Germany and Acme France share a domain; they are two companies, unless the register says one.
    {"rule": "name", "below": 0.85, "missing": "disagree", "unless": ["taxId"]},
    # The same name with two web sites is two companies of one name; a move to a new domain is a person's to confirm.
    {"rule": "domain", "below": 1.0, "unless": ["taxId", "phone"]},
    {"rule": "taxId", "below": 0.8},
]

_BLOCKING: list[dict[str, Any]] = [
    {"name": "id", "parts": [{"fields": _IDS, "functions": ["identifier"]}], "maxKeys": 2},
    {"name": "domain", "parts": [{"fields": ["domain", "website", "email"], "functions": ["companyDomain"]}]},
    {"name": "tel", "parts": [{"fields": ["phone"], "functions": ["phone"]}]},
    {"name": "name", "parts": [{"fields": ["name"], "functions": _NAME}]},
    {
        "name": "sndpost",
        "parts": [
            {"fields": ["name"], "functions": ["companyName", "metaphone"]},
            {"fields": ["postalCode"], "functions": ["postalCode"]},
        ],
    },
    {
        "name": "prefpost",
        "parts": [
            {"fields": ["name"], "functions": ["companyName", "prefix4"]},
            {"fields": ["postalCode"], "functions": ["postalCode"]},
        ],
    },
    {
        "name": "prefcity",
        "parts": [
            {"fields": ["name"], "functions": ["companyName", "prefix4"]},
            {"fields": ["city"], "functions": ["compact"]},
        ],
    },
]


def company_rules(shard_type: str = "account") -> MatchRules:
    """Rules for companies with the fields name, domain or website, phone, street, postalCode, city, country, taxId."""
    return MatchRules.model_validate(
        {
            "shardType": shard_type,
            "scoring": "evidence",
            "prior": -13,
            "mergeThreshold": 0.98,
            "reviewThreshold": 0.9,
            "fields": _FIELDS,
            "guards": _GUARDS,
            "mergeRequiresAny": ["taxId", "domain", "phone", "street"],
            "blocking": _BLOCKING,
            "maxKeys": 10,
        }
    )


def generic_rules(shard_type: str, id_field: str = "externalId") -> MatchRules:
    """Rules for any records: the same id is the same record, and nothing else is."""
    return MatchRules.model_validate(
        {
            "shardType": shard_type,
            "scoring": "mean",
            "mergeThreshold": 1,
            "reviewThreshold": 1,
            "fields": [{"name": "id", "fields": [id_field], "strategy": "exact", "normalisers": ["trim"]}],
            "blocking": [{"name": "id", "parts": [{"fields": [id_field], "functions": ["trim"]}]}],
        }
    )
