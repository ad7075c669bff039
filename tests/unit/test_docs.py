"""Every link in every Markdown file leads somewhere; lists of what there is are complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from castiel.adapters.registry import load_providers
from castiel.services.limit_alerts import LimitAlert
from infra.local.process import CHECKOUT
from infra.queries import TABLES, problems_of
from tests.support.markdown import anchors, blocks, links, markdown_files

ALERTS = CHECKOUT / "infra" / "azure" / "modules" / "alerts.bicep"
RUNNABLE = re.compile(r'sh runnable(?: until="[^"]+")?')


def problem(file: Path, target: str) -> str | None:
    """What is wrong with a link, if anything. Addresses outside are only looked at for their form."""
    parts = urlsplit(target)
    if parts.scheme:
        return None if parts.scheme in ("http", "https", "mailto") else "a scheme nobody opens"
    at = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if not at.is_relative_to(CHECKOUT):
        return "leads out of the repository"
    if not at.exists():
        return "there is no such file"
    if parts.fragment and at.suffix == ".md" and parts.fragment not in anchors(at):
        return "there is no such heading"
    return None


def relative(file: Path) -> str:
    return str(file.relative_to(CHECKOUT))


@pytest.mark.parametrize("file", markdown_files(), ids=relative)
def test_every_link_leads_somewhere(file: Path) -> None:
    broken = [
        f"{file.name}:{line}: {target}: {found}"
        for line, target in links(file)
        if (found := problem(file, target))
    ]
    assert not broken


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see [it](nowhere.md)", "there is no such file"),
        ("see [it](#no-such-heading)", "there is no such heading"),
        ("see [it](../../../etc/passwd)", "leads out of the repository"),
        ("see [it](file:///etc/passwd)", "a scheme nobody opens"),
        ("see [it](#a-heading-of-its-own) and `[code](nowhere.md)`", None),
        ("see [it](https://example.com/x#y)", None),
    ],
)
def test_a_broken_link_is_found(
    text: str, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "CHECKOUT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"# A `heading`, of its own!\n\n{text}\n\n```sh\n[not](a-link.md)\n```\n")
    [(_, target)] = links(page)
    assert problem(page, target) == found


def test_blocks_that_say_they_can_be_run_are_marked_as_one_can_read() -> None:
    marked = [block for file in markdown_files() for block in blocks(file) if "runnable" in block.info]
    assert marked
    assert [block.place for block in marked if not RUNNABLE.fullmatch(block.info)] == []


def test_the_decisions_are_listed() -> None:
    """Run ``make docs`` after adding one."""
    done = subprocess.run(
        [sys.executable, "tools/write_docs.py", "--check"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_decision_has_a_number_of_its_own() -> None:
    numbers = [file.name[:4] for file in (CHECKOUT / "docs" / "adr").glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))


def test_every_provider_has_its_page_part_with_all_its_settings() -> None:
    text = (CHECKOUT / "docs" / "providers.md").read_text("utf-8")
    for provider in load_providers():
        part = text.split(f"\n## {provider.title}\n", 1)[1].split("\n## ", 1)[0]
        table = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
        assert sorted(table) == sorted(provider.capabilities.arguments), provider.integration_id


def test_queries_ask_for_what_is_emitted() -> None:
    """Those over one table that the infrastructure's queries use too."""
    found = [
        query
        for file in markdown_files()
        for block in blocks(file)
        if block.info == "kusto"
        for query in statements(block.text)
    ]
    over_one_table = [query for query in found if query.split("\n")[1].strip() in TABLES]
    assert len(over_one_table) >= 4
    assert [problem for query in over_one_table for problem in problems_of(query)] == []


def statements(text: str) -> list[str]:
    """A block's queries: each begins with a comment, and a blank line parts them."""
    return [part for part in text.strip().split("\n\n") if part.startswith("//")]


def test_operations_says_what_to_do_about_every_alert() -> None:
    page = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")
    listed = set(re.findall(r"`([a-z_-]+)`", "\n".join(re.findall(r"^\| `.*$", page, re.MULTILINE))))
    sources = [file.read_text("utf-8") for file in (CHECKOUT / "castiel").rglob("*.py")]
    lines = {name for text in sources for name in re.findall(r'"alert": "([a-z_]+)"', text)}
    assert "reauth_required" in lines
    assert lines | {alert.value for alert in LimitAlert} <= listed
    rules = re.findall(r"^    name: '([a-z-]+)'$", ALERTS.read_text("utf-8"), re.MULTILINE)
    assert "dead-letters" in rules
    assert set(rules) <= listed
