"""The table of named transforms in docs/conversion-schemas.md. ``python -m tests.support.transform_table`` rewrites it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from castiel.domain.conversion import transforms
from castiel.domain.conversion.transforms import Transform

DOCUMENT = Path(__file__).parents[2] / "docs" / "conversion-schemas.md"
BEGIN = "<!-- transforms: written by python -m tests.support.transform_table -->\n"
END = "<!-- end of transforms -->\n"


def render() -> str:
    """The table, from the registry."""
    rows = [
        "| transform | options | what it does | way back | by | limits |",
        "|---|---|---|---|---|---|",
        *(_row(transform) for transform in transforms().values()),
    ]
    return "\n".join(rows) + "\n"


def written() -> str:
    """The table as it stands in the document."""
    return DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def rewrite() -> None:
    """Put the current table into the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(before + BEGIN + render() + END + after, encoding="utf-8")


def _row(transform: Transform) -> str:
    options = ", ".join(_option(name, default) for name, default in transform.options.items()) or "–"
    back = "yes" if transform.inverse else "no"
    cells = [f"`{transform.name}`", options, transform.does, back, transform.source, transform.limits]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _option(name: str, default: Any) -> str:
    if default is inspect.Parameter.empty:
        return f"`{name}` (needed)"
    return f"`{name}`" if default is None else f"`{name}` = `{json.dumps(default)}`"


if __name__ == "__main__":
    rewrite()
