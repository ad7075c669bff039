"""The account's contacts: storing, changing and showing them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from infra.local.sandbox.faults import Faults
from infra.local.sandbox.google.errors import ApiError, stale_etag
from infra.local.sandbox.google.names import NAME
from infra.local.sandbox.google.person_schema import cleaned, rendered
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
ENTITY = "Contact"
_FIRST_ID = 2**60


class People:
    """Contacts by id (``c`` and a number). Every method raises ApiError as Google would answer."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self._faults = faults
        store.index("rev")

    def get(self, resource_name: str) -> Record:
        """A contact that is not deleted."""
        record = self.store.get(NAME, ENTITY, resource_name.removeprefix("people/"))
        if record is None or record.deleted:
            raise ApiError(404, "Requested entity was not found.", reason="notFound")
        return record

    def check_new(self, person: Mapping[str, Any], *, faulty: bool = True) -> JsonObject:
        """What would be stored of a new contact."""
        if faulty:
            self._play_fault("create", None)
        return cleaned(person)

    def insert(self, fields: JsonObject, origin: str) -> Record:
        """Store a checked new contact."""
        number = self.store.next_number(f"{NAME}:{ENTITY}")
        now = self.store.clock.now_ms()
        record = Record(new_id(number), {**fields, "rev": self.next_rev()}, now, now)
        with self.store.transaction():
            self.store.put(NAME, ENTITY, record)
            self.store.log_change(NAME, ENTITY, record.id, "create", fields, origin)
        return record

    def check_change(
        self, resource_name: str, person: Mapping[str, Any], mask: Sequence[str], *, faulty: bool = True
    ) -> tuple[Record, JsonObject]:
        """The contact and what it would have after an update. The person must carry the contact's etag."""
        record = self.get(resource_name)
        if faulty:
            self._play_fault("update", record.id)
        given = [
            source.get("etag")
            for source in (person.get("metadata") or {}).get("sources", [])
            if source.get("type") == "CONTACT"
        ]
        if not given and not person.get("etag"):
            text = "Request must set person.etag or person.metadata.sources.etag for the source that is being updated."
            raise ApiError(400, text)
        if source_etag(record) not in given and person.get("etag") != etag(record):
            raise stale_etag()
        fields = cleaned(person)
        data = {name: value for name, value in record.data.items() if name not in mask}
        return record, data | {name: fields[name] for name in mask if fields.get(name)}

    def replace(self, record: Record, data: JsonObject, origin: str) -> Record:
        """Store a checked change."""
        before = {name: value for name, value in record.data.items() if name != "rev"}
        after = {name: value for name, value in data.items() if name != "rev"}
        changed = {name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}
        now = self.store.clock.now_ms()
        stored = replace(record, data={**after, "rev": self.next_rev()}, modified_ms=now)
        with self.store.transaction():
            self.store.put(NAME, ENTITY, stored)
            self.store.log_change(NAME, ENTITY, record.id, "update", changed, origin)
        return stored

    def delete(self, record: Record, origin: str) -> None:
        """Leave a tombstone for incremental syncs."""
        data = {**record.data, "rev": self.next_rev()}
        gone = replace(record, data=data, deleted=True, modified_ms=self.store.clock.now_ms())
        with self.store.transaction():
            self.store.put(NAME, ENTITY, gone)
            self.store.log_change(NAME, ENTITY, record.id, "delete", {}, origin)

    def check_delete(self, resource_name: str) -> Record:
        """The contact that would be deleted."""
        record = self.get(resource_name)
        self._play_fault("delete", record.id)
        return record

    def next_rev(self) -> int:
        return self.store.next_number(f"{NAME}:rev")

    def _play_fault(self, operation: str, record_id: str | None) -> None:
        rule = self._faults.for_record(operation, ENTITY, record_id)
        if rule is not None:
            code = rule.code or "INVALID_ARGUMENT"
            raise ApiError(rule.status or 400, rule.message or code, status=code, reason=code)


def new_id(number: int) -> str:
    """The id of the n-th contact."""
    return f"c{_FIRST_ID + number * 104_729}"


def source_etag(record: Record) -> str:
    """The etag of the contact itself."""
    return "#" + base64.b64encode(f"{record.data['rev']:x}".encode()).decode()


def etag(record: Record) -> str:
    """The etag of the person it is part of."""
    return "%" + base64.b64encode(f"\x12{record.data['rev']:x}".encode()).decode()


def show(record: Record, mask: Sequence[str]) -> JsonObject:
    """A contact as it is answered, with the fields of the mask; of a deleted one only who it was."""
    person: JsonObject = {"resourceName": f"people/{record.id}", "etag": etag(record)}
    source_id = f"{int(record.id[1:]):x}"
    if "metadata" in mask or record.deleted:
        source = {
            "type": "CONTACT",
            "id": source_id,
            "etag": source_etag(record),
            "updateTime": _time(record),
        }
        person["metadata"] = {"sources": [source], "objectType": "PERSON"}
    if record.deleted:
        person["metadata"]["deleted"] = True
        return person
    for field in mask:
        entries = record.data.get(field)
        if entries and field != "metadata":
            person[field] = rendered(field, entries, {"type": "CONTACT", "id": source_id})
    return person


def _time(record: Record) -> str:
    moment = datetime.fromtimestamp(record.modified_ms / 1000, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
