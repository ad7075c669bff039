"""GitHub behind Castiel's adapter interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from castiel.adapters.base import (
    AccountHealth,
    Adapter,
    Cursor,
    ExternalRecord,
    Page,
    PushOutcome,
    PushRecord,
)
from castiel.adapters.github.describe import descriptions
from castiel.adapters.github.dialect import DIALECT, read_quota, row
from castiel.adapters.github.fetch import Reader
from castiel.adapters.github.repositories import Repositories
from castiel.adapters.github.settings import installation_id
from castiel.adapters.github.write import Writer
from castiel.adapters.http import ApiClient, Dialect
from castiel.domain.connections import Connection
from castiel.domain.fields import EntityDescription


class GitHubAdapter(Adapter):
    """The issues, pull requests and repositories of one account."""

    dialect: ClassVar[Dialect] = DIALECT

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        super().__init__(connection, api)
        repositories = Repositories(connection, api)
        self._reader = Reader(connection, api, repositories)
        self._writer = Writer(connection, api, repositories, self._reader)

    def fetch(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """See :class:`Adapter`. Lists don't show deleted issues: webhooks and full passes do.

        A repository of the settings that isn't there fails the pass at its end, when all others were read.
        """
        return self._reader.pages(entity, cursor)

    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`. One call each: REST has no way to read several by number."""
        return await self._reader.by_id(entity, external_ids)

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. Serial, with a pause between writes; repositories are only read."""
        return await self._writer.push(entity, records)

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. REST deletes nothing: the record is closed, an issue as not planned."""
        return await self._writer.delete(entity, records)

    async def describe(self) -> list[EntityDescription]:
        """The entities. Nothing is asked: GitHub's fields are the same for every account."""
        return descriptions()

    async def check(self) -> AccountHealth:
        """Who we are; the scopes of an OAuth app's token (GitHub Apps have permissions instead)."""
        installation = installation_id(self.connection)
        # An installation is nobody: /user is not for it.
        path = "/user" if installation is None else "/installation/repositories?per_page=1"
        reply = await self.api.call("GET", path)
        name = row(reply).get("login") if installation is None else f"installation {installation}"
        scopes = [scope.strip() for scope in reply.headers.get("x-oauth-scopes", "").split(",")]
        quota = read_quota(reply)
        return AccountHealth(
            account=str(name),
            scopes=tuple(scope for scope in scopes if scope),
            quota_used=quota.used if quota else None,
        )
