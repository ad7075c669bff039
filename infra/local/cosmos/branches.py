"""A formula as a few branches, each a conjunction that one index can serve; together they cover the formula."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from .predicates import All, Any_, Atom, Elements, Equals, Formula, Target, Unknown

MAX_BRANCHES = 8


@dataclass(frozen=True)
class Branches:
    """The conjunctions, and whether they say exactly what the formula says."""

    conjunctions: list[tuple[Atom, ...]]
    exact: bool


def split(formula: Formula) -> Branches:
    """The branches of a formula: at most :data:`MAX_BRANCHES`, none if it never holds."""
    conjunctions, exact = _split(formula)
    if any(not atoms for atoms in conjunctions):
        return Branches([()], exact and len(conjunctions) == 1)
    return Branches(conjunctions, exact)


def _split(formula: Formula) -> tuple[list[tuple[Atom, ...]], bool]:
    if isinstance(formula, Unknown):
        return [()], False
    if isinstance(formula, Any_):
        return _any([_split(part) for part in formula.parts])
    if isinstance(formula, All):
        parts = [_split(part) for part in formula.parts]
        parts = parts if _size(parts) <= MAX_BRANCHES else [_collapsed(part) for part in parts]
        merged = [
            tuple(dict.fromkeys(atom for atoms in choice for atom in atoms))
            for choice in product(*(p[0] for p in parts))
        ]
        return merged, all(exact for _, exact in parts)
    return [(formula,)], not isinstance(formula, Elements) or formula.exact


def _size(parts: list[tuple[list[tuple[Atom, ...]], bool]]) -> int:
    size = 1
    for conjunctions, _ in parts:
        size *= max(1, len(conjunctions))
    return size


def _any(parts: list[tuple[list[tuple[Atom, ...]], bool]]) -> tuple[list[tuple[Atom, ...]], bool]:
    conjunctions = [atoms for part, _ in parts for atoms in part]
    found = (conjunctions, all(exact for _, exact in parts))
    return _collapsed(found) if len(conjunctions) > MAX_BRANCHES else found


def _collapsed(part: tuple[list[tuple[Atom, ...]], bool]) -> tuple[list[tuple[Atom, ...]], bool]:
    """One branch instead of many: the values that a target all of them compare for equality may have."""
    conjunctions, _ = part
    if len(conjunctions) <= 1:
        return part
    values: dict[tuple[Target, int], set[object]] = {}
    counts: dict[tuple[Target, int], int] = {}
    for atoms in conjunctions:
        for key in {(atom.target, atom.rank) for atom in atoms if isinstance(atom, Equals)}:
            counts[key] = counts.get(key, 0) + 1
            own = [
                atom.values for atom in atoms if isinstance(atom, Equals) and (atom.target, atom.rank) == key
            ]
            values.setdefault(key, set()).update(own[0])
    common = [key for key, count in counts.items() if count == len(conjunctions)]
    if not common:
        return [()], False
    best = max(common, key=lambda key: len(values[key]))
    return [(Equals(*best, tuple(values[best])),)], False
