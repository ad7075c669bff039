"""Writes what the documents take from the repository; with ``--check`` says whether they are up to date.

- docs/adr/README.md: the list of all decisions.
- docs/providers.md: each provider's settings, between ``<!-- settings of … -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
DECISIONS = CHECKOUT / "docs" / "adr"
PROVIDERS = CHECKOUT / "docs" / "providers.md"
HEAD = """# Decisions

Why things are as they are: context, decision and consequences, half a page each. A new one takes the next free number;
`make docs` puts it into this list.

"""


def decisions() -> str:
    """The list, by number. Raises ``ValueError`` for a page without a title."""
    lines = []
    for page in sorted(DECISIONS.glob("[0-9]*.md")):
        title = page.read_text("utf-8").split("\n", 1)[0]
        if not title.startswith("# "):
            raise ValueError(f"{page.name}: the first line has to be its title: # {int(page.name[:4])}. …")
        lines.append(f"- [{title[2:].strip()}]({page.name})")
    return HEAD + "\n".join(lines) + "\n"


def providers() -> str:
    """The page with today's settings. Raises ``ValueError`` for a provider without a place in it."""
    sys.path.insert(0, str(CHECKOUT))
    from castiel.adapters.registry import load_providers

    text = PROVIDERS.read_text("utf-8")
    for provider in load_providers():
        name = provider.integration_id
        rows = [
            f"| `{setting}` | {meaning} |" for setting, meaning in provider.capabilities.arguments.items()
        ]
        table = "\n".join(["| setting | means |", "|---|---|", *rows])
        begin = f"<!-- settings of {name} -->"
        if text.count(begin) != 1:
            raise ValueError(f"docs/providers.md: has no place for the settings of {name}: {begin}")
        pattern = re.compile(rf"({re.escape(begin)}\n).*?(<!-- end -->)", re.DOTALL)
        text = pattern.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)  # type: ignore[misc]
    return text


def main() -> int:
    """0 when all is, or now is, up to date."""
    check, stale = "--check" in sys.argv, []
    for file, wanted in ((DECISIONS / "README.md", decisions()), (PROVIDERS, providers())):
        if file.exists() and file.read_text("utf-8") == wanted:
            continue
        stale.append(str(file.relative_to(CHECKOUT)))
        if not check:
            file.write_text(wanted, "utf-8")
    if check and stale:
        print(f"{', '.join(stale)}: not up to date; run `make docs`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
