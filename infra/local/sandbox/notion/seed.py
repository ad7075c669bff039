"""Sample pages: people in the data source of contacts, a few tasks beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.local.sandbox.notion.ids import COLLEAGUE_ID, NAME, PERSON_ID, made_id
from infra.local.sandbox.notion.pages import PAGE
from infra.local.sandbox.notion.schema import CONTACTS, TASKS, Source
from infra.local.sandbox.notion.validation import cleaned, plain_to_content
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.sampledata import SampleData, spread_times
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]

_KINDS = {PAGE: CONTACTS, "Task": TASKS}


def seed_records(store: Store, counts: Mapping[str, int], seed: int) -> dict[str, int]:
    """Add contacts (``Page``) and tasks (``Task``). Raises ControlError for any other name."""
    unknown = set(counts) - set(_KINDS)
    if unknown:
        raise ControlError(f"nothing called {', '.join(sorted(unknown))}; there are Page and Task")
    data = SampleData(seed)
    with store.transaction():
        for kind, source in _KINDS.items():
            if counts.get(kind):
                _seed_source(store, source, counts[kind], data)
    return dict(counts)


def _seed_source(store: Store, source: Source, count: int, data: SampleData) -> None:
    now_ms = store.clock.now_ms()
    try:
        times = spread_times(data.dice, count, now_ms)
    except ValueError as error:
        raise ControlError(str(error)) from None
    data.dice.shuffle(times)
    make = _contact if source is CONTACTS else _task
    first = store.next_number(f"{NAME}:{PAGE}", count)
    records = []
    for number, modified_ms in enumerate(times, first):
        values = {
            name: plain_to_content(prop, value)
            for name, value in make(data, now_ms).items()
            if (prop := source.find(name)) is not None
        }
        content = {
            "source": source.id,
            "values": cleaned(source, [], values),
            "number": number,
            "createdBy": PERSON_ID,
            "editedBy": data.dice.choice((PERSON_ID, COLLEAGUE_ID)),
        }
        created_ms = modified_ms - data.dice.randrange(0, 400) * 86_400_000
        records.append(Record(made_id("page", number), content, created_ms, modified_ms))
    store.put_many(NAME, PAGE, records)


def _contact(data: SampleData, now_ms: int) -> JsonObject:
    person, company = data.person(), data.company()
    dice = data.dice
    call = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=dice.randrange(1, 60))
    birthday = datetime(1955, 1, 1, tzinfo=UTC) + timedelta(days=dice.randrange(0, 16_000))
    return {
        "Name": f"{person.first_name} {person.last_name}",
        "Email": person.email,
        "Phone": person.phone,
        "Company": company.name,
        "Role": person.title,
        "Website": f"https://www.{company.domain}",
        "Status": dice.choice(("Lead", "Active", "Dormant")),
        "Kind": dice.choice(("Customer", "Supplier", "Partner", None)),
        "Tags": dice.sample(("vip", "newsletter", "event"), dice.randrange(0, 3)),
        "Score": dice.choice((None, dice.randrange(0, 100), round(dice.random() * 100, 1))),
        "Subscribed": dice.random() < 0.5,
        "Birthday": birthday.date().isoformat() if dice.random() < 0.3 else None,
        "Next call": call.isoformat(timespec="minutes") if dice.random() < 0.3 else None,
        "Owner": [dice.choice((PERSON_ID, COLLEAGUE_ID))],
    }


def _task(data: SampleData, now_ms: int) -> JsonObject:
    due = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=data.dice.randrange(-5, 40))
    return {
        "Task name": f"{data.dice.choice(('Call', 'Write to', 'Meet', 'Invoice'))} {data.company().name}",
        "State": data.dice.choice(("Not started", "In progress", "Done")),
        "Due date": due.date().isoformat(),
    }
