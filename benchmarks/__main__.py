"""``make bench``: every benchmark (or ``--only`` one), a table each; the last line is one JSON object."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

BENCHMARKS = {
    "signatures": "benchmarks.bench_signatures",
    "receiver": "benchmarks.bench_receiver",
    "limiter": "benchmarks.bench_limiter",
    "dedupe": "benchmarks.bench_dedupe",
    "token_refresh": "benchmarks.bench_token_refresh",
    "token_backlog": "benchmarks.bench_token_backlog",
    "scheduler": "benchmarks.bench_scheduler",
    "inbound": "benchmarks.bench_inbound",
    "inbound_growth": "benchmarks.bench_inbound_growth",
    "outbound": "benchmarks.bench_outbound",
    "footprint": "benchmarks.bench_footprint",
}
"""Name in the JSON line → module with ``run() -> dict``."""

MOST_COLUMNS = 8
"""A table with more is turned: its figures below each other."""


def table(name: str, figures: dict[str, Any]) -> Table:
    """Figures as a table: a row for each group of figures, and one for those that stand alone."""
    groups = {key: value for key, value in figures.items() if isinstance(value, dict)}
    alone = {key: value for key, value in figures.items() if not isinstance(value, dict)}
    rows = {**groups, **({"": alone} if alone else {})}
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    if len(columns) > MOST_COLUMNS:
        rows, columns = (
            {column: {key: row.get(column) for key, row in rows.items()} for column in columns},
            list(rows),
        )
    shown = Table(title=name, title_justify="left")
    for column in ("", *columns):
        shown.add_column(str(column), justify="left" if column == "" else "right")
    for key, row in rows.items():
        shown.add_row(str(key), *(_text(row.get(column)) for column in columns))
    return shown


def _text(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and value < 1000
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )


def main() -> int:
    """Run them one after the other, so that none slows another."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=sorted(BENCHMARKS), action="append", help="may be repeated")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    console = Console(width=140, highlight=False)
    for name in options.only or BENCHMARKS:
        console.print(f"Measuring {name} …")
        found = importlib.import_module(BENCHMARKS[name]).run()
        # A benchmark with several tables returns them by their names.
        parts = found if name in found else {name: found}
        for part, rows in parts.items():
            console.print(table(part, rows))
        figures.update(parts)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
