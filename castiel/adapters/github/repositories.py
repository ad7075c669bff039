"""Which repositories a connection covers.

Sources: https://docs.github.com/en/rest/repos/repos, …/rest/apps/installations#list-repositories-accessible-to-the-app-installation
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from castiel.adapters.github.dialect import next_link, row, rows
from castiel.adapters.github.records import id_of
from castiel.adapters.github.settings import installation_id, owner, repository_name, repository_names
from castiel.adapters.http import ApiClient
from castiel.domain.connections import Connection
from castiel.errors import RecordNotFound

PAGE_SIZE = 100


class Repositories:
    """A connection's repositories. ``missing``: names from its settings that its account doesn't see."""

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        self._connection = connection
        self._api = api
        self._ids: dict[str, int] = {}
        self.missing: list[str] = []

    async def pages(self) -> AsyncIterator[list[dict[str, Any]]]:
        """All of them, as GitHub describes them."""
        names = repository_names(self._connection)
        if not names:
            async for page in self._owned(owner(self._connection)):
                yield page
        self.missing = []
        for name in names:
            found = await self._named(name)
            if found is None:
                self.missing.append(name)
            else:
                yield [found]

    async def ids(self, known: dict[str, int]) -> dict[str, int]:
        """Name → number. Names that are ``known`` are not asked again: a number stays, a name may not."""
        names = repository_names(self._connection)
        if names and all(name in known for name in names):
            return {name: known[name] for name in names}
        found: dict[str, int] = {}
        async for page in self.pages():
            found |= {str(raw.get("full_name")): id_of(raw) for raw in page}
        # Under the settings' own names: GitHub knows a renamed repository by its old one, too.
        return {name: self._ids[name] for name in names if name in self._ids} if names else found

    async def id_of_name(self, name: str) -> int:
        """The number of one repository. Raises :class:`RecordNotFound`."""
        repository_name(name, "repository")
        if name not in self._ids and await self._named(name) is None:
            raise RecordNotFound("the repository is not there, or not visible to this account")
        return self._ids[name]

    def ensure_all_found(self) -> None:
        """Raises :class:`RecordNotFound` when a repository of the settings was not there."""
        if self.missing:
            names = ", ".join(self.missing)
            raise RecordNotFound(f"repositories: not there, or not visible to this account: {names}")

    async def _named(self, name: str) -> dict[str, Any] | None:
        reply = await self._api.call("GET", f"/repos/{name}", allow=(404,))
        if reply.status == 404:
            return None
        found = row(reply)
        self._ids[name] = id_of(found)
        return found

    async def _owned(self, login: str) -> AsyncIterator[list[dict[str, Any]]]:
        # In order of creation, so that nothing moves between pages while they are read.
        path, member = "/user/repos?sort=created&direction=asc&per_page=100", None
        if installation_id(self._connection) is not None:
            path, member = "/installation/repositories?per_page=100", "repositories"
        link: str | None = path
        while link:
            reply = await self._api.call("GET", link)
            link = next_link(reply)
            yield [raw for raw in rows(reply, member) if _login(raw).lower() == login.lower()]


def _login(raw: dict[str, Any]) -> str:
    holder = raw.get("owner")
    return str(holder.get("login")) if isinstance(holder, dict) else ""
