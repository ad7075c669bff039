"""What a list has shown already, so that looking back a little shows nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from castiel.adapters.github.moments import moment_text, parse_moment
from castiel.adapters.github.records import number_of
from castiel.domain.hashing import content_hash
from castiel.errors import CursorExpired


class Seen:
    """The records of the last seconds, by number and content.

    The content is part of it because ``updated_at`` has whole seconds: a second edit in the same one changes nothing
    else.
    """

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    @classmethod
    def of(cls, saved: object) -> Seen:
        """From a cursor. Raises :class:`CursorExpired` for one that can't be read."""
        seen = cls()
        if saved is not None:
            if not isinstance(saved, dict) or not all(isinstance(mark, str) for mark in saved.values()):
                raise CursorExpired("the cursor's records can't be read")
            seen._seen = dict(saved)
        return seen

    def as_json(self) -> dict[str, str]:
        return dict(self._seen)

    def take(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of the rows that are new, or changed since they were shown; they count as shown now."""
        fresh = []
        for raw in rows:
            number, mark = str(number_of(raw)), f"{updated(raw)} {content_hash(raw)[:12]}"
            if self._seen.get(number) != mark:
                self._seen[number] = mark
                fresh.append(raw)
        return fresh

    def forget_before(self, moment: str | None, look_back: float) -> str | None:
        """Drop what is older than ``look_back`` seconds before a moment; returns where that is."""
        if moment is None:
            return None
        start = moment_text(parse_moment(moment) - timedelta(seconds=look_back))
        self._seen = {number: mark for number, mark in self._seen.items() if mark.split(" ")[0] >= start}
        return start


def updated(raw: Mapping[str, Any]) -> str:
    """When a record was last changed, in the one form that sorts by time."""
    return moment_text(parse_moment(raw.get("updated_at")))
