"""What Castiel hides in a body: whose record it made, and that a closed one counts as deleted.

GitHub takes no key of ours and has no way to delete an issue over REST. An HTML comment is kept in a body and shown to
nobody. It never reaches a shard: bodies are read without it.
"""

from __future__ import annotations

import re

_MARK = re.compile(r"(?:\n\n|\r\n\r\n)?<!-- castiel:([^\s<>]{1,255}) -->")
_DELETED = "deleted"


def with_key(body: str | None, key: str) -> str:
    """A body that names its shard."""
    return _append(without_marks(body), key)


def with_deleted(body: str | None) -> str:
    """A body of a record that was deleted here."""
    return body if body and is_deleted(body) else _append(body, _DELETED)


def has_key(body: object, key: str) -> bool:
    """Whether a body names this shard."""
    return isinstance(body, str) and key in _MARK.findall(body)


def key_of(body: object) -> str | None:
    """The shard a body names."""
    found = _MARK.findall(body) if isinstance(body, str) else []
    return next((key for key in found if key != _DELETED), None)


def is_deleted(body: object) -> bool:
    """Whether a body says that its record was deleted here."""
    return has_key(body, _DELETED)


def without_marks(body: str | None) -> str | None:
    """A body as people know it; ``None`` where nothing is left."""
    return (_MARK.sub("", body) if body else None) or None


def _append(body: str | None, mark: str) -> str:
    text = f"<!-- castiel:{mark} -->"
    return f"{body}\n\n{text}" if body else text
