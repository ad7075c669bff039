"""The Calendar API's calls (https://developers.google.com/workspace/calendar/api/v3/reference)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from infra.local.sandbox.clock import iso_z, parse_ms
from infra.local.sandbox.google.calendar import ENTITY, Calendar, etag, moment_of, show
from infra.local.sandbox.google.channels import Channels
from infra.local.sandbox.google.errors import ApiError, full_sync_required
from infra.local.sandbox.google.names import ACCOUNT, EVENTS_SCOPE, NAME, TIME_ZONE
from infra.local.sandbox.google.opaque import digest, seal, unseal
from infra.local.sandbox.google.tokens import Tokens
from infra.local.sandbox.google.web_api import Answer, Api, Call
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]
ORIGIN = "calendar-json.googleapis.com"
_NOT_WITH_SYNC = ("iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty", "timeMin", "timeMax",
                  "updatedMin")  # fmt: skip
_EVENTS = "/calendar/v3/calendars/{calendar}/events"


class CalendarApi:
    """Events of the primary calendar, and channels that watch them."""

    def __init__(self, calendar: Calendar, tokens: Tokens, channels: Channels) -> None:
        self._calendar = calendar
        self._tokens = tokens
        self._channels = channels
        self._store = calendar.store
        self.api = Api(tokens, "calendar", EVENTS_SCOPE)
        for method, path, handler in (
            ("GET", "/calendar/v3/calendars/{calendar}", self._calendar_itself),
            ("GET", _EVENTS, self._list),
            ("POST", _EVENTS, self._insert),
            ("POST", f"{_EVENTS}/watch", self._watch),
            ("GET", f"{_EVENTS}/{{event}}", self._get),
            ("PATCH", f"{_EVENTS}/{{event}}", self._patch),
            ("PUT", f"{_EVENTS}/{{event}}", self._put),
            ("DELETE", f"{_EVENTS}/{{event}}", self._delete),
            ("POST", "/calendar/v3/channels/stop", self._stop),
        ):
            self.api.add(method, path, handler)

    def _calendar_itself(self, call: Call) -> Answer:
        _check_calendar(call)
        return Answer(
            {
                "kind": "calendar#calendar",
                "etag": '"castiel-calendar"',
                "id": ACCOUNT,
                "summary": ACCOUNT,
                "timeZone": TIME_ZONE,
                "conferenceProperties": {"allowedConferenceSolutionTypes": ["hangoutsMeet"]},
            }
        )

    # Listing ---------------------------------------------------------------------------------------------

    def _list(self, call: Call) -> Answer:
        _check_calendar(call)
        size = min(2500, call.number("maxResults", 250, 1, 1_000_000))
        shape = digest(
            {name: values for name, values in call.query.items() if name not in ("pageToken", "syncToken")}
        )
        page = self._page(call, shape)
        if not call.one("pageToken") and call.one("syncToken"):
            page = self._since(call)
        records = [r for r in self._find(page, call) if self._wanted(r, call)]
        shown = [show(r, details=call.flag("showDeleted") or not r.deleted) for r in records[:size]]
        body: JsonObject = {
            "kind": "calendar#events",
            "etag": f'"p{page["upTo"]}"',
            "summary": ACCOUNT,
            "description": "",
            "updated": iso_z(self._store.clock.now_ms()),
            "timeZone": TIME_ZONE,
            "accessRole": "owner",
            "defaultReminders": [{"method": "popup", "minutes": 10}],
            "items": shown,
        }
        if len(records) > size:
            body["nextPageToken"] = seal({**page, "page": shape, "after": records[size - 1].id})
        elif not any(call.one(name) for name in _NOT_WITH_SYNC):
            body["nextSyncToken"] = seal(
                {"sync": 1, "rev": page["upTo"], "madeMs": page["madeMs"], "epoch": self._epoch()}
            )
        return Answer(body)

    def _page(self, call: Call, shape: str) -> JsonObject:
        token = call.one("pageToken")
        if not token:
            now = self._store.clock.now_ms()
            return {"after": "", "since": None, "upTo": self._last_rev(), "madeMs": now}
        page = unseal(token)
        if page is None or page.get("page") != shape:
            raise ApiError(
                400, "Invalid page token value.", reason="invalid", location=("parameter", "pageToken")
            )
        return page

    def _since(self, call: Call) -> JsonObject:
        if any(call.one(name) for name in _NOT_WITH_SYNC) or call.one("showDeleted") == "false":
            text = "Sync token cannot be used with other query restrictions."
            raise ApiError(
                400, text, reason="syncTokenWithNonDefaultOrdering", location=("parameter", "syncToken")
            )
        token = unseal(call.one("syncToken"))
        now = self._store.clock.now_ms()
        if token is None or "sync" not in token:
            raise ApiError(
                400, "Invalid sync token value.", reason="invalid", location=("parameter", "syncToken")
            )
        lifetime_ms = int(self._tokens.policy()["syncTokenSeconds"]) * 1000
        if token["epoch"] != self._epoch() or now - int(token["madeMs"]) > lifetime_ms:
            raise full_sync_required()
        return {"after": "", "since": token["rev"], "upTo": self._last_rev(), "madeMs": now}

    def _find(self, page: JsonObject, call: Call) -> list[Record]:
        where, values = "id>?", [page["after"]]
        if page["since"] is not None:
            where += " AND json_extract(data, '$.rev')>? AND json_extract(data, '$.rev')<=?"
            values += [page["since"], page["upTo"]]
        elif not call.flag("showDeleted") and not call.one("updatedMin"):
            where += " AND deleted=0"
        return self._store.find(NAME, ENTITY, where, values, "ORDER BY id")

    def _wanted(self, record: Record, call: Call) -> bool:
        if call.one("iCalUID") and record.data["iCalUID"] != call.one("iCalUID"):
            return False
        words = call.one("q").lower()
        texts = (record.data.get("summary"), record.data.get("description"), record.data.get("location"))
        if words and not any(words in str(text).lower() for text in texts if text):
            return False
        if call.one("updatedMin") and record.modified_ms < parse_ms(call.one("updatedMin")):
            return False
        private = (record.data.get("extendedProperties") or {}).get("private") or {}
        for pair in call.query.get("privateExtendedProperty", []):
            name, _, value = pair.partition("=")
            if private.get(name) != value:
                return False
        start, end = moment_of(record.data.get("start")), moment_of(record.data.get("end"))
        low, high = call.one("timeMin"), call.one("timeMax")
        if low and end and end <= datetime.fromisoformat(low):
            return False
        return not (high and start and start >= datetime.fromisoformat(high))

    def _last_rev(self) -> int:
        sql = "SELECT MAX(json_extract(data, '$.rev')) FROM records WHERE provider=? AND entity=?"
        return int(self._store.select(sql, (NAME, ENTITY))[0][0] or 0)

    def _epoch(self) -> int:
        return int(self._tokens.policy()["syncTokenEpoch"])

    # One event -------------------------------------------------------------------------------------------

    def _get(self, call: Call) -> Answer:
        _check_calendar(call)
        record = self._calendar.get(call.names["event"])
        if call.headers.get("If-None-Match") == etag(record):
            return Answer(None, 304)
        return _shown(record)

    def _insert(self, call: Call) -> Answer:
        _check_calendar(call)
        return _shown(self._calendar.insert(call.json(), ORIGIN))

    def _patch(self, call: Call) -> Answer:
        self._check_match(call)
        return _shown(self._calendar.update(call.names["event"], call.json(), ORIGIN))

    def _put(self, call: Call) -> Answer:
        self._check_match(call)
        return _shown(self._calendar.update(call.names["event"], call.json(), ORIGIN, whole=True))

    def _delete(self, call: Call) -> Answer:
        self._check_match(call)
        self._calendar.delete(call.names["event"], ORIGIN)
        return Answer(None, 204)

    def _check_match(self, call: Call) -> None:
        _check_calendar(call)
        wanted = call.headers.get("If-Match", "*")
        if wanted not in ("*", etag(self._calendar.get(call.names["event"]))):
            raise ApiError(
                412, "Precondition Failed", reason="conditionNotMet", location=("header", "If-Match")
            )

    # Channels --------------------------------------------------------------------------------------------

    def _watch(self, call: Call) -> Answer:
        _check_calendar(call)
        return Answer(self._channels.watch(call.json()))

    def _stop(self, call: Call) -> Answer:
        body = call.json()
        self._channels.stop(str(body.get("id")), str(body.get("resourceId")))
        return Answer(None, 204)


def _check_calendar(call: Call) -> None:
    if call.names["calendar"] not in ("primary", ACCOUNT):
        raise ApiError(404, "Not Found", reason="notFound")


def _shown(record: Record) -> Answer:
    return Answer(show(record), headers={"ETag": etag(record)})
