"""Where a fetch stands: a keyset of (SystemModstamp, Id), and the bounds that make it safe.

Locators of running queries end with their session and after two days, so they never are a position.

* A record that is edited while a pass runs keeps its place in the query's snapshot but shows its new time. So the
  position moves only over records that are older than the query.
* A transaction may commit minutes after the time its records carry. So the next pass begins some minutes before the
  last one ended; what comes again is recognised by its content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from castiel.adapters.base import Cursor, ExternalRecord
from castiel.adapters.salesforce.ids import is_id
from castiel.adapters.salesforce.moments import literal, moment_text, parse_moment
from castiel.errors import CursorExpired, MalformedResponse


@dataclass(frozen=True, slots=True)
class Position:
    """After this record, in order of (SystemModstamp, Id). Without an ``id``: from this moment on, it included."""

    modstamp: str
    id: str = ""

    @property
    def at(self) -> datetime:
        """The moment of the position."""
        return parse_moment(self.modstamp)

    def condition(self) -> str:
        """SOQL for what lies behind it."""
        moment = literal(self.modstamp)
        if not self.id:
            return f"SystemModstamp >= {moment}"
        return f"(SystemModstamp > {moment}) OR (SystemModstamp = {moment} AND Id > '{self.id}')"

    def as_json(self) -> Cursor:
        return {"modstamp": self.modstamp, "id": self.id}


@dataclass(frozen=True, slots=True)
class Progress:
    """A pass on its way.

    ``started_at``: the server's clock when the pass began, which it keeps over interruptions.
    ``query_at``: the same for the running query. ``newest``: the last record seen, in order of the keyset.
    """

    position: Position | None
    newest: Position | None
    started_at: datetime
    query_at: datetime

    def after(self, records: list[ExternalRecord]) -> Progress:
        """Where the pass stands once these are stored."""
        position, newest = self.position, self.newest
        for record in records:
            here = Position(record.version or "", record.external_id)
            newest = here if newest is None or _key(here) >= _key(newest) else newest
            # An edited record of the same second as the query can't be told from one that was there before.
            if here.at < self.query_at and (position is None or _key(here) > _key(position)):
                position = here
        return replace(self, position=position, newest=newest)

    def cursor(self) -> Cursor:
        """To go on with this pass."""
        where = self.position.as_json() if self.position else {}
        return {**where, "passStartedAt": moment_text(self.started_at)}

    def final_cursor(self) -> Cursor:
        """For the next pass, once this one is through."""
        if self.newest is None:
            return {}
        if self.newest.at > self.started_at:
            return Position(moment_text(self.started_at), "").as_json()
        return self.newest.as_json()


def begin(cursor: Cursor | None, now: datetime, look_back: timedelta) -> Progress:
    """A pass from a saved cursor: the rest of an unfinished one, or a new one a little behind the last.

    Raises :class:`CursorExpired` for a cursor that can't be read.
    """
    if not cursor:
        return Progress(None, None, now, now)
    try:
        saved = Position(str(cursor["modstamp"]), str(cursor.get("id", ""))) if "modstamp" in cursor else None
        if saved is not None and saved.id and not is_id(saved.id):
            raise CursorExpired("the cursor's id is none")
        if "passStartedAt" in cursor:
            started_at = parse_moment(str(cursor["passStartedAt"]))
            return Progress(saved, saved if saved and saved.id else None, min(started_at, now), now)
        if saved is None:
            return Progress(None, None, now, now)
        return Progress(Position(moment_text(saved.at - look_back)), saved, now, now)
    except MalformedResponse:
        raise CursorExpired("the cursor's time can't be read") from None


def _key(position: Position) -> tuple[datetime, str]:
    return position.at, position.id
