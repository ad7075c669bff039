"""Writing contacts: creates with a marker, updates with the etag they are based on, deletes.

Google wants the writes of one account one after another, and so they are sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from castiel.adapters.base import PushOutcome, PushRecord
from castiel.adapters.google.addresses import people_url
from castiel.adapters.google.contact_batches import (
    DELETE_BATCH,
    REFUSALS,
    WRITE_BATCH,
    check_batch,
    in_batches,
)
from castiel.adapters.google.contacts import ContactReader, members, outcome_of, resource_name, version_of
from castiel.adapters.google.dialect import objects
from castiel.adapters.google.people_fields import PERSON_FIELDS, has_cards, marked, marker_of, person_of
from castiel.adapters.http import ApiClient
from castiel.domain.connections import Connection
from castiel.domain.messages import Operation
from castiel.errors import (
    CastielError,
    MalformedResponse,
    OutcomeUnknown,
    PreconditionRejected,
    RecordNotFound,
)

Json = dict[str, Any]
_READ = {"readMask": PERSON_FIELDS, "sources": ["READ_SOURCE_TYPE_CONTACT"]}


@dataclass(frozen=True, slots=True)
class _Change:
    """One update: the lists it replaces, and the etag of what it was worked out from."""

    record: PushRecord
    lists: Json
    etag: str
    turn: int
    """How many changes of the same contact come before it: a batch holds each contact once."""

    @property
    def name(self) -> str:
        return self.record.external_id or ""

    @property
    def person(self) -> Json:
        source = {"type": "CONTACT", "etag": self.etag}
        return {"resourceName": self.name, "metadata": {"sources": [source]}, **self.lists}


class ContactWriter:
    """Writes contacts."""

    def __init__(self, connection: Connection, api: ApiClient, reader: ContactReader) -> None:
        self._connection = connection
        self._api = api
        self._reader = reader

    async def push(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Create and update; one outcome per record, in their order."""
        creates = [record for record in records if _is_create(record)]
        updates = [record for record in records if not _is_create(record)]
        outcomes = await self._create(creates) + await self._update(updates)
        by_key = {outcome.key: outcome for outcome in outcomes}
        return [by_key[record.key] for record in records]

    # Create ----------------------------------------------------------------------------------------------

    async def _create(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        try:
            found = await self._reader.find_marked(r.key for r in records if r.retrying)
        except CastielError as error:
            return [PushOutcome(record.key, error=error) for record in records]
        # An earlier try arrived after all; what it wrote may be out of date by now.
        done = await self._update(
            [
                replace(r, external_id=resource_name(found[r.key]), version=None)
                for r in records
                if r.key in found
            ]
        )
        people: list[tuple[PushRecord, Json]] = []
        for record in records:
            if record.key in found:
                continue
            try:
                people.append((record, marked(person_of(_given(record)), record.key)))
            except CastielError as error:
                done.append(PushOutcome(record.key, error=error))
        return done + await in_batches(
            people,
            WRITE_BATCH,
            self._send_creates,
            lambda index, _: str(index),
            lambda item, error: PushOutcome(item[0].key, error=error),
        )

    async def _send_creates(self, batch: Sequence[tuple[PushRecord, Json]]) -> list[PushOutcome]:
        body = {"contacts": [{"contactPerson": person} for _, person in batch], **_READ}
        reply = await self._api.call(
            "POST",
            people_url(self._connection, "people:batchCreateContacts"),
            operation="create",
            json_body=body,
            allow=REFUSALS,
        )
        check_batch(reply)
        try:
            created = [r.get("person") for r in objects(members(reply).get("createdPeople"))]
            by_marker = {marker_of(person): person for person in objects(created)}
            return [outcome_of(record, by_marker[record.key]) for record, _ in batch]
        except (KeyError, MalformedResponse):
            # They are made, but which is which can't be read: the markers tell, next time.
            raise OutcomeUnknown("the answer does not name what was created", status=reply.status) from None

    # Update ----------------------------------------------------------------------------------------------

    async def _update(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        outcomes = await self._update_once(records)
        # Without a version the update may be based on whatever is there now: read again, once.
        again = [
            record
            for record, outcome in zip(records, outcomes, strict=True)
            if record.version is None and isinstance(outcome.error, PreconditionRejected)
        ]
        if not again:
            return outcomes
        repeated = {outcome.key: outcome for outcome in await self._update_once(again)}
        return [repeated.get(outcome.key, outcome) for outcome in outcomes]

    async def _update_once(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        based_on_current = [r for r in records if r.version is None or has_cards(r.fields)]
        try:
            current = await self._reader.people(r.external_id or "" for r in based_on_current)
        except CastielError as error:
            return [PushOutcome(record.key, record.external_id, error=error) for record in records]
        outcomes: list[PushOutcome] = []
        groups: dict[tuple[frozenset[str], int], list[_Change]] = {}
        turns: Counter[str] = Counter()
        for record in records:
            try:
                change = _change(record, current, turns[record.external_id or ""])
            except CastielError as error:
                outcomes.append(PushOutcome(record.key, record.external_id, error=error))
                continue
            turns[change.name] += 1
            groups.setdefault((frozenset(change.lists), change.turn), []).append(change)
        for (mask, _), changes in groups.items():
            outcomes += await self._send_group(sorted(mask), changes)
        by_key = {outcome.key: outcome for outcome in outcomes}
        return [by_key[record.key] for record in records]

    async def _send_group(self, mask: Sequence[str], changes: Sequence[_Change]) -> list[PushOutcome]:
        """Updates of the same lists: a batch has one mask for all its contacts, and empties what is not given."""

        async def send(batch: Sequence[_Change]) -> list[PushOutcome]:
            body = {"contacts": {c.name: c.person for c in batch}, "updateMask": ",".join(mask), **_READ}
            reply = await self._api.call(
                "POST",
                people_url(self._connection, "people:batchUpdateContacts"),
                operation="update",
                json_body=body,
                allow=REFUSALS,
            )
            check_batch(reply)
            return _updated(members(reply), batch)

        return await in_batches(
            changes,
            WRITE_BATCH,
            send,
            lambda _, change: change.name,
            lambda change, error: PushOutcome(change.record.key, change.name, error=error),
        )

    # Delete ----------------------------------------------------------------------------------------------

    async def delete(self, records: Sequence[PushRecord]) -> list[PushOutcome]:
        """Delete; what is gone already counts as done."""
        return await in_batches(
            list(records),
            DELETE_BATCH,
            self._send_deletes,
            lambda _, record: record.external_id or "",
            lambda record, error: PushOutcome(
                record.key, record.external_id, error=None if isinstance(error, RecordNotFound) else error
            ),
        )

    async def _send_deletes(self, batch: Sequence[PushRecord]) -> list[PushOutcome]:
        done = [PushOutcome(record.key, record.external_id) for record in batch]
        names = [name for name in dict.fromkeys(record.external_id for record in batch) if name]
        if not names:
            return done
        reply = await self._ask_deletes(names)
        if reply.status == 404 and len(names) > 1:
            # One that is gone spoils the batch: leave out those that are.
            people = await self._reader.people(names)
            names = [name for name in names if people.get(name) is not None]
            if not names:
                return done
            reply = await self._ask_deletes(names)
        check_batch(reply)
        return done

    async def _ask_deletes(self, names: Sequence[str]) -> Any:
        return await self._api.call(
            "POST",
            people_url(self._connection, "people:batchDeleteContacts"),
            operation="delete",
            json_body={"resourceNames": list(names)},
            allow=REFUSALS,
            safe=True,
        )


def _is_create(record: PushRecord) -> bool:
    return record.operation is Operation.CREATE or record.external_id is None


def _given(record: PushRecord) -> Json:
    return {name: value for name, value in record.fields.items() if value is not None}


def _change(record: PushRecord, current: Mapping[str, Mapping[str, Any] | None], turn: int) -> _Change:
    """Raises a :class:`CastielError` when the contact is gone, changed meanwhile, or has no such field."""
    name = record.external_id or ""
    if name not in current and record.version is not None:
        return _Change(record, person_of(record.fields), record.version, turn)
    person = current.get(name)
    if person is None:
        raise RecordNotFound("google has no such contact", status=404, provider_code="NOT_FOUND")
    etag = version_of(person) or ""
    if record.version is not None and record.version != etag:
        raise PreconditionRejected("the contact changed at google since it was read")
    return _Change(record, person_of(record.fields, person), etag, turn)


def _updated(body: Mapping[str, Any], batch: Sequence[_Change]) -> list[PushOutcome]:
    results = body.get("updateResult")
    outcomes = []
    for change in batch:
        response = results.get(change.name) if isinstance(results, dict) else None
        person = response.get("person") if isinstance(response, dict) else None
        if isinstance(person, dict):
            outcomes.append(outcome_of(change.record, person))
        else:
            outcomes.append(PushOutcome(change.record.key, change.name))
    return outcomes
