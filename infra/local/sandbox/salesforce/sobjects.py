"""`/sobjects/…`: one record at a time, and the list of what was deleted.

Source: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_sobject_retrieve.htm
and its neighbours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from aiohttp import web

from infra.local.sandbox.clock import parse_ms
from infra.local.sandbox.salesforce.describe import basic_information, describe, global_describe
from infra.local.sandbox.salesforce.errors import ApiError
from infra.local.sandbox.salesforce.rendering import datetime_text, render
from infra.local.sandbox.salesforce.rows import NAME, Rows, SeveralMatchesError
from infra.local.sandbox.salesforce.schema import Field, SObject
from infra.local.sandbox.salesforce.web_api import Call, Gate, answer
from infra.local.sandbox.store import Record

_DELETED_WINDOW_MS = 15 * 86_400_000
_MINUTE_MS = 60_000


class SObjects:
    """Handlers of single records."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        one, by_external_id = "/sobjects/{sobject}/{id}", "/sobjects/{sobject}/{field}/{value}"
        return [
            gate.route("GET", "/sobjects{_:/?}", self._global),
            gate.route("GET", "/sobjects/{sobject}{_:/?}", self._basic),
            gate.route("POST", "/sobjects/{sobject}{_:/?}", self._create),
            gate.route("GET", "/sobjects/{sobject}/describe{_:/?}", self._describe),
            gate.route("GET", "/sobjects/{sobject}/deleted{_:/?}", self._deleted),
            gate.route("GET", "/sobjects/{sobject}/updated{_:/?}", self._updated),
            gate.route("GET", one, self._read),
            gate.route("PATCH", one, self._update),
            gate.route("DELETE", one, self._delete),
            gate.route("GET", by_external_id, self._read_by_external_id),
            gate.route("PATCH", by_external_id, self._upsert),
            gate.route("DELETE", by_external_id, self._delete_by_external_id),
        ]

    async def _global(self, call: Call) -> web.Response:
        return answer(global_describe(call.version))

    async def _basic(self, call: Call) -> web.Response:
        return answer(basic_information(call.sobject(), call.version))

    async def _describe(self, call: Call) -> web.Response:
        return answer(describe(call.sobject(), call.version))

    async def _create(self, call: Call) -> web.Response:
        sobject = call.sobject()
        record_id = self._rows.create(sobject, await call.json(), call.writer)
        location = f"/services/data/{call.version}/sobjects/{sobject.name}/{record_id}"
        return answer({"id": record_id, "success": True, "errors": []}, 201, {"Location": location})

    async def _read(self, call: Call) -> web.Response:
        sobject = call.sobject()
        return self._shown(call, sobject, self._rows.read(sobject, call.request.match_info["id"]))

    async def _read_by_external_id(self, call: Call) -> web.Response:
        sobject = call.sobject()
        found = self._one(call, sobject)
        return found if isinstance(found, web.Response) else self._shown(call, sobject, found)

    async def _update(self, call: Call) -> web.Response:
        sobject, record_id = call.sobject(), call.request.match_info["id"]
        given = await call.json()
        if any(name.lower() == "id" for name in given):
            raise ApiError(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
        self._check_unmodified(call, self._rows.store.get(NAME, sobject.name, record_id))
        self._rows.update(sobject, record_id, given, call.writer)
        return web.Response(status=204)

    async def _delete(self, call: Call) -> web.Response:
        self._rows.delete(call.sobject(), call.request.match_info["id"], call.writer)
        return web.Response(status=204)

    async def _delete_by_external_id(self, call: Call) -> web.Response:
        sobject = call.sobject()
        found = self._one(call, sobject)
        if isinstance(found, web.Response):
            return found
        self._rows.delete(sobject, found.id, call.writer)
        return web.Response(status=204)

    async def _upsert(self, call: Call) -> web.Response:
        sobject, given = call.sobject(), await call.json()
        field = self._external_field(call, sobject)
        if field.name in given:
            text = f"The {field.name} field should not be specified in the sobject data."
            raise ApiError(400, "INVALID_FIELD", text)
        try:
            value = call.request.match_info["value"]
            record_id, created = self._rows.upsert(sobject, field, value, given, call.writer)
        except SeveralMatchesError as several:
            return self._several(call, sobject, several.ids)
        body = {"id": record_id, "success": True, "errors": [], "created": created}
        return answer(body, 201 if created else 200)

    async def _deleted(self, call: Call) -> web.Response:
        sobject = call.sobject()
        start, end = self._window(call)
        where = "deleted=1 AND modified_ms>=? AND modified_ms<?"
        found = self._rows.store.find(NAME, sobject.name, where, (start, end), "ORDER BY modified_ms, id")
        return answer(
            {
                "deletedRecords": [
                    {"id": record.id, "deletedDate": datetime_text(record.modified_ms)} for record in found
                ],
                "earliestDateAvailable": datetime_text(self._rows.store.clock.now_ms() - _DELETED_WINDOW_MS),
                "latestDateCovered": datetime_text(end),
            }
        )

    async def _updated(self, call: Call) -> web.Response:
        sobject = call.sobject()
        start, end = self._window(call)
        where = "deleted=0 AND modified_ms>=? AND modified_ms<?"
        found = self._rows.store.find(NAME, sobject.name, where, (start, end), "ORDER BY modified_ms, id")
        return answer({"ids": [record.id for record in found], "latestDateCovered": datetime_text(end)})

    def _window(self, call: Call) -> tuple[int, int]:
        """Start and end of a replication call; seconds are ignored, as documented."""
        try:
            start, end = (
                parse_ms(call.request.query[name]) // _MINUTE_MS * _MINUTE_MS for name in ("start", "end")
            )
        except (KeyError, ValueError):
            text = "start and end must be dates such as 2026-11-01T10:00:00Z"
            raise ApiError(400, "INVALID_REPLICATION_DATE", text) from None
        now = self._rows.store.clock.now_ms()
        if start < now - 2 * _DELETED_WINDOW_MS:
            raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago")
        if end <= start:
            raise ApiError(
                400, "INVALID_REPLICATION_DATE", "endDate must be at least one minute greater than startDate"
            )
        return start, min(end, now // _MINUTE_MS * _MINUTE_MS + _MINUTE_MS)

    def _shown(self, call: Call, sobject: SObject, record: Record) -> web.Response:
        modified = format_datetime(datetime.fromtimestamp(record.modified_ms // 1000, UTC), usegmt=True)
        since = _header_date(call, "If-Modified-Since")
        if since is not None and record.modified_ms // 1000 <= since:
            return web.Response(status=304, headers={"Last-Modified": modified})
        self._check_unmodified(call, record)
        wanted = call.request.query.get("fields")
        fields = [_named(sobject, name) for name in wanted.split(",")] if wanted else None
        return answer(render(sobject, record, call.version, fields), headers={"Last-Modified": modified})

    def _check_unmodified(self, call: Call, record: Record | None) -> None:
        """If-Unmodified-Since, which Salesforce offers on single records."""
        since = _header_date(call, "If-Unmodified-Since")
        if record is not None and since is not None and record.modified_ms // 1000 > since:
            raise ApiError(412, "PRECONDITION_FAILED", "The resource has been modified since the given date")

    def _external_field(self, call: Call, sobject: SObject) -> Field:
        field = sobject.field(call.request.match_info["field"])
        if field is None or not field.external_id:
            name = call.request.match_info["field"]
            text = f"Provided external ID field does not exist or is not accessible: {name}"
            raise ApiError(404, "NOT_FOUND", text)
        return field

    def _one(self, call: Call, sobject: SObject) -> Record | web.Response:
        """The record with the external id in the path, or the answer that there are several."""
        field, value = self._external_field(call, sobject), call.request.match_info["value"]
        matches = self._rows.with_external_id(sobject, field, value)
        if not matches:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        if len(matches) > 1:
            return self._several(call, sobject, [record.id for record in matches])
        return matches[0]

    def _several(self, call: Call, sobject: SObject, ids: list[str]) -> web.Response:
        return answer([f"/services/data/{call.version}/sobjects/{sobject.name}/{one}" for one in ids], 300)


def _named(sobject: SObject, name: str) -> Field:
    field = sobject.field(name.strip())
    if field is None:
        text = f"No such column '{name.strip()}' on entity '{sobject.name}'."
        raise ApiError(400, "INVALID_FIELD", text)
    return field


def _header_date(call: Call, name: str) -> int | None:
    """Seconds of an HTTP date header; None without it. Raises ApiError for an unreadable one."""
    text = call.request.headers.get(name)
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except ValueError:
        raise ApiError(400, "INVALID_HEADER", f"{name} is not an HTTP date") from None
