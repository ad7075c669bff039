"""Blocking keys: what a record is looked up by, so that only likely pairs are ever compared."""

from __future__ import annotations

import hashlib
from itertools import islice, product

from castiel.domain.matching.rules import BlockingRule, KeyPart, MatchRules
from castiel.domain.matching.values import Fields, normalise, texts, with_derived

KEY_LENGTH = 24
"""No key is longer, in characters."""

_HASH_BYTES = 7
_MAX_VALUES = 8

_Known = dict[tuple[object, ...], list[str]]
"""What a record's parts came to: rules share most of theirs."""


def blocking_keys(fields: Fields, rules: MatchRules) -> list[str]:
    """The record's keys, at most ``rules.max_keys``; the same for the same values, in every process.

    A key is its rule's name and a hash: short, uniform, and free of personal data in query logs. Earlier rules
    come first where there are too many.
    """
    complete = with_derived(fields, rules.derive)
    known: _Known = {}
    keys: dict[str, None] = {}
    for rule in rules.blocking:
        keys.update(dict.fromkeys(_keys_of(complete, rule, known)))
        if len(keys) >= rules.max_keys:
            break
    return list(keys)[: rules.max_keys]


def fields_read(rules: MatchRules) -> frozenset[str] | None:
    """The fields that the keys are made from; ``None`` when an expression may read any."""
    paths = [path for rule in rules.blocking for part in rule.parts for path in part.fields]
    paths += [derived.source for derived in rules.derive]
    return frozenset(paths) if all(path.isidentifier() for path in paths) else None


def _keys_of(fields: Fields, rule: BlockingRule, known: _Known) -> list[str]:
    alternatives = []
    for part in rule.parts:
        identity = (*part.fields, None, *part.functions, part.together)
        values = known.get(identity)
        if values is None:
            values = known[identity] = _values_of(fields, part)
        if not values:
            return []
        alternatives.append(values)
    return [_key(rule.name, combination) for combination in islice(product(*alternatives), rule.max_keys)]


def _values_of(fields: Fields, part: KeyPart) -> list[str]:
    if not part.together:
        values = (
            normalise(value, part.functions) for value in islice(texts(fields, part.fields), _MAX_VALUES)
        )
        return sorted(set(filter(None, values)))
    codes = []
    for path in part.fields:
        code = next((c for v in texts(fields, (path,)) if (c := normalise(v, part.functions))), "")
        if not code:
            return []
        codes.append(code)
    return [" ".join(sorted(codes))]


def _key(name: str, parts: tuple[str, ...]) -> str:
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=_HASH_BYTES)
    return f"{name}:{digest.hexdigest()}"
