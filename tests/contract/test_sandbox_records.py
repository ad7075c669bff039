"""Single records of the sandboxed org: create, read, change, delete, upsert, describe.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_list.htm
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.sandbox.salesforce.ids import checksum, full_id
from tests.support.sandbox import Org, code_of, salesforce_org

pytestmark = pytest.mark.stack


@pytest.fixture
async def org() -> AsyncIterator[Org]:
    async with salesforce_org() as found:
        yield found


def test_id_suffix_tells_the_case() -> None:
    """Ids printed in the REST API guide (dome_get_deleted, resources_sobject_retrieve_patch)."""
    assert checksum("a00D0000008pQRA") == "IA2"
    assert full_id("001R0000005hDFY") == "001R0000005hDFYIA2"
    assert full_id("001R0000005hDFYIA3") is None


@pytest.mark.parametrize(
    ("entity", "prefix", "fields"),
    [
        ("Account", "001", {"Name": "Acme"}),
        ("Contact", "003", {"LastName": "Lovelace"}),
        ("Opportunity", "006", {"Name": "Deal", "StageName": "Closed Won", "CloseDate": "2026-12-01"}),
        ("Lead", "00Q", {"LastName": "Byron", "Company": "Acme"}),
    ],
)
async def test_life_of_a_record(org: Org, entity: str, prefix: str, fields: dict[str, Any]) -> None:
    url = f"{org.data}/sobjects/{entity}"
    made = await org.http.post(url, json=fields)
    assert made.status_code == 201
    record_id = made.json()["id"]
    assert made.json() == {"id": record_id, "success": True, "errors": []}
    assert record_id.startswith(prefix)
    assert full_id(record_id) == record_id
    changed = await org.http.patch(f"{url}/{record_id}", json={"Description": "New"})
    assert (changed.status_code, changed.content) == (204, b"")
    read = (await org.http.get(f"{url}/{record_id[:15]}")).json()
    assert read["Description"] == "New"
    assert read.items() >= fields.items()
    assert (await org.http.delete(f"{url}/{record_id}")).status_code == 204
    assert code_of(await org.http.get(f"{url}/{record_id}")) == (404, "NOT_FOUND")
    assert code_of(await org.http.patch(f"{url}/{record_id}", json={})) == (404, "ENTITY_IS_DELETED")
    assert code_of(await org.http.delete(f"{url}/{record_id}")) == (404, "ENTITY_IS_DELETED")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"FirstName": "Ada"},
            {
                "message": "Required fields are missing: [LastName]",
                "errorCode": "REQUIRED_FIELD_MISSING",
                "fields": ["LastName"],
            },
        ),
        (
            {"LastName": "A", "Shoe": 38},
            {"message": "No such column 'Shoe' on sobject of type Contact", "errorCode": "INVALID_FIELD"},
        ),
        (
            {"LastName": "x" * 81},
            {
                "message": f"Last Name: data value too large: {'x' * 81} (max length=80)",
                "errorCode": "STRING_TOO_LONG",
                "fields": ["LastName"],
            },
        ),
        (
            {"LastName": "A", "CreatedDate": "2026-11-01T10:00:00Z"},
            {
                "message": "Unable to create/update fields: CreatedDate. Please check the security settings of this "
                "field and verify that it is read/write for your profile or permission set.",
                "errorCode": "INVALID_FIELD_FOR_INSERT_UPDATE",
                "fields": ["CreatedDate"],
            },
        ),
        (
            {"LastName": "A", "Email": "nobody"},
            {
                "message": "Email: invalid email address: nobody",
                "errorCode": "INVALID_EMAIL_ADDRESS",
                "fields": ["Email"],
            },
        ),
    ],
)
async def test_refused_creates(org: Org, fields: dict[str, Any], error: dict[str, Any]) -> None:
    answer = await org.http.post(f"{org.data}/sobjects/Contact", json=fields)
    assert (answer.status_code, answer.json()) == (400, [error])
    assert await org.control.records("Contact") == []


async def test_what_is_no_call_of_the_api(org: Org) -> None:
    url = f"{org.data}/sobjects/Contact"
    typed = await org.http.post(url, content="LastName=A", headers={"Content-Type": "text/plain"})
    assert code_of(typed) == (415, "UNSUPPORTED_MEDIA_TYPE")
    broken = await org.http.post(url, content=b"{", headers={"Content-Type": "application/json"})
    assert code_of(broken) == (400, "JSON_PARSER_ERROR")
    assert code_of(await org.http.get(f"{org.data}/sobjects/Shoe/1")) == (404, "NOT_FOUND")
    assert code_of(await org.http.get(url + "/003000000000001", headers={"Authorization": "Bearer x"})) == (
        401,
        "INVALID_SESSION_ID",
    )


async def test_upsert_by_external_id(org: Org) -> None:
    url = f"{org.data}/sobjects/Contact/Castiel_Id__c/contact-1"
    made = await org.http.patch(url, json={"LastName": "Lovelace"})
    assert (made.status_code, made.json()["created"]) == (201, True)
    again = await org.http.patch(url, json={"LastName": "King"})
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert again.json()["id"] == made.json()["id"]
    taken = await org.http.post(
        f"{org.data}/sobjects/Contact", json={"LastName": "B", "Castiel_Id__c": "CONTACT-1"}
    )
    assert code_of(taken) == (400, "DUPLICATE_VALUE")
    await org.control.policy(unique_external_ids=False)
    await org.create("Contact", LastName="Twin", Castiel_Id__c="contact-1")
    several = await org.http.patch(url, json={"LastName": "Who"})
    assert several.status_code == 300
    assert several.json()[0] == f"/services/data/v62.0/sobjects/Contact/{made.json()['id']}"
    assert (await org.http.patch(f"{org.data}/sobjects/Contact/Email/x", json={})).status_code == 404


async def test_deleting_an_account_takes_its_contacts_along(org: Org) -> None:
    account = await org.create("Account", Name="Acme")
    contact = await org.create("Contact", LastName="Lovelace", AccountId=account)
    start = datetime.now(UTC) - timedelta(minutes=5)
    assert (await org.http.delete(f"{org.data}/sobjects/Account/{account}")).status_code == 204
    params = {"start": start.isoformat(), "end": (start + timedelta(minutes=10)).isoformat()}
    listed = (await org.http.get(f"{org.data}/sobjects/Contact/deleted/", params=params)).json()
    assert [record["id"] for record in listed["deletedRecords"]] == [contact]
    assert listed["deletedRecords"][0]["deletedDate"].endswith("+0000")
    assert set(listed) == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}


async def test_links_must_exist_and_text_is_trimmed(org: Org) -> None:
    missing = {"LastName": "A", "AccountId": "001gL0000000099" + checksum("001gL0000000099")}
    answer = await org.http.post(f"{org.data}/sobjects/Contact", json=missing)
    assert code_of(answer) == (400, "INVALID_CROSS_REFERENCE_KEY")
    record_id = await org.create("Contact", LastName="  Lovelace ", FirstName="Ada", Title=" ")
    record = await org.control.record("Contact", record_id)
    assert (record["LastName"], record["Name"], record["Title"]) == ("Lovelace", "Ada Lovelace", None)


async def test_optimistic_lock(org: Org) -> None:
    record_id = await org.create("Contact", LastName="Lovelace")
    url = f"{org.data}/sobjects/Contact/{record_id}"
    seen = (await org.http.get(url)).headers["Last-Modified"]
    assert (
        await org.http.patch(url, json={"Title": "A"}, headers={"If-Unmodified-Since": seen})
    ).status_code == 204
    await org.control.set_clock(advance_ms=5000)
    await org.control.edit("Contact", record_id, Title="B")
    late = await org.http.patch(url, json={"Title": "C"}, headers={"If-Unmodified-Since": seen})
    assert late.status_code == 412
    assert (await org.control.record("Contact", record_id))["Title"] == "B"


async def test_writers_are_told_apart(org: Org) -> None:
    record_id = await org.create("Contact", LastName="Lovelace")
    url, ours = f"{org.data}/sobjects/Contact/{record_id}", {"Sforce-Call-Options": "client=castiel"}
    await org.http.patch(url, json={"Title": "Countess", "LastName": "Lovelace"}, headers=ours)
    await org.control.edit("Contact", record_id, Title="Programmer")
    changes = [(c["operation"], c["fields"].get("Title"), c["origin"]) for c in await org.control.changes()]
    assert changes == [
        ("create", None, "com/salesforce/api/rest/62.0"),
        ("update", "Countess", "com/salesforce/api/rest/62.0;client=castiel"),
        ("update", "Programmer", "com/salesforce/api/soap/62.0;client=SfdcInternalAPI/"),
    ]
    assert list((await org.control.changes())[1]["fields"]) == ["Title"]


async def test_describe_and_limits(org: Org) -> None:
    every = (await org.http.get(f"{org.data}/sobjects/")).json()["sobjects"]
    assert {one["name"]: one["keyPrefix"] for one in every}["Lead"] == "00Q"
    fields = {
        f["name"]: f for f in (await org.http.get(f"{org.data}/sobjects/Contact/describe")).json()["fields"]
    }
    assert (fields["LastName"]["nillable"], fields["LastName"]["length"]) == (False, 80)
    assert (fields["CreatedDate"]["type"], fields["CreatedDate"]["createable"]) == ("datetime", False)
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert "Web" in [value["value"] for value in fields["LeadSource"]["picklistValues"]]
    assert fields["Castiel_Id__c"]["externalId"] is True
    limits = await org.http.get(f"{org.data}/limits")
    assert limits.headers["Sforce-Limit-Info"] == "api-usage=3/100000"
    assert limits.json()["DailyApiRequests"] == {"Max": 100_000, "Remaining": 99_997}
    await org.control.policy(daily_api_limit=3)
    assert code_of(await org.http.get(f"{org.data}/limits")) == (403, "REQUEST_LIMIT_EXCEEDED")
    versions = (await org.http.get(f"{org.control.url}/services/data/")).json()
    assert "62.0" in [version["version"] for version in versions]
