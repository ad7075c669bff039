"""The place in a data source's changes: what is kept between passes, and within one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from castiel.adapters.base import Cursor
from castiel.adapters.notion.moments import minute_of, moment_text, parse_moment
from castiel.errors import CursorExpired, MalformedResponse

LAG = timedelta(minutes=2)
"""How far the cursor stays behind the answer's date: a minute may still receive edits, and Notion's index is late."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """Where a pass stands.

    ``marks``: from which minute on the next pass reads each data source. ``source``: the data source being read
    (``None`` between passes), from ``since`` on (``None``: from the beginning), and behind ``start`` where more
    pages share one minute than fit in an answer. ``newest``: the last change seen there. ``as_of``: the date of
    the answer that the reading stands on.
    """

    marks: dict[str, datetime] = field(default_factory=dict)
    full_pass_at: datetime | None = None
    full: bool = False
    source: str | None = None
    started: datetime | None = None
    since: datetime | None = None
    start: str | None = None
    newest: datetime | None = None
    as_of: datetime | None = None

    @classmethod
    def read(cls, cursor: Cursor | None) -> Position:
        """From a saved cursor. Raises :class:`CursorExpired` for one that can't be understood."""
        if cursor is None:
            return cls(full=True)
        try:
            if cursor["v"] != _VERSION:
                raise CursorExpired("the cursor is of another version")
            return cls(
                marks={source: parse_moment(mark) for source, mark in cursor["marks"].items()},
                full=bool(cursor.get("full")),
                source=cursor.get("source"),
                start=cursor.get("start"),
                full_pass_at=_moment(cursor, "fullPassAt"),
                started=_moment(cursor, "started"),
                since=_moment(cursor, "since"),
                newest=_moment(cursor, "newest"),
                as_of=_moment(cursor, "asOf"),
            )
        except (KeyError, AttributeError, TypeError, MalformedResponse):
            raise CursorExpired("the cursor can't be read") from None

    def saved(self) -> Cursor:
        """As JSON; what is not set is left out."""
        cursor: Cursor = {
            "v": _VERSION,
            "marks": {source: moment_text(mark) for source, mark in self.marks.items()},
        }
        moments = {
            "fullPassAt": self.full_pass_at,
            "started": self.started,
            "since": self.since,
            "newest": self.newest,
            "asOf": self.as_of,
        }
        cursor |= {name: moment_text(value) for name, value in moments.items() if value is not None}
        cursor |= {"source": self.source} if self.source else {}
        return cursor | ({"full": True} if self.full else {}) | ({"start": self.start} if self.start else {})

    def at(self, source: str) -> Position:
        """At the beginning of a data source."""
        since = None if self.full else self.marks.get(source)
        return replace(self, source=source, since=since, start=None, newest=None, as_of=None)

    def marked(self) -> Position:
        """The data source is read: where the next pass begins is known."""
        if self.source is None or self.as_of is None:
            return self
        settled = self.as_of - LAG
        newest = self.newest or self.marks.get(self.source) or settled
        mark = minute_of(min(newest, settled))
        return replace(self, marks={**self.marks, self.source: mark})

    def ended(self) -> Position:
        """The pass is over."""
        return Position(marks=self.marks, full_pass_at=self.started if self.full else self.full_pass_at)


def _moment(cursor: Cursor, name: str) -> datetime | None:
    return parse_moment(cursor[name]) if cursor.get(name) else None
