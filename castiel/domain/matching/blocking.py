"""Blocking keys: what a record is looked up by, so that only likely pairs are ever compared."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, product

from castiel.domain.matching.normalisers import NORMALISERS
from castiel.domain.matching.rules import KeyPart, MatchRules
from castiel.domain.matching.values import Fields, texts, with_derived

KEY_LENGTH = 24
"""No key is longer, in characters."""

_HASH_BYTES = 7
_MAX_VALUES = 8


def blocking_keys(fields: Fields, rules: MatchRules) -> list[str]:
    """The record's keys, at most ``rules.max_keys``; the same for the same values, in every process.

    A key is its rule's name and a hash: short, uniform, and free of personal data in query logs. Earlier rules
    come first where there are too many.
    """
    plan = _plan_of(rules)
    complete = with_derived(fields, rules.derive)
    present = {name for name, value in complete.items() if value is not None and value != ""}
    silent = {index for index, part in enumerate(plan.parts) if part.says_nothing(present)}
    values: list[Sequence[str] | None] = [None] * len(plan.parts)
    keys: dict[str, None] = {}
    for name, parts, max_keys in plan.rules:
        if not silent.isdisjoint(parts):
            continue
        alternatives = []
        for index in parts:
            found = values[index]
            if found is None:
                found = values[index] = plan.parts[index].values(complete)
            if not found:
                break
            alternatives.append(found)
        else:
            for combination in islice(product(*alternatives), max_keys):
                keys[_key(name, combination)] = None
            if len(keys) >= rules.max_keys:
                break
    return list(keys)[: rules.max_keys]


def fields_read(rules: MatchRules) -> frozenset[str] | None:
    """The fields that the keys are made from; ``None`` when an expression may read any."""
    paths = [path for rule in rules.blocking for part in rule.parts for path in part.fields]
    paths += [derived.source for derived in rules.derive]
    return frozenset(paths) if all(path.isidentifier() for path in paths) else None


@dataclass(frozen=True, slots=True)
class _Part:
    """A key's part, its functions looked up."""

    fields: tuple[str, ...]
    functions: tuple[Callable[[str], str], ...]
    together: bool
    plain: bool
    """Whether the fields are names, no expressions."""

    def says_nothing(self, present: set[str]) -> bool:
        """Whether the part has no values where only the fields with these names have some."""
        if not self.plain:
            return False
        return not present.issuperset(self.fields) if self.together else present.isdisjoint(self.fields)

    def values(self, fields: Fields) -> Sequence[str]:
        if self.together:
            return self._joined(fields)
        only = fields.get(self.fields[0])
        if len(self.fields) == 1 and isinstance(only, str):  # as most are
            code = self._normalised(only)
            return (code,) if code else ()
        found = {self._normalised(value) for value in islice(texts(fields, self.fields), _MAX_VALUES)}
        found.discard("")
        return sorted(found)

    def _joined(self, fields: Fields) -> Sequence[str]:
        codes = []
        for path in self.fields:
            only = fields.get(path)
            if isinstance(only, str):
                code = self._normalised(only)
            else:
                code = next((c for value in texts(fields, (path,)) if (c := self._normalised(value))), "")
            if not code:
                return ()
            codes.append(code)
        return (" ".join(sorted(codes)),)

    def _normalised(self, value: str) -> str:
        for function in self.functions:
            value = function(value)
        return value


@dataclass(frozen=True, slots=True)
class _Plan:
    """Each part once, however many rules share it; the rules by name, their parts' positions and most keys."""

    parts: tuple[_Part, ...]
    rules: tuple[tuple[str, tuple[int, ...], int], ...]


def _plan_of(rules: MatchRules) -> _Plan:
    """The rules' plan, kept as long as the rules live."""
    kept = _plans.get(id(rules))
    if kept is not None and kept[0]() is rules:
        return kept[1]
    key, plan = id(rules), _make_plan(rules)
    _plans[key] = weakref.ref(rules, lambda _: _plans.pop(key, None)), plan
    return plan


_plans: dict[int, tuple[weakref.ref[MatchRules], _Plan]] = {}


def _make_plan(rules: MatchRules) -> _Plan:
    positions: dict[_Part, int] = {}
    named = []
    for rule in rules.blocking:
        parts = tuple(positions.setdefault(_part(part), len(positions)) for part in rule.parts)
        named.append((rule.name, parts, rule.max_keys))
    return _Plan(tuple(positions), tuple(named))


def _part(part: KeyPart) -> _Part:
    functions = tuple(NORMALISERS[name] for name in part.functions)
    plain = all(path.isidentifier() for path in part.fields)
    return _Part(tuple(part.fields), functions, part.together, plain)


def _key(name: str, parts: tuple[str, ...]) -> str:
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=_HASH_BYTES)
    return f"{name}:{digest.hexdigest()}"
