"""The account's primary calendar: storing, changing and showing its events.

Source: https://developers.google.com/workspace/calendar/api/v3/reference/events
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from infra.local.sandbox.clock import iso_z
from infra.local.sandbox.faults import Faults
from infra.local.sandbox.google.errors import ApiError
from infra.local.sandbox.google.names import ACCOUNT, NAME
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
ENTITY = "Event"
WRITABLE = frozenset(
    [
        "anyoneCanAddSelf",
        "attachments",
        "attendees",
        "attendeesOmitted",
        "colorId",
        "conferenceData",
        "description",
        "end",
        "eventLabelId",
        "eventType",
        "extendedProperties",
        "focusTimeProperties",
        "gadget",
        "guestsCanInviteOthers",
        "guestsCanModify",
        "guestsCanSeeOtherGuests",
        "location",
        "originalStartTime",
        "outOfOfficeProperties",
        "recurrence",
        "reminders",
        "sequence",
        "source",
        "start",
        "status",
        "summary",
        "transparency",
        "visibility",
        "workingLocationProperties",
    ]
)
_ID = re.compile(r"[a-v0-9]{5,1024}")
_STATUSES = ("confirmed", "tentative", "cancelled")


class Calendar:
    """Events by id. Every method raises ApiError as Google would answer."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self._faults = faults

    def get(self, event_id: str) -> Record:
        """An event, a cancelled one too."""
        record = self.store.get(NAME, ENTITY, event_id)
        if record is None:
            raise ApiError(404, "Not Found", reason="notFound")
        return record

    def insert(self, given: Mapping[str, Any], origin: str, *, faulty: bool = True) -> Record:
        """A new event, under the id the client chose or one of our own."""
        if faulty:
            self._play_fault("create", None)
        fields = _cleaned(given)
        event_id = given.get("id") or f"event{self.store.next_number(f'{NAME}:{ENTITY}'):012d}"
        if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
            raise _invalid("Invalid resource id value.", "id")
        if self.store.get(NAME, ENTITY, event_id) is not None:
            raise ApiError(409, "The requested identifier already exists.", reason="duplicate")
        _check_times(fields)
        now = self.store.clock.now_ms()
        fields |= {"status": fields.get("status") or "confirmed", "iCalUID": f"{event_id}@google.com"}
        return self._put(Record(event_id, fields, now, now), "create", fields, origin)

    def update(
        self,
        event_id: str,
        given: Mapping[str, Any],
        origin: str,
        *,
        whole: bool = False,
        faulty: bool = True,
    ) -> Record:
        """Change an event; ``whole``: what is not given is emptied. A cancelled one can be confirmed again."""
        record = self.get(event_id)
        if faulty:
            self._play_fault("update", event_id)
        fields = _cleaned(given)
        kept = {n: v for n, v in record.data.items() if not whole or n not in WRITABLE}
        data = _patched(kept, fields)
        data.setdefault("status", "confirmed")
        _check_times(data)
        changed = {n: v for n, v in fields.items() if record.data.get(n) != v}
        deleted = data["status"] == "cancelled"
        return self._put(replace(record, data=data, deleted=deleted), "update", changed, origin)

    def delete(self, event_id: str, origin: str, *, faulty: bool = True) -> None:
        """Cancel an event; its content stays, so that it can be restored."""
        record = self.get(event_id)
        if record.deleted:
            raise ApiError(410, "Resource has been deleted", reason="deleted")
        if faulty:
            self._play_fault("delete", event_id)
        data = {**record.data, "status": "cancelled"}
        self._put(replace(record, data=data, deleted=True), "delete", {}, origin)

    def _put(self, record: Record, operation: str, fields: JsonObject, origin: str) -> Record:
        data = {**record.data, "rev": self.store.next_number(f"{NAME}:rev")}
        stored = replace(record, data=data, modified_ms=self.store.clock.now_ms())
        with self.store.transaction():
            self.store.put(NAME, ENTITY, stored)
            self.store.log_change(NAME, ENTITY, record.id, operation, fields, origin)
        return stored

    def _play_fault(self, operation: str, event_id: str | None) -> None:
        rule = self._faults.for_record(operation, ENTITY, event_id)
        if rule is not None:
            code = rule.code or "invalid"
            raise ApiError(rule.status or 400, rule.message or code, reason=code)


def etag(record: Record) -> str:
    """An event's etag, quotes included."""
    return f'"{record.modified_ms * 1000 + record.data["rev"] % 1000}"'


def show(record: Record, *, details: bool = True) -> JsonObject:
    """An event as it is answered; of a cancelled one without its details only who it was."""
    event: JsonObject = {"kind": "calendar#event", "etag": etag(record), "id": record.id}
    if record.deleted and not details:
        return event | {"status": "cancelled"}
    who = {"email": ACCOUNT, "self": True}
    return {
        **event,
        "status": record.data["status"],
        "htmlLink": f"https://www.google.com/calendar/event?eid={record.id}",
        "created": iso_z(record.created_ms)[:-5] + ".000Z",
        "updated": iso_z(record.modified_ms),
        "creator": who,
        "organizer": who,
        "iCalUID": record.data["iCalUID"],
        "sequence": 0,
        "reminders": {"useDefault": True},
        "eventType": "default",
        **{n: v for n, v in record.data.items() if n not in ("rev", "status", "iCalUID")},
    }


def moment_of(time: Any) -> datetime | None:
    """When a start or end is; a whole day begins at midnight UTC."""
    if not isinstance(time, dict):
        return None
    try:
        moment = datetime.fromisoformat(str(time.get("dateTime") or time.get("date")))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _patched(kept: Mapping[str, Any], changes: Mapping[str, Any]) -> JsonObject:
    """Patch semantics: objects are merged, null removes, lists are replaced."""
    data = dict(kept)
    for name, value in changes.items():
        old = data.get(name)
        data[name] = _patched(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return {name: value for name, value in data.items() if value is not None}


def _cleaned(given: Mapping[str, Any]) -> JsonObject:
    """What may be written; the rest of an event is Google's own and ignored, as the real one does."""
    fields = {name: value for name, value in given.items() if name in WRITABLE}
    if fields.get("status") is not None and fields["status"] not in _STATUSES:
        raise _invalid("Invalid value for: status", "status")
    attendees = fields.get("attendees")
    if attendees is not None:
        if not isinstance(attendees, list) or not all(
            isinstance(a, dict) and a.get("email") for a in attendees
        ):
            raise ApiError(400, "Missing attendee email.", reason="required")
        fields["attendees"] = [{"responseStatus": "needsAction"} | attendee for attendee in attendees]
    return fields


def _check_times(event: Mapping[str, Any]) -> None:
    for name in ("start", "end"):
        time = event.get(name)
        if not time:
            raise ApiError(400, f"Missing {name} time.", reason="required")
        if moment_of(time) is None or (
            "dateTime" in time and "date" in time and time["date"] and time["dateTime"]
        ):
            raise _invalid(f"Invalid {name} time.", f"{name}")
        text = time.get("dateTime")
        if text and datetime.fromisoformat(text).tzinfo is None and not time.get("timeZone"):
            raise ApiError(400, f"Missing time zone definition for {name} time.", reason="required")
    start, end = event["start"], event["end"]
    if bool(start.get("date")) != bool(end.get("date")):
        raise _invalid("Invalid start time.", "start")
    first, last = moment_of(start), moment_of(end)
    if first is not None and last is not None and last < first:
        raise ApiError(
            400,
            "The specified time range is empty.",
            reason="timeRangeEmpty",
            location=("parameter", "timeMax"),
        )


def _invalid(message: str, field: str) -> ApiError:
    return ApiError(400, message, reason="invalid", location=("other", field))
