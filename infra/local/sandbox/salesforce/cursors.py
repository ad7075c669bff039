"""Query locators: the ids a query found, handed out page by page.

A locator belongs to the session that opened it, lives two days, and a user has few of them: the oldest goes when
one too many is opened. In memory: a restart forgets them, as an org's maintenance does.
Source: https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_limits.htm,
https://github.com/airbytehq/airbyte/pull/84302 (a locator ends with its session)
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.local.sandbox.clock import Clock
from infra.local.sandbox.salesforce.errors import invalid_locator, session_invalid
from infra.local.sandbox.salesforce.ids import make_id
from infra.local.sandbox.salesforce.soql_sql import Plan

_PREFIX = "01g"


@dataclass(slots=True)
class Cursor:
    plan: Plan
    ids: list[str]
    include_deleted: bool
    batch_size: int
    session: str
    opened_ms: int


class Cursors:
    """The open query locators of the org's one user."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Cursor] = {}
        self._made = 0

    def open(self, cursor: Cursor, at_most: int) -> str:
        """Keep a cursor; returns its locator without the position."""
        self._made += 1
        locator = make_id(_PREFIX, self._made)
        self._open[locator] = cursor
        while len(self._open) > at_most:
            del self._open[next(iter(self._open))]
        return locator

    def at(self, text: str, session: str, seconds: int) -> tuple[str, Cursor, int]:
        """Locator, cursor and position for `01g…-2000`. Raises ApiError."""
        locator, _, position = text.partition("-")
        cursor = self._open.get(locator)
        if cursor is None or not position.isdigit() or int(position) >= len(cursor.ids):
            raise invalid_locator()
        if self._clock.now_ms() - cursor.opened_ms > seconds * 1000:
            del self._open[locator]
            raise invalid_locator()
        if cursor.session != session:
            raise session_invalid()
        return locator, cursor, int(position)

    def close(self, locator: str) -> None:
        self._open.pop(locator, None)

    def clear(self) -> int:
        """Forget all; returns how many there were."""
        count = len(self._open)
        self._open.clear()
        return count
