"""Sample records of the org: companies, the people who work there, deals and leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.salesforce.ids import USER_ID, make_id
from infra.local.sandbox.salesforce.rows import NAME, derived
from infra.local.sandbox.salesforce.schema import OBJECTS, SObject
from infra.local.sandbox.sampledata import SampleData, spread_times
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
_ORDER = ("Account", "Contact", "Opportunity", "Lead", "User")


def seed_records(store: Store, counts: Mapping[str, int], seed: int) -> dict[str, int]:
    """Add that many records of each object. Raises ControlError for an object that is not there."""
    unknown = set(counts) - set(OBJECTS)
    if unknown:
        raise ControlError(f"no object {', '.join(sorted(unknown))}")
    data = SampleData(seed)
    with store.transaction():
        for name in _ORDER:
            if counts.get(name):
                _seed_one(store, OBJECTS[name], counts[name], data)
    return dict(counts)


def _seed_one(store: Store, sobject: SObject, count: int, data: SampleData) -> None:
    accounts = [row[0] for row in store.select(_ACCOUNT_IDS, (NAME,))]
    make = _MAKERS[sobject.name]
    first = store.next_number(f"{NAME}:{sobject.name}", count)
    now_ms = store.clock.now_ms()
    try:
        times = spread_times(data.dice, count, now_ms)
    except ValueError as error:
        raise ControlError(str(error)) from None
    data.dice.shuffle(times)
    records = []
    for number, modified_ms in enumerate(times, first):
        fields = (
            _SHARED | make(data, accounts, now_ms) if sobject.name != "User" else make(data, accounts, now_ms)
        )
        defaults = {f.name: f.default for f in sobject.fields.values() if f.default not in (None, "<caller>")}
        created_ms = modified_ms - data.dice.randrange(0, 400) * 86_400_000
        content = derived(sobject, defaults | fields)
        records.append(Record(make_id(sobject.prefix, number), content, created_ms, modified_ms))
    store.put_many(NAME, sobject.name, records)


_ACCOUNT_IDS = "SELECT id FROM records WHERE provider=? AND entity='Account' AND deleted=0 ORDER BY id"
_SHARED = {"OwnerId": USER_ID, "CreatedById": USER_ID, "LastModifiedById": USER_ID}


def _account(data: SampleData, _accounts: list[str], _now_ms: int) -> JsonObject:
    company = data.company()
    return {
        "Name": company.name,
        "Website": f"https://www.{company.domain}",
        "Phone": company.phone,
        "Industry": data.dice.choice(OBJECTS["Account"].fields["Industry"].values),
        "Type": data.dice.choice(OBJECTS["Account"].fields["Type"].values),
        "NumberOfEmployees": company.employees,
        "AnnualRevenue": float(company.employees * 125_000),
        "BillingStreet": company.street,
        "BillingCity": company.city,
        "BillingPostalCode": company.postal_code,
        "BillingCountry": company.country,
    }


def _contact(data: SampleData, accounts: list[str], _now_ms: int) -> JsonObject:
    person = data.person()
    return {
        "FirstName": person.first_name,
        "LastName": person.last_name,
        "Email": person.email,
        "Phone": person.phone,
        "MobilePhone": data.person().phone if data.dice.random() < 0.4 else None,
        "Title": person.title,
        "Department": data.dice.choice(("Finance", "Operations", "Purchasing", "Sales", None)),
        "LeadSource": data.dice.choice(OBJECTS["Contact"].fields["LeadSource"].values),
        "AccountId": data.dice.choice(accounts) if accounts else None,
    }


def _opportunity(data: SampleData, accounts: list[str], now_ms: int) -> JsonObject:
    close = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=data.dice.randrange(-20, 120))
    return {
        "Name": f"{data.dice.choice(('Renewal', 'Expansion', 'Pilot', 'New line'))} {data.dice.randrange(100, 1000)}",
        "StageName": data.dice.choice(OBJECTS["Opportunity"].fields["StageName"].values),
        "CloseDate": close.date().isoformat(),
        "Amount": float(data.dice.randrange(2, 400) * 500),
        "Probability": float(data.dice.choice((10, 25, 50, 75, 90))),
        "AccountId": data.dice.choice(accounts) if accounts else None,
    }


def _lead(data: SampleData, _accounts: list[str], _now_ms: int) -> JsonObject:
    person, company = data.person(), data.company()
    return {
        "FirstName": person.first_name,
        "LastName": person.last_name,
        "Email": person.email,
        "Phone": person.phone,
        "Title": person.title,
        "Company": company.name,
        "Status": data.dice.choice(("Open - Not Contacted", "Working - Contacted")),
    }


def _user(data: SampleData, _accounts: list[str], _now_ms: int) -> JsonObject:
    person = data.person()
    return {
        "FirstName": person.first_name,
        "LastName": person.last_name,
        "Email": person.email,
        "Username": person.email,
        "Alias": person.last_name[:8].lower(),
        "CreatedById": USER_ID,
        "LastModifiedById": USER_ID,
    }


_MAKERS: dict[str, Callable[[SampleData, list[str], int], JsonObject]] = {
    "Account": _account,
    "Contact": _contact,
    "Opportunity": _opportunity,
    "Lead": _lead,
    "User": _user,
}
