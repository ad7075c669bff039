"""``python -m tests.provider_table`` (``make providers``): what the common suite proves of each provider, as a table."""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from castiel.adapters.registry import load_providers

SUITE = "tests/contract/test_providers.py"
SHOWN = {"passed": "[green]yes[/]", "failed": "[red]NO[/]", "skipped": "–"}


class Collector:
    """A pytest plugin: the outcome of each test by its sentence and its provider."""

    def __init__(self, providers: list[str]) -> None:
        self._providers = providers
        self.outcomes: dict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        match = re.search(r"::test_(\w+)\[(.+)\]$", report.nodeid)
        if match is None:
            return
        parts = match[2].split("-")
        provider = next((part for part in parts if part in self._providers), None)
        if provider is None:
            return
        case = " ".join(part for part in parts if part != provider)
        sentence = match[1].replace("_", " ") + (f" ({case})" if case else "")
        self.outcomes[sentence][provider] = report.outcome


def _capabilities(table: Table, providers: list[Any]) -> None:
    rows = {
        "entities": lambda p: ", ".join(p.capabilities.entities),
        "records per push call": lambda p: str(p.capabilities.push_batch),
        "a delete means": lambda p: p.capabilities.delete_means.value,
        "a repeated create is one record": lambda p: (
            "by itself" if p.capabilities.idempotent_create else "by marker"
        ),
    }
    for title, text in rows.items():
        table.add_row(title, *(text(provider) for provider in providers))


def main() -> int:
    """0 when every provider keeps every promise."""
    providers = list(load_providers())
    collector = Collector([provider.integration_id for provider in providers])
    code = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", SUITE], plugins=[collector])
    table = Table(title="What the common suite proved", title_justify="left")
    table.add_column("")
    for provider in providers:
        table.add_column(provider.title)
    _capabilities(table, providers)
    table.add_section()
    for sentence, outcomes in collector.outcomes.items():
        table.add_row(sentence, *(SHOWN.get(outcomes.get(p.integration_id, ""), "") for p in providers))
    Console(width=150).print(table)
    print(
        json.dumps({"providers": {p.integration_id: _count(collector, p.integration_id) for p in providers}})
    )
    return int(code)


def _count(collector: Collector, provider: str) -> dict[str, int]:
    found = [outcomes[provider] for outcomes in collector.outcomes.values() if provider in outcomes]
    return {outcome: found.count(outcome) for outcome in ("passed", "failed", "skipped")}


if __name__ == "__main__":
    sys.exit(main())
