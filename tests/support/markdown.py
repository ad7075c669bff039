"""The repository's Markdown: headings and their anchors, links, fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.local.process import CHECKOUT

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_NOT_OURS = {".git", ".venv", "node_modules", ".local", ".pytest_cache", ".hypothesis", ".ruff_cache"}


@dataclass(frozen=True)
class Block:
    """A fenced block: ``info`` is what stands behind the opening fence."""

    file: Path
    line: int
    info: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(CHECKOUT)}:{self.line}"


def markdown_files() -> list[Path]:
    """All of them, but those in tools' own folders."""
    found = CHECKOUT.rglob("*.md")
    return sorted(
        file
        for file in found
        if not any(
            part in _NOT_OURS or part.startswith(".venv") for part in file.relative_to(CHECKOUT).parts[:-1]
        )
    )


def blocks(file: Path) -> list[Block]:
    """The file's fenced blocks."""
    return [block for block, _ in _parts(file) if block is not None]


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """The lines outside of blocks, numbered from 1."""
    for block, line in _parts(file):
        if block is None:
            yield line


def links(file: Path) -> Iterator[tuple[int, str]]:
    """Each link's line and target; code in backticks holds none."""
    for number, line in prose(file):
        for target in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
            yield number, target


def anchors(file: Path) -> set[str]:
    """What ``#…`` may name, as GitHub makes it from headings."""
    found: set[str] = set()
    seen: dict[str, int] = {}
    for _, line in prose(file):
        heading = _HEADING.match(line)
        if heading is None:
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(2)).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


_Line = tuple[int, str]


def _parts(file: Path) -> Iterator[tuple[Block, _Line] | tuple[None, _Line]]:
    opened: re.Match[str] | None = None
    begun, text = 0, list[str]()
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence is None:
                yield None, (number, line)
            else:
                opened, begun, text = fence, number, []
        elif fence is not None and fence["ticks"].startswith(opened["ticks"]) and not fence["info"].strip():
            block = Block(file, begun, opened["info"].strip(), "\n".join(text) + "\n")
            opened = None
            yield block, (begun, "")
        else:
            text.append(line.removeprefix(opened["indent"]))
    if opened is not None:
        raise AssertionError(f"{file}:{begun}: a fence that is never closed")
