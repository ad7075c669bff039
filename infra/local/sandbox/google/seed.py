"""Sample contacts and appointments of the account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.local.sandbox.google import calendar, people
from infra.local.sandbox.google.names import NAME, TIME_ZONE
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.sampledata import SampleData, spread_times
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
_TOPICS = (
    "Weekly review",
    "Site visit",
    "Quarterly planning",
    "Demo",
    "Contract talk",
    "Stand-up",
    "Interview",
)


def seed_records(store: Store, counts: Mapping[str, int], seed: int) -> dict[str, int]:
    """Add that many records of each entity. Raises ControlError for one that is not there."""
    unknown = set(counts) - {people.ENTITY, calendar.ENTITY}
    if unknown:
        raise ControlError(f"no entity {', '.join(sorted(unknown))}")
    data = SampleData(seed)
    with store.transaction():
        for entity in (people.ENTITY, calendar.ENTITY):
            if counts.get(entity):
                _seed(store, entity, counts[entity], data)
    return dict(counts)


def _seed(store: Store, entity: str, count: int, data: SampleData) -> None:
    first = store.next_number(f"{NAME}:{entity}", count)
    rev = store.next_number(f"{NAME}:rev", count)
    try:
        times = spread_times(data.dice, count, store.clock.now_ms())
    except ValueError as error:
        raise ControlError(str(error)) from None
    records = []
    for index, modified_ms in enumerate(times):
        number = first + index
        made, record_id = (
            (_contact(data), people.new_id(number))
            if entity == people.ENTITY
            else (_event(data, store.clock.now_ms(), number), _event_id(number))
        )
        created_ms = modified_ms - data.dice.randrange(0, 400) * 86_400_000
        records.append(Record(record_id, made | {"rev": rev + index}, created_ms, modified_ms))
    store.put_many(NAME, entity, records)


def _contact(data: SampleData) -> JsonObject:
    person, company = data.person(), data.company()
    fields: JsonObject = {
        "names": [{"givenName": person.first_name, "familyName": person.last_name}],
        "emailAddresses": [{"value": person.email, "type": "work"}],
        "phoneNumbers": [{"value": person.phone, "type": "work"}],
        "organizations": [{"name": company.name, "title": person.title, "type": "work"}],
    }
    if data.dice.random() < 0.4:
        fields["emailAddresses"].append({"value": f"home.{person.email}", "type": "home"})
    if data.dice.random() < 0.5:
        fields["phoneNumbers"].append({"value": data.person().phone, "type": "mobile"})
    if data.dice.random() < 0.6:
        address = {"streetAddress": company.street, "city": company.city, "postalCode": company.postal_code}
        fields["addresses"] = [address | {"country": company.country, "type": "work"}]
    if data.dice.random() < 0.3:
        day = {"year": data.dice.randrange(1950, 2004), "month": data.dice.randrange(1, 13)}
        fields["birthdays"] = [{"date": day | {"day": data.dice.randrange(1, 29)}}]
    return fields


def _event(data: SampleData, now_ms: int, number: int) -> JsonObject:
    day = datetime.fromtimestamp(now_ms // 1000, UTC).replace(hour=8, minute=0, second=0)
    start = day + timedelta(days=data.dice.randrange(-60, 60), minutes=15 * data.dice.randrange(0, 36))
    event: JsonObject = {"summary": data.dice.choice(_TOPICS), "status": "confirmed"}
    if data.dice.random() < 0.15:
        event |= {
            "start": {"date": f"{start:%Y-%m-%d}"},
            "end": {"date": f"{start + timedelta(days=1):%Y-%m-%d}"},
        }
    else:
        end = start + timedelta(minutes=data.dice.choice((30, 45, 60, 90)))
        event["start"] = {"dateTime": f"{start:%Y-%m-%dT%H:%M:%SZ}", "timeZone": TIME_ZONE}
        event["end"] = {"dateTime": f"{end:%Y-%m-%dT%H:%M:%SZ}", "timeZone": TIME_ZONE}
    if data.dice.random() < 0.1:
        event["recurrence"] = ["RRULE:FREQ=WEEKLY;COUNT=8"]
    if data.dice.random() < 0.5:
        guests = [data.person() for _ in range(data.dice.randrange(1, 4))]
        event["attendees"] = [
            {
                "email": g.email,
                "displayName": f"{g.first_name} {g.last_name}",
                "responseStatus": "needsAction",
            }
            for g in guests
        ]
    return event | {"iCalUID": f"{_event_id(number)}@google.com"}


def _event_id(number: int) -> str:
    return f"event{number:012d}"
