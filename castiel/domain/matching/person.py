"""The shipped rules for people (contacts, leads).

Scores are evidence in bits. A field's weight is about log2(m/u): u, how often two different people agree on it;
m, how often one person's two records do. Parts of an address, which go together, count less than each would
alone; so do phones, which households and offices share. What a family or an office has in common must not merge
two people: that is what the guards and the required identifiers are for, whatever the score.
"""

from __future__ import annotations

from typing import Any

from castiel.domain.matching.rules import MatchRules

_IDS = ["socialSecurityNumber", "nationalId", "taxId"]

_FIELDS: list[dict[str, Any]] = [
    {
        "name": "nationalId",
        "fields": _IDS,
        "strategy": "fuzzy", "similarity": "identityNumber", "normalisers": ["identifier"],
        "weight": 22, "penalty": 5, "floor": 0.5,
    },
    {
        "name": "email",
        "fields": ["email", "emails"],
        "normalisers": ["personalEmail"],
        "weight": 21, "penalty": 1,
    },
    {
        "name": "birthDate",
        "fields": ["birthDate"],
        "strategy": "fuzzy", "similarity": "date", "normalisers": ["date"],
        "weight": 13, "penalty": 5, "floor": 0.5,
    },
    {
        "name": "phone",
        "fields": ["mobilePhone", "phone", "phones"],
        "normalisers": ["phone"],
        "weight": 11, "penalty": 0.5,
    },
    {
        "name": "firstName",
        "fields": ["firstName"],
        "strategy": "fuzzy", "similarity": "givenName", "normalisers": ["givenName"],
        "weight": 7, "penalty": 4, "floor": 0.65,
    },
    {
        "name": "lastName",
        "fields": ["lastName"],
        "strategy": "fuzzy", "similarity": "jaroWinkler", "normalisers": ["surname"],
        "weight": 8, "penalty": 3.5, "floor": 0.7,
    },
    {
        "name": "nameSuffix",
        "fields": ["nameSuffix"],
        "normalisers": ["generation"],
        "weight": 1, "penalty": 6,
    },
    {
        "name": "street",
        "fields": ["street"],
        "strategy": "fuzzy", "similarity": "street", "normalisers": ["street"],
        "weight": 6, "penalty": 1.5, "floor": 0.5,
    },
    {
        "name": "street2",
        "fields": ["street2"],
        "strategy": "fuzzy", "similarity": "street", "normalisers": ["street"],
        "weight": 3, "penalty": 1, "floor": 0.5,
    },
    {
        "name": "postalCode",
        "fields": ["postalCode"],
        "strategy": "fuzzy", "similarity": "code", "normalisers": ["postalCode"],
        "weight": 3, "penalty": 1, "floor": 0.5,
    },
    {
        "name": "city",
        "fields": ["city"],
        "strategy": "fuzzy", "similarity": "jaroWinkler",
        "weight": 2, "penalty": 1, "floor": 0.7,
    },
    {"name": "state", "fields": ["state"], "weight": 0.5, "penalty": 0.5},
    {"name": "country", "fields": ["country"], "weight": 0.25, "penalty": 1},
    {
        "name": "company",
        "fields": ["company"],
        "strategy": "fuzzy", "similarity": "ratio", "normalisers": ["companyName"],
        "weight": 5, "penalty": 0.5, "floor": 0.6,
    },
    {
        "name": "title",
        "fields": ["title"],
        "strategy": "fuzzy", "similarity": "sortedWords",
        "weight": 1, "penalty": 0.25, "floor": 0.5,
    },
]  # fmt: skip

_GUARDS: list[dict[str, Any]] = [
    # Without the very same given name, a surname, a home and its telephone are the whole family's, and a telephone
    # the whole office's. With quite another one they are two people, and none to review.
    {
        "rule": "firstName", "below": 0.96, "missing": "disagree", "distinctBelow": 0.75,
        "unless": ["nationalId", "email", "birthDate"],
    },
    # Twins, couples, parents and children: another given name is another person, even one letter away (Paul, Paula),
    # unless an identifier that is nobody else's says otherwise. Of twins' identifiers, given out one after the other,
    # "identityNumber" says less than this asks for.
    {"rule": "firstName", "below": 0.895, "unless": ["nationalId"]},
    # Father and son of one name.
    {"rule": "nameSuffix", "below": 1.0},
    {"rule": "birthDate", "below": 0.8, "unless": ["nationalId"]},
    # Two different identifiers are two people; a mistyped one, where name and birth date are the same.
    {"rule": "nationalId", "below": 0.6, "unless": ["birthDate"]},
    # A shared mailbox or office phone, and another surname; a married name keeps given name and birth date, or given
    # name and mailbox.
    {
        "rule": "lastName", "below": 0.8,
        "unless": ["nationalId", "birthDate"], "unlessAll": ["firstName", "email"],
    },
]  # fmt: skip

_NAMES = ["firstName", "lastName"]
_NAMES_SOUND = {"fields": _NAMES, "functions": ["soundex"], "together": True}
_FIRST_SOUND = {"fields": ["firstName"], "functions": ["givenName", "soundex"]}
_LAST_SOUND = {"fields": ["lastName"], "functions": ["surname", "soundex"]}
_INITIALS = {"fields": _NAMES, "functions": ["initial"], "together": True}
_POST = {"fields": ["postalCode"], "functions": ["postalCode"]}
_BORN = {"fields": ["birthDate"], "functions": ["date"]}

_ID_HEAD = {"fields": _IDS, "functions": ["identifierHead"]}
_ID_TAIL = {"fields": _IDS, "functions": ["identifierTail"]}

_BLOCKING: list[dict[str, Any]] = [
    {"name": "id", "parts": [{"fields": _IDS, "functions": ["identifier"]}]},
    {
        "name": "mail",
        "parts": [{"fields": ["email", "emails"], "functions": ["personalEmail"]}],
        "maxKeys": 2,
    },
    {
        "name": "tel",
        "parts": [{"fields": ["mobilePhone", "phone", "phones"], "functions": ["phone"]}],
        "maxKeys": 2,
    },
    {"name": "nameborn", "parts": [_NAMES_SOUND, {"fields": ["birthDate"], "functions": ["year"]}]},
    {"name": "lastborn", "parts": [_LAST_SOUND, _BORN]},
    {"name": "frstborn", "parts": [_FIRST_SOUND, _BORN]},
    {"name": "initborn", "parts": [_INITIALS, _BORN]},
    {"name": "postborn", "parts": [_POST, _BORN]},
    {"name": "initpost", "parts": [_INITIALS, _POST]},
    {"name": "lastpost", "parts": [_LAST_SOUND, _POST]},
    {"name": "namecity", "parts": [_NAMES_SOUND, {"fields": ["city"], "functions": ["compact"]}]},
    {
        "name": "nameco",
        "parts": [_NAMES_SOUND, {"fields": ["company"], "functions": ["companyName", "compact"]}],
    },
    {
        "name": "addr",
        "parts": [
            {"fields": ["street"], "functions": ["street", "compact"]},
            {"fields": ["city"], "functions": ["prefix4"]},
        ],
    },
    # A slip in the identifier, and either another home or other names.
    {"name": "headpost", "parts": [_ID_HEAD, _POST]},
    {"name": "tailpost", "parts": [_ID_TAIL, _POST]},
    {"name": "headinit", "parts": [_ID_HEAD, _INITIALS]},
    {"name": "tailinit", "parts": [_ID_TAIL, _INITIALS]},
]

_DERIVE: list[dict[str, Any]] = [
    {"field": "firstName", "source": "name", "normaliser": "firstOfName"},
    {"field": "lastName", "source": "name", "normaliser": "lastOfName"},
    {"field": "nameSuffix", "source": "lastName", "normaliser": "generation"},
    {"field": "nameSuffix", "source": "name", "normaliser": "generation"},
]


def person_rules(shard_type: str = "contact") -> MatchRules:
    """Rules for people with the fields of shipped conversion schemas (firstName, email, birthDate, street, …)."""
    return MatchRules.model_validate(
        {
            "shardType": shard_type,
            "scoring": "evidence",
            "prior": -14,
            "mergeThreshold": 0.98,
            "reviewThreshold": 0.9,
            "fields": _FIELDS,
            "derive": _DERIVE,
            "swaps": [{"rules": ["firstName", "lastName"]}, {"rules": ["street", "street2"]}],
            "guards": _GUARDS,
            "mergeRequiresAny": ["nationalId", "email", "birthDate", "phone"],
            "blocking": _BLOCKING,
            "maxKeys": 16,
        }
    )
