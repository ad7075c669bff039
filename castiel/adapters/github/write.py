"""Creating, changing and closing: one record a call, one call at a time, with a pause between.

GitHub asks integrations to write serially and to wait at least a second between two writes
(https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api). The pause is
``asyncio.sleep``; how long it is, the connection's ``mutationIntervalSeconds`` says.

A create can't carry a key, so each body hides the shard's (see ``marker``). After a create whose answer was lost the
newest records are listed and searched for it. The search API would be shorter, but its index lags behind by seconds to
minutes, and a duplicate is made in that time; lists come from the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.adapters.github.dialect import next_link, row, rows
from castiel.adapters.github.fetch import Reader
from castiel.adapters.github.ids import ItemId, parse_item
from castiel.adapters.github.marker import has_key, is_deleted, with_deleted, with_key
from castiel.adapters.github.moments import parse_moment
from castiel.adapters.github.payloads import changes_of, creation_of, target_of
from castiel.adapters.github.records import ISSUE, KINDS, is_pull_request, item_record, number_of
from castiel.adapters.github.repositories import Repositories
from castiel.adapters.github.settings import (
    DEFAULT_MUTATION_INTERVAL_SECONDS,
    repository_names,
    seconds,
)
from castiel.adapters.http import ApiClient
from castiel.adapters.http_dates import answered_at
from castiel.domain.connections import Connection
from castiel.domain.messages import Operation
from castiel.errors import (
    AuthenticationFailed,
    CastielError,
    CircuitOpen,
    OutcomeUnknown,
    ProviderRateLimited,
    ProviderRejected,
    RateLimited,
    ReauthRequired,
    RecordNotFound,
)

LOOK_FOR_MARKERS = timedelta(days=7)
"""How far back a create whose answer was lost is looked for: longer than its message is tried again."""

_STOPS = (ProviderRateLimited, RateLimited, CircuitOpen, AuthenticationFailed, ReauthRequired)
"""After these the rest of a batch would only meet the same, and make a limit worse."""


class Writer:
    """Writes to the connection's repositories."""

    def __init__(
        self, connection: Connection, api: ApiClient, repositories: Repositories, reader: Reader
    ) -> None:
        self._connection = connection
        self._api = api
        self._repositories = repositories
        self._reader = reader
        self._wrote = False

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Create or update each record."""
        return await self._each(entity, records, self._push)

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Close each record, so that it counts as deleted until somebody opens it again."""
        return await self._each(entity, records, self._close)

    async def _each(
        self,
        entity: str,
        records: Sequence[PushRecord],
        act: Callable[[str, PushRecord], Awaitable[PushOutcome]],
    ) -> list[PushOutcome]:
        outcomes: list[PushOutcome] = []
        stopped: CastielError | None = None
        for record in records:
            if entity not in KINDS:
                stopped = ProviderRejected(f"{entity}: records of this kind are only read")
            if stopped is None:
                try:
                    outcomes.append(await act(entity, record))
                    continue
                except _STOPS as error:
                    stopped = error
                except CastielError as error:
                    outcomes.append(PushOutcome(record.key, record.external_id, error=error))
                    continue
            outcomes.append(PushOutcome(record.key, record.external_id, error=stopped))
        return outcomes

    async def _push(self, entity: str, record: PushRecord) -> PushOutcome:
        if record.operation is Operation.UPDATE:
            return await self._update(entity, _known(record), record)
        name = target_of(record.fields, self._connection.settings, repository_names(self._connection))
        repository = await self._repositories.id_of_name(name)
        if record.retrying:
            made = await self._find_made(entity, repository, record.key)
            if made is not None:
                return await self._update(entity, made, record)
        return await self._create(entity, repository, record)

    async def _create(self, entity: str, repository: int, record: PushRecord) -> PushOutcome:
        body, state = creation_of(entity, record.fields)
        body["body"] = with_key(body.get("body"), record.key)
        path = f"/repositories/{repository}/{KINDS[entity]}"
        made = await self._mutate("POST", path, body, "create")
        if state is not None:
            # GitHub opens what it creates; another state takes a second write.
            try:
                made = await self._mutate("PATCH", f"{path}/{number_of(made)}", state, "update")
            except CastielError as error:
                # The record is there, whatever the second write met: a retry has to look for it.
                raise OutcomeUnknown("the record was made, its state was not set") from error
        return _outcome(entity, record, repository, made)

    async def _update(self, entity: str, item: ItemId, record: PushRecord) -> PushOutcome:
        body = changes_of(entity, record.fields)
        if "body" in body:
            body["body"] = with_key(body["body"], record.key)
        raw = await self._mutate("PATCH", item.path(KINDS[entity]), body, "update")
        return _outcome(entity, record, item.repository, raw)

    async def _close(self, entity: str, record: PushRecord) -> PushOutcome:
        item = _known(record)
        raw = await self._reader.raw_item(entity, str(item))
        done = not raw or (raw.get("state") == "closed" and is_deleted(raw.get("body")))
        if not done:
            body = {"state": "closed", "body": with_deleted((raw or {}).get("body"))}
            if entity == ISSUE:
                body["state_reason"] = "not_planned"
            await self._mutate("PATCH", item.path(KINDS[entity]), body, "delete")
        return PushOutcome(record.key, record.external_id)

    async def _find_made(self, entity: str, repository: int, key: str) -> ItemId | None:
        """The record that an earlier create of this shard made, if it arrived."""
        path = f"/repositories/{repository}/{KINDS[entity]}"
        link: str | None = f"{path}?state=all&sort=created&direction=desc&per_page=100"
        while link:
            reply = await self._api.call("GET", link)
            oldest = answered_at(reply.headers) - LOOK_FOR_MARKERS
            for raw in rows(reply):
                if parse_moment(raw.get("created_at")) < oldest:
                    return None
                body = raw.get("body")
                ours = has_key(body, key) and not is_deleted(body)
                if ours and (entity != ISSUE or not is_pull_request(raw)):
                    return ItemId(repository, number_of(raw))
            link = next_link(reply)
        return None

    async def _mutate(self, method: str, path: str, body: dict[str, Any], operation: str) -> dict[str, Any]:
        if self._wrote:
            await asyncio.sleep(
                seconds(self._connection, "mutationIntervalSeconds", DEFAULT_MUTATION_INTERVAL_SECONDS)
            )
        self._wrote = True
        return row(await self._api.call(method, path, json_body=body, operation=operation))


def _known(record: PushRecord) -> ItemId:
    item = parse_item(record.external_id)
    if item is None:
        raise RecordNotFound("the external id is none of GitHub's")
    return item


def _outcome(entity: str, record: PushRecord, repository: int, raw: dict[str, Any]) -> PushOutcome:
    written = item_record(entity, repository, raw)
    return PushOutcome(
        record.key,
        written.external_id,
        version=written.version,
        fields=written.fields,
        modified_at=written.modified_at,
    )
