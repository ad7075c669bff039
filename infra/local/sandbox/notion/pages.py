"""Creating, changing and trashing pages as the workspace does it, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from infra.local.sandbox.faults import Faults
from infra.local.sandbox.notion.errors import ApiError, not_found, ordered
from infra.local.sandbox.notion.ids import BOT_ID, NAME, PERSON_ID, made_id
from infra.local.sandbox.notion.schema import SOURCES, Source
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]

PAGE = "Page"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes; only callers of the API meet ordered faults."""

    user_id: str = PERSON_ID
    meets_faults: bool = False

    @property
    def origin(self) -> str:
        return "bot" if self.user_id == BOT_ID else "person"


BOT = Writer(BOT_ID, meets_faults=True)


class Pages:
    """The workspace's pages. Every method raises ApiError as Notion would answer."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        store.index("source")

    def read(self, page_id: str) -> Record:
        """A page, in the trash or not."""
        record = self.store.get(NAME, PAGE, page_id)
        if record is None:
            raise not_found("page", page_id)
        return record

    def source_of(self, record: Record) -> Source:
        return SOURCES[record.data["source"]]

    def create(self, source: Source, values: JsonObject, writer: Writer) -> Record:
        self._check_links(values)
        self._play_fault("create", None, writer)
        now = self.store.clock.now_ms()
        number = self.store.next_number(f"{NAME}:{PAGE}")
        data = {
            "source": source.id,
            "values": values,
            "number": number,
            "createdBy": writer.user_id,
            "editedBy": writer.user_id,
        }
        record = Record(made_id("page", number), data, now, now)
        with self.store.transaction():
            self.store.put(NAME, PAGE, record)
            self._note_options(source, values)
            self.store.log_change(NAME, PAGE, record.id, "create", values, writer.origin)
        return record

    def update(self, page_id: str, values: JsonObject, writer: Writer, trashed: bool | None = None) -> Record:
        """Change values, put in the trash (``trashed``) or take out again."""
        record = self.read(page_id)
        if record.deleted and trashed is not False:
            text = "Can't edit block that is archived. You must unarchive the block before editing."
            raise ApiError("validation_error", text)
        self._check_links(values)
        self._play_fault("delete" if trashed else "update", record.id, writer)
        data = record.data | {"values": record.data["values"] | values, "editedBy": writer.user_id}
        changed = replace(
            record,
            data=data,
            modified_ms=self.store.clock.now_ms(),
            deleted=record.deleted if trashed is None else trashed,
        )
        operation = "update" if trashed is None else "delete" if trashed else "undelete"
        new = {name: value for name, value in values.items() if record.data["values"].get(name) != value}
        with self.store.transaction():
            self.store.put(NAME, PAGE, changed)
            self._note_options(self.source_of(record), values)
            self.store.log_change(NAME, PAGE, record.id, operation, new, writer.origin)
        return changed

    def options(self) -> dict[str, list[str]]:
        """Options that writes have added, by `<data source>:<property>`."""
        return self.store.documents(NAME, "options")

    def _note_options(self, source: Source, values: Mapping[str, Any]) -> None:
        for prop in source.properties:
            if prop.type not in ("select", "multi_select") or not values.get(prop.name):
                continue
            content = values[prop.name]
            used = [content] if isinstance(content, dict) else content
            known = {one["name"] for one in prop.config["options"]}
            key = f"{source.id}:{prop.name}"
            added = self.store.document(NAME, "options", key) or []
            new = [one["name"] for one in used if one["name"] not in known and one["name"] not in added]
            if new:
                self.store.put_document(NAME, "options", key, added + new)

    def _check_links(self, values: Mapping[str, Any]) -> None:
        for content in values.values():
            for one in content if isinstance(content, list) else ():
                if set(one) == {"id"}:
                    self.read(one["id"])

    def _play_fault(self, operation: str, page_id: str | None, writer: Writer) -> None:
        rule = self.faults.for_record(operation, PAGE, page_id) if writer.meets_faults else None
        if rule is not None:
            raise ordered(rule.status, rule.code, rule.message)
