"""sObject collections of the sandboxed org.

https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections-create.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.local.sandbox.salesforce.ids import make_id
from tests.support.sandbox import Org, code_of, salesforce_org

pytestmark = pytest.mark.stack
UNKNOWN = make_id("003", 4711)


@pytest.fixture
async def org() -> AsyncIterator[Org]:
    async with salesforce_org() as found:
        yield found


def contact(**fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, **fields}


async def post(org: Org, *records: dict[str, Any], all_or_none: bool = False) -> Any:
    body = {"allOrNone": all_or_none, "records": records}
    answer = await org.http.post(f"{org.data}/composite/sobjects", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_one_failure_fails_that_record_alone(org: Org) -> None:
    first, second, third = await post(
        org, contact(LastName="A"), contact(FirstName="B"), contact(LastName="C")
    )
    assert (first["success"], first["errors"], third["success"]) == (True, [], True)
    assert second == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [LastName]",
                "fields": ["LastName"],
            }
        ],
    }
    assert [r["LastName"] for r in await org.control.records("Contact")] == ["A", "C"]


async def test_all_or_none_undoes_the_rest(org: Org) -> None:
    results = await post(org, contact(LastName="A"), contact(FirstName="B"), all_or_none=True)
    codes = [result["errors"][0]["statusCode"] for result in results]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert await org.control.records("Contact") == []
    assert await org.control.changes() == []


async def test_update_and_delete(org: Org) -> None:
    a, b = [await org.create("Contact", LastName=name) for name in "AB"]
    await org.control.delete("Contact", b)
    body = {"records": [contact(id=a, Title="X"), contact(Id=b, Title="X"), contact(Title="X")]}
    results = (await org.http.patch(f"{org.data}/composite/sobjects", json=body)).json()
    assert results[0] == {"id": a, "success": True, "errors": []}
    assert [r["errors"][0]["statusCode"] for r in results[1:]] == ["ENTITY_IS_DELETED", "MISSING_ARGUMENT"]
    gone = await org.http.delete(f"{org.data}/composite/sobjects", params={"ids": f"{a},{UNKNOWN}"})
    assert [result["success"] for result in gone.json()] == [True, False]
    assert gone.json()[1]["errors"][0]["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"


async def test_upsert_and_read(org: Org) -> None:
    url = f"{org.data}/composite/sobjects/Contact"
    records = [contact(Castiel_Id__c=f"c-{n}", LastName=f"N{n}") for n in range(3)]
    made = (await org.http.patch(f"{url}/Castiel_Id__c", json={"records": records})).json()
    assert [result["created"] for result in made] == [True] * 3
    again = (await org.http.patch(f"{url}/Castiel_Id__c", json={"records": records})).json()
    assert [(r["id"], r["created"]) for r in again] == [(r["id"], False) for r in made]
    wanted = [made[2]["id"], UNKNOWN, made[0]["id"]]
    read = (await org.http.post(url, json={"ids": wanted, "fields": ["Id", "LastName"]})).json()
    assert [record and record["LastName"] for record in read] == ["N2", None, "N0"]
    listed = await org.http.get(url, params={"ids": ",".join(wanted), "fields": "LastName"})
    assert [record and record["LastName"] for record in listed.json()] == ["N2", None, "N0"]


async def test_two_hundred_is_the_most(org: Org) -> None:
    assert all(result["success"] for result in await post(org, *[contact(LastName="A")] * 200))
    body = {"records": [contact(LastName="A")] * 201}
    answer = await org.http.post(f"{org.data}/composite/sobjects", json=body)
    assert code_of(answer) == (400, "EXCEEDED_ID_LIMIT")


async def test_a_locked_row_within_a_batch(org: Org) -> None:
    await org.control.fault("record_error", code="UNABLE_TO_LOCK_ROW", entity="Contact", skip=1)
    results = await post(org, *[contact(LastName=name) for name in "ABC"])
    assert [result["success"] for result in results] == [True, False, True]
    assert results[1]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
