"""What an id may be, so that the store can keep its document and find it again."""

from __future__ import annotations

import re

from castiel.errors import InvalidInput

LONGEST = 1023
"""Bytes (https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits)."""
_CHARACTERS = re.compile(r"[^/\\?#\x00-\x1f]*[^/\\?#\x00-\x20]")
"""Cosmos DB takes neither / nor \\; its SDK refuses ?, #, line breaks, and a space at the end, too."""


def is_document_id(text: str) -> bool:
    """Whether a document can have this id. ``.`` and ``..`` would be steps in its address."""
    return (
        text not in (".", "..")
        and _CHARACTERS.fullmatch(text) is not None
        and len(text.encode("utf-8", "surrogatepass")) <= LONGEST
    )


def check_document_id(text: str) -> None:
    """Raises :class:`InvalidInput` for what no document can have as its id."""
    if not is_document_id(text):
        raise InvalidInput(
            f"id: {text!r} can't be one: 1 to {LONGEST} bytes without / \\ ? # and line breaks, and no space at the end"
        )
