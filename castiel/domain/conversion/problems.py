"""What is wrong with a schema, said so that whoever maps the fields can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Severity = Literal["error", "warning"]


class UnconvertibleError(ValueError):
    """A value can't be converted. Its text says why, and never holds the value."""


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One thing that is wrong. ``where`` is the mapping (``mappings[2] (email)``); an ``error`` keeps it from working."""

    where: str
    problem: str
    suggestion: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" + (f"; {self.suggestion}" if self.suggestion else "")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``did you mean 'x'?`` for the nearest known name, however it is capitalised; ``None`` if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    nearest = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean '{by_lower[nearest[0]]}'?" if nearest else None
