"""A repository's changed pull requests.

Their list has no ``since``. A first pass goes by creation, which nothing moves. Later ones go from the newest change
backwards to where the last pass began: what is edited meanwhile moves to the front, so the rest only shifts to later
pages. It may be shown twice, never missed.

Source: https://docs.github.com/en/rest/pulls/pulls#list-pull-requests
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from castiel.adapters.github.dialect import next_link, rows
from castiel.adapters.github.moments import moment_text, rewritten
from castiel.adapters.github.seen import Seen, updated
from castiel.adapters.http import ApiClient, HttpReply
from castiel.adapters.http_dates import answered_at
from castiel.errors import CursorExpired, SchemaMismatch

PAGE_SIZE = 100
_UNCHANGED, _UNKNOWN = 304, 404


@dataclass
class PullPlace:
    """Where a repository's pull requests stand.

    ``since``: changes from this moment on are wanted; ``None`` until a first pass is through. ``newest``: where the
    next pass may stop, known once this one began. ``next``: GitHub's link to the rest of this one.
    ``etag``: of the first page, newest change first.
    """

    since: str | None = None
    newest: str | None = None
    next: str | None = None
    etag: str | None = None
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> PullPlace:
        """From a cursor. Raises :class:`CursorExpired` for one that can't be read."""
        since, newest = rewritten(saved.get("since")), rewritten(saved.get("newest"))
        return cls(since, newest, saved.get("next"), saved.get("etag"), Seen.of(saved.get("seen")))

    def as_json(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "newest": self.newest,
            "next": self.next,
            "etag": self.etag,
            "seen": self.seen.as_json(),
        }


class PullWalk:
    """One pass over one repository's pull requests. ``found``: whether the account sees the repository."""

    def __init__(self, api: ApiClient, repository: int, place: PullPlace, look_back: float) -> None:
        self._api = api
        self._path = f"/repositories/{repository}/pulls"
        self._look_back = look_back
        self.place = place
        self.found = True

    async def pages(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of pull requests; ``place`` is where to go on once the page is stored."""
        place = self.place
        reply = await (self._rest(place.next) if place.next else self._begin())
        while reply is not None:
            listed = rows(reply)
            wanted = [raw for raw in listed if place.since is None or updated(raw) >= place.since]
            enough = len(wanted) < len(listed)
            place.next = None if enough else next_link(reply)
            fresh = place.seen.take(wanted) if place.since else wanted
            if place.next is None:
                self._finish()
            if fresh:
                yield fresh
            reply = await self._rest(place.next) if place.next else None

    def _finish(self) -> None:
        """The pass is through; the next one begins a little earlier than this one began."""
        place = self.place
        start = place.seen.forget_before(place.newest, self._look_back)
        # Never back: what was before it has been shown.
        place.since, place.newest = max(filter(None, (place.since, start)), default=None), None

    async def _begin(self) -> HttpReply | None:
        place = self.place
        order = ("created", "asc") if place.since is None else ("updated", "desc")
        unchanged = {"If-None-Match": place.etag} if place.etag else {}
        reply = await self._api.call(
            "GET",
            self._path,
            params={"state": "all", "sort": order[0], "direction": order[1], "per_page": PAGE_SIZE},
            headers=unchanged,
            allow=(_UNCHANGED, _UNKNOWN),
        )
        if reply.status in (_UNCHANGED, _UNKNOWN):
            self.found = reply.status != _UNKNOWN
            return None
        if place.since is None:
            place.newest = moment_text(answered_at(reply.headers))
        else:
            listed = rows(reply)
            place.newest = updated(listed[0]) if listed else place.since
            place.etag = reply.headers.get("etag")
        return reply

    async def _rest(self, link: str) -> HttpReply:
        try:
            return await self._api.call("GET", link)
        except SchemaMismatch:
            raise CursorExpired("the page that the pass stopped at is no more") from None
