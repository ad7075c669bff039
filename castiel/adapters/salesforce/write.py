"""Writing: up to 200 records in a call, each with a result of its own.

Sources: https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections-upsert.html
and its neighbours …-create.html, …-update.html, …-delete.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.adapters.errors_table import classify
from castiel.adapters.http import ApiClient, HttpReply
from castiel.adapters.salesforce.describe import Describes
from castiel.adapters.salesforce.dialect import DIALECT, error_detail
from castiel.adapters.salesforce.ids import is_id
from castiel.adapters.salesforce.settings import api_path, entity_name, external_id_field
from castiel.domain.connections import Connection
from castiel.domain.messages import Operation
from castiel.errors import (
    CastielError,
    ConfigurationError,
    MalformedResponse,
    ProviderError,
    RecordNotFound,
)

MOST_RECORDS = 200
_GONE = {"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"}

Send = Callable[[Sequence[PushRecord]], Awaitable[HttpReply]]


class Writer:
    """Writes an org's records for one connection."""

    def __init__(self, connection: Connection, api: ApiClient, describes: Describes) -> None:
        self._connection = connection
        self._api = api
        self._describes = describes

    async def push(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Create and update; one outcome per record, in the same order."""
        entity_name(entity)
        outcomes: dict[int, PushOutcome] = {}
        for creating, way in ((True, self._create), (False, self._update)):
            places = [i for i, r in enumerate(records) if (r.operation is Operation.CREATE) is creating]
            some = [records[place] for place in places]
            try:
                results = await way(entity, some)
            except CastielError as error:
                if len(some) == len(records):
                    raise
                # The records of the other kind keep their own outcomes.
                results = [PushOutcome(record.key, record.external_id, error=error) for record in some]
            outcomes |= zip(places, results, strict=True)
        return [outcomes[place] for place in range(len(records))]

    async def delete(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Into the recycle bin; what is gone already counts as done."""
        entity_name(entity)

        async def send(some: Sequence[PushRecord]) -> HttpReply:
            ids = ",".join(str(record.external_id) for record in some)
            return await self._api.call(
                "DELETE",
                f"{self._collections}?ids={ids}&allOrNone=false",
                operation="delete",
                safe=True,
            )

        return await self._known_only(records, send, _deleted)

    async def _create(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        if not records:
            return []
        name = external_id_field(self._connection)
        field = (await self._describes.of(entity)).field(name)
        if field is None or not field.get("externalId") or not field.get("createable"):
            return await self._create_once(entity, name, records)

        async def upsert(some: Sequence[PushRecord]) -> HttpReply:
            rows = [_row(entity, {**record.fields, name: record.key}) for record in some]
            path = f"{self._collections}/{entity}/{name}"
            return await self._write("PATCH", path, rows, "create", safe=True)

        return await self._in_batches(records, upsert, _written)

    async def _create_once(self, entity: str, field: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Without a key of ours in Salesforce: only what surely was not sent before."""

        async def create(some: Sequence[PushRecord]) -> HttpReply:
            rows = [_row(entity, record.fields) for record in some]
            return await self._write("POST", self._collections, rows, "create", safe=False)

        missing = ConfigurationError(
            f"externalIdField: add a unique external id field {field} to {entity}"
            " so that creates can be repeated safely"
        )
        first = [record for record in records if not record.retrying]
        done = {outcome.key: outcome for outcome in await self._in_batches(first, create, _written)}
        return [done.get(record.key) or PushOutcome(record.key, error=missing) for record in records]

    async def _update(self, entity: str, records: Sequence[PushRecord]) -> list[PushOutcome]:
        async def send(some: Sequence[PushRecord]) -> HttpReply:
            rows = [_row(entity, {**record.fields, "Id": record.external_id}) for record in some]
            return await self._write("PATCH", self._collections, rows, "update", safe=True)

        return await self._known_only(records, send, _updated)

    async def _known_only(
        self, records: Sequence[PushRecord], send: Send, read: Callable[[PushRecord, Any], PushOutcome]
    ) -> list[PushOutcome]:
        """Only records whose id can be one: a malformed id would fail the whole call."""
        known = [record for record in records if is_id(record.external_id or "")]
        outcomes = iter(await self._in_batches(known, send, read))
        unknown = RecordNotFound("no record has such an id")
        return [
            next(outcomes) if is_id(record.external_id or "") else PushOutcome(record.key, error=unknown)
            for record in records
        ]

    async def _in_batches(
        self, records: Sequence[PushRecord], send: Send, read: Callable[[PushRecord, Any], PushOutcome]
    ) -> list[PushOutcome]:
        """Once a call fails as a whole, the batches after it are not sent; those before it stand."""
        outcomes: list[PushOutcome] = []
        for start in range(0, len(records), MOST_RECORDS):
            some = records[start : start + MOST_RECORDS]
            try:
                results = _results(await send(some), len(some))
            except CastielError as error:
                if not start:
                    raise
                rest = records[start:]
                return [*outcomes, *(PushOutcome(record.key, error=error) for record in rest)]
            outcomes += [read(record, result) for record, result in zip(some, results, strict=True)]
        return outcomes

    @property
    def _collections(self) -> str:
        return f"{api_path(self._connection)}/composite/sobjects"

    async def _write(
        self, method: str, path: str, rows: list[dict[str, Any]], operation: str, *, safe: bool
    ) -> HttpReply:
        body = {"allOrNone": False, "records": rows}
        return await self._api.call(method, path, operation=operation, json_body=body, safe=safe)


def _row(entity: str, fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": entity}, **fields}


def _results(reply: HttpReply, count: int) -> list[dict[str, Any]]:
    results = reply.json()
    if not isinstance(results, list) or len(results) != count:
        raise MalformedResponse("another number of results than records were sent", status=reply.status)
    if not all(isinstance(result, dict) for result in results):
        raise MalformedResponse("a result that is none", status=reply.status)
    return results


def _error(result: dict[str, Any]) -> ProviderError:
    errors = result.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    # Salesforce answers 200 for the call; the record's own failure counts as a bad request.
    return classify(DIALECT.rules, DIALECT.provider, 400, error_detail(first, "statusCode"))


def _written(record: PushRecord, result: dict[str, Any]) -> PushOutcome:
    if result.get("success") is not True:
        return PushOutcome(record.key, record.external_id, error=_error(result))
    external_id = result.get("id") or record.external_id
    if not isinstance(external_id, str):
        return PushOutcome(record.key, error=MalformedResponse("a success without an id"))
    return PushOutcome(record.key, external_id)


def _updated(record: PushRecord, result: dict[str, Any]) -> PushOutcome:
    outcome = _written(record, result)
    error = outcome.error
    if isinstance(error, ProviderError) and error.provider_code == "INVALID_CROSS_REFERENCE_KEY":
        # Salesforce has one code for a record that is not there and for a reference that leads nowhere.
        refers = any(isinstance(value, str) and is_id(value) for value in record.fields.values())
        if not refers:
            gone = RecordNotFound(str(error), status=error.status, provider_code=error.provider_code)
            return PushOutcome(record.key, record.external_id, error=gone)
    return outcome


def _deleted(record: PushRecord, result: dict[str, Any]) -> PushOutcome:
    outcome = _written(record, result)
    if isinstance(outcome.error, ProviderError) and outcome.error.provider_code in _GONE:
        return PushOutcome(record.key, record.external_id)
    return outcome
