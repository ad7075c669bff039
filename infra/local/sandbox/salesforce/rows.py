"""Creating, changing and deleting records as the org does it, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from infra.local.sandbox.faults import Faults
from infra.local.sandbox.salesforce.errors import ApiError, entity_is_deleted, not_found, ordered
from infra.local.sandbox.salesforce.ids import USER_ID, full_id, make_id
from infra.local.sandbox.salesforce.schema import EXTERNAL_ID, OBJECTS, Field, SObject
from infra.local.sandbox.salesforce.validation import cleaned
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
NAME = "salesforce"

_CHILDREN = {"Account": (("Contact", "AccountId"), ("Opportunity", "AccountId"))}


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: `origin` is what a change event's changeOrigin would say; only callers meet ordered faults."""

    user_id: str = USER_ID
    origin: str = "com/salesforce/api/soap/62.0;client=SfdcInternalAPI/"
    meets_faults: bool = False


class SeveralMatchesError(Exception):
    """More than one record carries the external id."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(f"{len(ids)} records")
        self.ids = ids


class Rows:
    """The org's records. Every method raises ApiError as Salesforce would answer."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        self.unique_external_ids = True
        store.index(EXTERNAL_ID, ignoring_case=True)
        store.index("AccountId")

    def read(self, sobject: SObject, record_id: str) -> Record:
        """A record that is not deleted."""
        record = self.store.get(NAME, sobject.name, self._checked_id(sobject, record_id))
        if record is None or record.deleted:
            raise not_found()
        return record

    def create(self, sobject: SObject, given: JsonObject, writer: Writer) -> str:
        values = cleaned(sobject, given, creating=True)
        self._play_fault("create", sobject, None, writer)
        for field in sobject.fields.values():
            if field.default is not None and values.get(field.name) is None:
                values[field.name] = writer.user_id if field.default == "<caller>" else field.default
        self._check_links(sobject, values, None)
        now = self._now()
        record_id = self.new_id(sobject)
        values |= {"CreatedById": writer.user_id, "LastModifiedById": writer.user_id}
        with self.store.transaction():
            self.store.put(NAME, sobject.name, Record(record_id, derived(sobject, values), now, now))
            self.store.log_change(NAME, sobject.name, record_id, "create", values, writer.origin)
        return record_id

    def update(self, sobject: SObject, record_id: str, given: JsonObject, writer: Writer) -> None:
        record = self._writable(sobject, record_id)
        values = cleaned(sobject, given, creating=False)
        self._play_fault("update", sobject, record.id, writer)
        self._check_links(sobject, values, record.id)
        changed = {name: value for name, value in values.items() if record.data.get(name) != value}
        data = derived(sobject, record.data | values | {"LastModifiedById": writer.user_id})
        with self.store.transaction():
            self.store.put(NAME, sobject.name, replace(record, data=data, modified_ms=self._now()))
            self.store.log_change(NAME, sobject.name, record.id, "update", changed, writer.origin)

    def delete(self, sobject: SObject, record_id: str, writer: Writer) -> None:
        """Into the recycle bin, with the children that go with their parent."""
        record = self._writable(sobject, record_id)
        self._play_fault("delete", sobject, record.id, writer)
        with self.store.transaction():
            self.store.put(NAME, sobject.name, replace(record, deleted=True, modified_ms=self._now()))
            self.store.log_change(NAME, sobject.name, record.id, "delete", {}, writer.origin)
            for child, field in _CHILDREN.get(sobject.name, ()):
                where = f"deleted=0 AND json_extract(data, '$.{field}')=?"
                for kept in self.store.find(NAME, child, where, (record.id,)):
                    self.delete(OBJECTS[child], kept.id, writer)

    def upsert(
        self, sobject: SObject, field: Field, value: str, given: JsonObject, writer: Writer
    ) -> tuple[str, bool]:
        """The record's id and whether it was created. Raises SeveralMatchesError too."""
        matches = self.with_external_id(sobject, field, value)
        if len(matches) > 1:
            raise SeveralMatchesError([record.id for record in matches])
        if matches:
            self.update(sobject, matches[0].id, given, writer)
            return matches[0].id, False
        return self.create(sobject, given | {field.name: value}, writer), True

    def with_external_id(self, sobject: SObject, field: Field, value: str) -> list[Record]:
        """Live records that carry this external id, in any case."""
        where = f"deleted=0 AND json_extract(data, '$.{field.name}') COLLATE NOCASE = ?"
        return self.store.find(NAME, sobject.name, where, (value,), "ORDER BY id")

    def new_id(self, sobject: SObject, count: int = 1) -> str:
        """The first of `count` new ids."""
        return make_id(sobject.prefix, self.store.next_number(f"{NAME}:{sobject.name}", count))

    def _now(self) -> int:
        return self.store.clock.now_ms() // 1000 * 1000

    def _checked_id(self, sobject: SObject, record_id: str) -> str:
        found = full_id(record_id)
        if found is None or not found.startswith(sobject.prefix):
            text = f"Provided external ID field does not exist or is not accessible: {record_id}"
            raise ApiError(404, "NOT_FOUND", text)
        return found

    def _writable(self, sobject: SObject, record_id: str) -> Record:
        record = self.store.get(NAME, sobject.name, self._checked_id(sobject, record_id))
        if record is None:
            raise not_found()
        if record.deleted:
            raise entity_is_deleted()
        return record

    def _check_links(self, sobject: SObject, values: JsonObject, record_id: str | None) -> None:
        for name, value in values.items():
            field = sobject.fields[name]
            if value is not None and field.refers_to is not None:
                target = self.store.get(NAME, field.refers_to, value)
                if value != USER_ID and (target is None or target.deleted):
                    raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
            if value is not None and field.external_id and self.unique_external_ids:
                others = [r.id for r in self.with_external_id(sobject, field, value) if r.id != record_id]
                if others:
                    text = f"duplicate value found: {name} duplicates value on record with id: {others[0]}"
                    raise ApiError(400, "DUPLICATE_VALUE", text, [])

    def _play_fault(self, operation: str, sobject: SObject, record_id: str | None, writer: Writer) -> None:
        if not writer.meets_faults:
            return
        rule = self.faults.for_record(operation, sobject.name, record_id)
        error = ordered(rule.status, rule.code, rule.message) if rule else None
        if error is not None:
            raise error


def derived(sobject: SObject, data: JsonObject) -> JsonObject:
    """The data with the fields Salesforce works out itself."""
    if "LastName" in sobject.fields:
        parts = (data.get("FirstName"), data.get("LastName"))
        data = data | {"Name": " ".join(part for part in parts if part)}
    if sobject.name == "Opportunity":
        won = data.get("StageName") == "Closed Won"
        data = data | {"IsWon": won, "IsClosed": won or data.get("StageName") == "Closed Lost"}
    return data
