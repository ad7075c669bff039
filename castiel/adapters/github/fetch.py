"""Reading: changed records repository by repository, and records by id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from castiel.adapters.base import Cursor, ExternalRecord, Page
from castiel.adapters.github.dialect import row
from castiel.adapters.github.ids import is_repository_id, parse_item
from castiel.adapters.github.issues import IssuePlace, IssueWalk
from castiel.adapters.github.pulls import PullPlace, PullWalk
from castiel.adapters.github.records import (
    ISSUE,
    KINDS,
    REPOSITORY,
    gone,
    is_pull_request,
    item_record,
    repository_record,
)
from castiel.adapters.github.repositories import Repositories
from castiel.adapters.github.settings import DEFAULT_LOOK_BACK_SECONDS, seconds
from castiel.adapters.http import ApiClient
from castiel.domain.connections import Connection
from castiel.errors import ConfigurationError, CursorExpired

_UNKNOWN, _DELETED = 404, 410


class Reader:
    """Reads the connection's repositories."""

    def __init__(self, connection: Connection, api: ApiClient, repositories: Repositories) -> None:
        self._connection = connection
        self._api = api
        self._repositories = repositories

    def pages(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """One pass over what changed since ``cursor``."""
        if entity == REPOSITORY:
            return self._repository_pages()
        if entity in KINDS:
            return self._item_pages(entity, cursor or {"full": True})
        raise ConfigurationError("entity: GitHub has Issue, PullRequest and Repository")

    async def _repository_pages(self) -> AsyncIterator[Page]:
        """Always all: they are few, and only so a deleted one is noticed."""
        async for raws in self._repositories.pages():
            yield Page([repository_record(raw) for raw in raws], {}, full_pass=True)
        # What is missing may be hidden, not gone: the pass doesn't count as having shown all, then.
        yield Page([], {}, last=True, full_pass=not self._repositories.missing)
        self._repositories.ensure_all_found()

    async def _item_pages(self, entity: str, cursor: Cursor) -> AsyncIterator[Page]:
        """Each repository goes on where it stopped, so that an interrupted pass repeats no finished one."""
        names, saved = _saved(cursor)
        full = bool(cursor.get("full"))
        names = await self._repositories.ids(names)
        places = {key: saved.get(key, {}) for key in map(str, names.values())}
        look_back = seconds(self._connection, "lookBackSeconds", DEFAULT_LOOK_BACK_SECONDS)

        def position() -> Cursor:
            return {"names": names, "repositories": dict(places)} | ({"full": True} if full else {})

        for name, repository in names.items():
            walk = self._walk(entity, repository, places[str(repository)], look_back)
            async for raws in walk.pages():
                places[str(repository)] = walk.place.as_json()
                yield Page([item_record(entity, repository, raw) for raw in raws], position(), full_pass=full)
            places[str(repository)] = walk.place.as_json()
            if not walk.found:
                self._repositories.missing.append(name)
        complete = full and not self._repositories.missing
        full = False
        yield Page([], position(), last=True, full_pass=complete)
        self._repositories.ensure_all_found()

    def _walk(
        self, entity: str, repository: int, saved: Mapping[str, Any], look_back: float
    ) -> IssueWalk | PullWalk:
        if entity == ISSUE:
            return IssueWalk(self._api, repository, IssuePlace.of(saved), look_back)
        return PullWalk(self._api, repository, PullPlace.of(saved), look_back)

    async def by_id(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """Records as they are now, one call each and one after the other, as GitHub asks.

        What GitHub says was deleted, or moved to another repository, comes as deleted; what it denies knowing (also
        what the account may not see) is missing.
        """
        found: dict[str, ExternalRecord] = {}
        for external_id in dict.fromkeys(external_ids):
            record = await self.one(entity, external_id)
            if record is not None:
                found[external_id] = record
        return found

    async def one(self, entity: str, external_id: str) -> ExternalRecord | None:
        """One record as :meth:`by_id` gives it, ``None`` for a missing one."""
        if entity == REPOSITORY:
            return await self._one_repository(external_id)
        item = parse_item(external_id)
        if item is None:
            return None
        raw = await self.raw_item(entity, external_id)
        if raw is None or (entity == ISSUE and is_pull_request(raw)):
            return None
        return item_record(entity, item.repository, raw) if raw else gone(entity, external_id)

    async def raw_item(self, entity: str, external_id: str) -> dict[str, Any] | None:
        """An issue or pull request as GitHub gives it: ``{}`` for one that is gone, ``None`` for an unknown one."""
        item = parse_item(external_id)
        if item is None:
            return None
        path = item.path(KINDS[entity])
        reply = await self._api.call("GET", path, allow=(_UNKNOWN, _DELETED))
        if reply.status == _UNKNOWN:
            return None
        # A repository's own address never moves, so a redirect means that the issue did.
        moved = not urlsplit(reply.url).path.endswith(path)
        return {} if moved or reply.status == _DELETED else row(reply)

    async def _one_repository(self, external_id: str) -> ExternalRecord | None:
        if not is_repository_id(external_id):
            return None
        reply = await self._api.call("GET", f"/repositories/{external_id}", allow=(_UNKNOWN,))
        return repository_record(row(reply)) if reply.status != _UNKNOWN else None


def _saved(cursor: Cursor) -> tuple[dict[str, int], dict[str, Any]]:
    names, places = cursor.get("names") or {}, cursor.get("repositories") or {}
    if not isinstance(names, dict) or not isinstance(places, dict):
        raise CursorExpired("the cursor can't be read")
    if not all(isinstance(number, int) for number in names.values()):
        raise CursorExpired("the cursor's repositories can't be read")
    if not all(isinstance(place, dict) for place in places.values()):
        raise CursorExpired("the cursor's repositories can't be read")
    return dict(names), dict(places)
