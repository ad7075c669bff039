"""A repository's changed issues, oldest change first.

The list is sorted by a time that every edit moves, so its pages shift while they are read: an edited record goes to the
end, and the first one of the next page slips into the page that was just read. So page numbers are no position. After
each page the list is asked anew from the last ``updated_at`` on (``since`` includes it). Only where more records share
one second than fit a page are GitHub's own ``next`` links followed, and then the second is read until a whole reading
shows nothing new in it.

Source: https://docs.github.com/en/rest/issues/issues#list-repository-issues
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from castiel.adapters.github.dialect import next_link, rows
from castiel.adapters.github.moments import rewritten
from castiel.adapters.github.records import is_pull_request
from castiel.adapters.github.seen import Seen, updated
from castiel.adapters.http import ApiClient, HttpReply

PAGE_SIZE = 100
_UNCHANGED, _UNKNOWN, _SWITCHED_OFF = 304, 404, 410


@dataclass
class IssuePlace:
    """Where a repository's issues stand.

    ``since``: the moment to ask from. ``etag``: of the answer to just that question, where it was the whole answer.
    While GitHub says "not modified" to it nothing has changed, and asking costs no quota.
    """

    since: str | None = None
    etag: str | None = None
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> IssuePlace:
        """From a cursor. Raises :class:`~castiel.errors.CursorExpired` for one that can't be read."""
        return cls(rewritten(saved.get("since")), saved.get("etag"), Seen.of(saved.get("seen")))

    def as_json(self) -> dict[str, Any]:
        return {"since": self.since, "etag": self.etag, "seen": self.seen.as_json()}


class IssueWalk:
    """One pass over one repository's issues. ``found``: whether the account sees the repository."""

    def __init__(self, api: ApiClient, repository: int, place: IssuePlace, look_back: float) -> None:
        self._api = api
        self._path = f"/repositories/{repository}/issues"
        self._look_back = look_back
        self.place = place
        self.found = True

    async def pages(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of issues; ``place`` is where to go on once the page is stored."""
        while True:
            asked = self.place.since
            reply = await self._ask()
            if reply.status in (_UNCHANGED, _UNKNOWN, _SWITCHED_OFF):
                self.found = reply.status != _UNKNOWN
                return
            count, news = 1, False
            while True:
                listed = rows(reply)
                fresh = self.place.seen.take([raw for raw in listed if not is_pull_request(raw)])
                news = news or any(updated(raw) == asked for raw in fresh)
                last = updated(listed[-1]) if listed else asked
                if fresh:
                    yield fresh
                link = next_link(reply)
                if link is None or last != asked:
                    break
                reply = await self._api.call("GET", link)
                count += 1
            if count > 1 and news:
                continue
            if link is None:
                self._finish(last if listed else None, reply if count == 1 else None)
                return
            self._advance(last)

    async def _ask(self) -> HttpReply:
        params: dict[str, str | int | float | bool | None] = {
            "state": "all",
            "sort": "updated",
            "direction": "asc",
            "per_page": PAGE_SIZE,
        }
        if self.place.since:
            params["since"] = self.place.since
        unchanged = {"If-None-Match": self.place.etag} if self.place.etag else {}
        return await self._api.call(
            "GET",
            self._path,
            params=params,
            headers=unchanged,
            allow=(_UNCHANGED, _UNKNOWN, _SWITCHED_OFF),
        )

    def _advance(self, moment: str | None) -> None:
        self.place.since, self.place.etag = moment, None
        self.place.seen.forget_before(moment, self._look_back)

    def _finish(self, newest: str | None, whole_answer: HttpReply | None) -> None:
        """The pass is through; the next one begins a little earlier than this one ended."""
        place, asked = self.place, self.place.since
        if newest is not None:
            place.since = place.seen.forget_before(newest, self._look_back)
        same_question = whole_answer is not None and asked == place.since
        place.etag = whole_answer.headers.get("etag") if whole_answer and same_question else None
