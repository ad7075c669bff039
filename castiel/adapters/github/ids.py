"""External ids, and the addresses behind them.

A repository's id is its number, an issue's or pull request's is ``{repository's number}-{its number}``
(``1296269-1347``). Both outlive a renamed or transferred repository: ``/repositories/{id}/…`` is where GitHub's own
redirects and ``Link`` headers lead. GitHub's global ids don't serve: REST can't read an issue by them, and an issue
that moves to another repository gets a new one, as it gets a new number. It is a new record, then, and the old gone.

Source: https://docs.github.com/en/issues/tracking-your-work-with-issues/administering-issues/transferring-an-issue-to-another-repository
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)
_REPOSITORY = re.compile(r"\d{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ItemId:
    """Which issue or pull request, of which repository."""

    repository: int
    number: int

    def __str__(self) -> str:
        return f"{self.repository}-{self.number}"

    def path(self, kind: str) -> str:
        """The record's path; ``kind`` is ``issues`` or ``pulls``."""
        return f"/repositories/{self.repository}/{kind}/{self.number}"


def parse_item(external_id: str | None) -> ItemId | None:
    """The parts of an external id, or ``None`` for a text that is none."""
    match = _ITEM.fullmatch(external_id or "")
    return ItemId(int(match.group(1)), int(match.group(2))) if match else None


def is_repository_id(external_id: str) -> bool:
    """Whether a text has the form of a repository's id."""
    return _REPOSITORY.fullmatch(external_id) is not None
