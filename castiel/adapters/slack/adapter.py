"""A workspace behind Castiel's adapter interface."""

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
from castiel.adapters.http import ApiClient, Dialect
from castiel.adapters.slack.channels import Channels
from castiel.adapters.slack.describe import DESCRIPTIONS
from castiel.adapters.slack.dialect import DIALECT, members
from castiel.adapters.slack.history import History
from castiel.adapters.slack.listing import Lister
from castiel.adapters.slack.lookup import Lookup
from castiel.adapters.slack.messages import Messages
from castiel.adapters.slack.serial import WriteOne, one_by_one
from castiel.adapters.slack.users import Users
from castiel.domain.connections import Connection
from castiel.domain.fields import EntityDescription
from castiel.domain.messages import Operation
from castiel.errors import ConfigurationError


class SlackAdapter(Adapter):
    """One workspace's users, channels and messages."""

    dialect: ClassVar[Dialect] = DIALECT

    def __init__(self, connection: Connection, api: ApiClient) -> None:
        super().__init__(connection, api)
        self._lister = Lister(connection, api)
        self._history = History(connection, api, self._lister)
        self._lookup = Lookup(connection, api)
        self._users = Users(api)
        self._channels = Channels(api, self._lister)
        self._messages = Messages(connection, api)

    def fetch(self, entity: str, cursor: Cursor | None) -> AsyncIterator[Page]:
        """See :class:`Adapter`. Users and channels always come all; messages come since the cursor."""
        if entity == "User":
            return self._lister.users(cursor)
        if entity == "Channel":
            return self._lister.channels(cursor)
        if entity == "Message":
            return self._history.pages(cursor)
        raise _unknown(entity)

    async def get(self, entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        """See :class:`Adapter`. Also reads replies in threads, which ``fetch`` doesn't show."""
        return await self._lookup.by_id(entity, external_ids)

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """See :class:`Adapter`. One call after the other; users can only be updated."""
        ways: dict[str, tuple[WriteOne, WriteOne]] = {
            "User": (self._users.create, self._users.update),
            "Channel": (self._channels.create, self._channels.update),
            "Message": (self._messages.create, self._messages.update),
        }
        if entity not in ways:
            raise _unknown(entity)
        create, update = ways[entity]

        async def write(record: PushRecord) -> PushOutcome:
            return await (create if record.operation is Operation.CREATE else update)(record)

        return await one_by_one(records, write)

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Messages are deleted, channels archived, users can't be removed."""
        ways: dict[str, WriteOne] = {
            "User": self._users.delete,
            "Channel": self._channels.archive,
            "Message": self._messages.delete,
        }
        if entity not in ways:
            raise _unknown(entity)
        return await one_by_one(records, ways[entity])

    async def describe(self) -> list[EntityDescription]:
        """The entities and fields, which are the same in every workspace but for its own profile fields."""
        return list(DESCRIPTIONS)

    async def check(self) -> AccountHealth:
        """Workspace and user, and the token's scopes."""
        reply = await self.api.call("GET", "/api/auth.test")
        body = members(reply)
        scopes = reply.headers.get("x-oauth-scopes", "")
        return AccountHealth(
            f"{body.get('user') or ''} at {body.get('team') or ''}",
            tuple(scope.strip() for scope in scopes.split(",") if scope.strip()),
        )


def _unknown(entity: str) -> ConfigurationError:
    return ConfigurationError(f"entity: Slack has no {entity}; there are User, Channel and Message")
