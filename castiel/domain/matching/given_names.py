"""Given names there are: where both of two similar names are such, neither is a slip of the pen."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def known_given_names() -> frozenset[str]:
    """Some 19 000, lower case, without accents; read once. Their source is said in ``given_names.txt``."""
    text = files("castiel.domain.matching").joinpath("given_names.txt").read_text("ascii")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
