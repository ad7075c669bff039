"""Reading a list page by page, from a sync token where there is one. Both APIs page and sync in this way.

Sources: https://developers.google.com/people/api/rest/v1/people.connections/list,
https://developers.google.com/workspace/calendar/api/guides/sync
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from castiel.adapters.base import Cursor, ExternalRecord, Page
from castiel.errors import CursorExpired, SchemaMismatch

Ask = Callable[[Mapping[str, str]], Awaitable[Mapping[str, Any]]]
"""Carries out one list call with these tokens added to its parameters."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a pass is: since which sync token (none: a full pass), on which page.

    ``scope`` is what the tokens are good for (the parameters, the calendar): Google wants them to stay the same.
    """

    scope: str
    sync: str | None = None
    page: str | None = None

    @classmethod
    def of(cls, cursor: Cursor | None, scope: str) -> Position:
        """The position a cursor holds. Raises :class:`CursorExpired` for one of another scope."""
        if cursor is None:
            return cls(scope)
        if cursor.get("scope") != scope:
            raise CursorExpired("the cursor belongs to other parameters")
        return cls(scope, cursor.get("sync"), cursor.get("page"))

    def cursor(self) -> Cursor:
        """The position as JSON."""
        members = {"scope": self.scope, "sync": self.sync, "page": self.page}
        return {name: value for name, value in members.items() if value is not None}

    def tokens(self) -> dict[str, str]:
        """The position as parameters of a list call."""
        members = {"syncToken": self.sync, "pageToken": self.page}
        return {name: value for name, value in members.items() if value is not None}


async def pages(
    start: Position, ask: Ask, records_of: Callable[[Mapping[str, Any]], Sequence[ExternalRecord]]
) -> AsyncIterator[Page]:
    """The pages from a position on. A pass without a sync token shows every record there is."""
    at = start
    while True:
        body = await _asked(at, ask, resumed=at == start)
        if body is None:
            # Page tokens don't live for ever: the pass begins anew, and shows again what it had shown.
            at = start = replace(start, page=None)
            continue
        following, sync = body.get("nextPageToken"), body.get("nextSyncToken")
        if isinstance(following, str) and following:
            after = replace(at, page=following)
        else:
            after = Position(at.scope, sync if isinstance(sync, str) else None)
        last = after.page is None
        yield Page(records_of(body), after.cursor(), last=last, full_pass=at.sync is None)
        if last:
            return
        at = after


async def _asked(at: Position, ask: Ask, *, resumed: bool) -> Mapping[str, Any] | None:
    """A page, or ``None`` when the page token of a resumed pass is refused."""
    try:
        return await ask(at.tokens())
    except SchemaMismatch:
        if at.page is not None and resumed:
            return None
        if at.sync is not None:
            raise CursorExpired("the sync token was refused") from None
        raise
