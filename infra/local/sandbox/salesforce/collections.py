"""`/composite/sobjects`: up to 200 records in one call, each with its own result, in order.

Source: https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections-create.html
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from infra.local.sandbox.salesforce.errors import ApiError
from infra.local.sandbox.salesforce.ids import full_id
from infra.local.sandbox.salesforce.rendering import render
from infra.local.sandbox.salesforce.rows import NAME, Rows, SeveralMatchesError
from infra.local.sandbox.salesforce.schema import OBJECTS, Field, SObject, find_object
from infra.local.sandbox.salesforce.web_api import Call, Gate, answer

JsonObject = dict[str, Any]
Step = Callable[[], JsonObject]

_MOST_RECORDS = 200
_MOST_CHUNKS = 10
_MOST_READ = 2000


class Collections:
    """Handlers of many records."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        return [
            gate.route("POST", "/composite/sobjects{_:/?}", self._create),
            gate.route("PATCH", "/composite/sobjects{_:/?}", self._update),
            gate.route("DELETE", "/composite/sobjects{_:/?}", self._delete),
            gate.route("PATCH", "/composite/sobjects/{sobject}/{field}", self._upsert),
            gate.route("GET", "/composite/sobjects/{sobject}", self._read),
            gate.route("POST", "/composite/sobjects/{sobject}", self._read),
        ]

    async def _create(self, call: Call) -> web.Response:
        all_or_none, records = await self._records(call)

        def step(given: JsonObject) -> JsonObject:
            return _saved(self._rows.create(_type_of(given), given, call.writer))

        return answer(self._run([partial(step, given) for given in records], all_or_none, creating=True))

    async def _update(self, call: Call) -> web.Response:
        all_or_none, records = await self._records(call)

        def step(given: JsonObject) -> JsonObject:
            record_id = _id_in(given)
            rest = {name: value for name, value in given.items() if name.lower() != "id"}
            self._existing(record_id)
            self._rows.update(_type_of(given), record_id, rest, call.writer)
            return _saved(record_id)

        return answer(self._run([partial(step, given) for given in records], all_or_none))

    async def _upsert(self, call: Call) -> web.Response:
        all_or_none, records = await self._records(call)
        sobject = call.sobject()
        field = sobject.field(call.request.match_info["field"])
        if field is None or not (field.external_id or field.column == "id"):
            text = f"Provided external ID field does not exist or is not accessible: {call.request.match_info['field']}"
            raise ApiError(404, "NOT_FOUND", text)

        def step(given: JsonObject) -> JsonObject:
            if _type_of(given) != sobject:
                raise ApiError(400, "INVALID_TYPE", "Record type does not match the type of the request", [])
            return self._upsert_one(call, sobject, field, given)

        return answer(self._run([partial(step, given) for given in records], all_or_none))

    def _upsert_one(self, call: Call, sobject: SObject, field: Field, given: JsonObject) -> JsonObject:
        rest = {name: value for name, value in given.items() if name.lower() != field.name.lower()}
        value = next((given[name] for name in given if name.lower() == field.name.lower()), None)
        if field.column == "id":
            if value is None:
                return _saved(self._rows.create(sobject, rest, call.writer)) | {"created": True}
            self._rows.update(sobject, str(value), rest, call.writer)
            return _saved(str(value)) | {"created": False}
        if value is None:
            raise ApiError(400, "MISSING_ARGUMENT", f"{field.name} not specified", [])
        try:
            record_id, created = self._rows.upsert(sobject, field, str(value), rest, call.writer)
        except SeveralMatchesError as several:
            text = f"{field.name}: more than one record found for external id field: {several.ids}"
            raise ApiError(400, "DUPLICATE_EXTERNAL_ID", text, []) from None
        return _saved(record_id) | {"created": created}

    async def _delete(self, call: Call) -> web.Response:
        ids = [text for text in call.request.query.get("ids", "").split(",") if text]
        _check_count(len(ids), _MOST_RECORDS)

        def step(text: str) -> JsonObject:
            record_id = full_id(text)
            if record_id is None:
                raise ApiError(400, "MALFORMED_ID", f"malformed id {text}", [])
            sobject = self._existing(record_id)
            self._rows.delete(sobject, record_id, call.writer)
            return _saved(record_id)

        all_or_none = call.request.query.get("allOrNone", "false").lower() == "true"
        return answer(self._run([partial(step, text) for text in ids], all_or_none))

    async def _read(self, call: Call) -> web.Response:
        """Records by id, in the order asked; null for one that is not there."""
        sobject = call.sobject()
        if call.request.method == "POST":
            body = await call.json()
            ids, names = list(body.get("ids", [])), list(body.get("fields", []))
        else:
            ids = call.request.query.get("ids", "").split(",")
            names = [name for name in call.request.query.get("fields", "").split(",") if name]
        _check_count(len(ids), _MOST_READ if call.request.method == "POST" else 800)
        if not names:
            raise ApiError(400, "MISSING_ARGUMENT", "fields not specified")
        fields = [_field(sobject, name) for name in names]
        found = [self._rows.store.get(NAME, sobject.name, full_id(str(one)) or "") for one in ids]
        return answer(
            [render(sobject, r, call.version, fields) if r and not r.deleted else None for r in found]
        )

    def _run(self, steps: list[Step], all_or_none: bool, creating: bool = False) -> list[JsonObject]:
        """Every step's result; with all_or_none, one failure undoes the rest."""
        results: list[JsonObject] = []
        try:
            with self._rows.store.transaction():
                results += [self._tried(step) for step in steps]
                if all_or_none and not all(result["success"] for result in results):
                    raise _RolledBackError
        except _RolledBackError:
            return [_rolled_back(result, creating) if result["success"] else result for result in results]
        return results

    def _tried(self, step: Step) -> JsonObject:
        try:
            with self._rows.store.transaction():
                return step()
        except ApiError as error:
            return {"success": False, "errors": [error.as_result()]}

    def _existing(self, record_id: str) -> SObject:
        """The object an id belongs to; the record has to have been there."""
        sobject = next((o for o in OBJECTS.values() if record_id.startswith(o.prefix)), None)
        if sobject is None or self._rows.store.get(NAME, sobject.name, record_id) is None:
            raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        return sobject

    async def _records(self, call: Call) -> tuple[bool, list[JsonObject]]:
        body = await call.json()
        records = body.get("records")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of sObjects")
        _check_count(len(records), _MOST_RECORDS)
        types = [(record.get("attributes") or {}).get("type") for record in records]
        if (
            sum(1 for before, here in zip([None, *types], types, strict=False) if before != here)
            > _MOST_CHUNKS
        ):
            text = "The request body is grouped into more than 10 chunks"
            raise ApiError(400, "INVALID_INPUT", text)
        return bool(body.get("allOrNone", False)), records


class _RolledBackError(Exception):
    pass


def _saved(record_id: str) -> JsonObject:
    return {"id": record_id, "success": True, "errors": []}


def _rolled_back(result: JsonObject, creating: bool) -> JsonObject:
    """The result of a record whose neighbour failed; one that was to be created has no id to show."""
    text = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    error = {"statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK", "message": text, "fields": []}
    kept = {} if creating or result.get("created") else {"id": result["id"]}
    return kept | {"success": False, "errors": [error]}


def _type_of(given: JsonObject) -> SObject:
    name = (given.get("attributes") or {}).get("type")
    sobject = find_object(name) if isinstance(name, str) else None
    if sobject is None:
        raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.", [])
    return sobject


def _id_in(given: JsonObject) -> str:
    text = str(next((given[name] for name in given if name.lower() == "id"), "") or "")
    if not text:
        raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", [])
    record_id = full_id(text)
    if record_id is None:
        raise ApiError(400, "MALFORMED_ID", f"Record ID: id value of incorrect type: {text}", ["Id"])
    return record_id


def _field(sobject: SObject, name: str) -> Field:
    field = sobject.field(name.strip())
    if field is None:
        raise ApiError(400, "INVALID_FIELD", f"No such column '{name.strip()}' on entity '{sobject.name}'.")
    return field


def _check_count(count: int, most: int) -> None:
    if count > most:
        text = f"record limit reached. cannot submit more than {most} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", text)
