"""SOQL as the sandboxed org answers it.

https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select.htm
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.sandbox import CLIENT, Org, code_of, salesforce_org

pytestmark = pytest.mark.stack


@pytest.fixture
async def org() -> AsyncIterator[Org]:
    async with salesforce_org() as found:
        yield found


@pytest.fixture
async def three(org: Org) -> Org:
    """Accounts Ada (Banking, 10), bea (no industry, 20), O'Neil 50% (Energy, none)."""
    await org.create("Account", Name="Ada", Industry="Banking", NumberOfEmployees=10)
    await org.create("Account", Name="bea", NumberOfEmployees=20)
    await org.create("Account", Name="O'Neil 50%", Industry="Energy")
    return org


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("Name = 'ADA'", ["Ada"]),
        ("Name != 'Ada'", ["bea", "O'Neil 50%"]),
        ("Industry != 'Banking'", ["bea", "O'Neil 50%"]),
        ("Industry = null", ["bea"]),
        ("Industry <> null", ["Ada", "O'Neil 50%"]),
        ("NumberOfEmployees >= 10 AND NumberOfEmployees < 20", ["Ada"]),
        ("NOT NumberOfEmployees > 15", ["Ada", "O'Neil 50%"]),
        ("Name IN ('ada', 'nobody')", ["Ada"]),
        ("Industry NOT IN ('Banking')", ["bea", "O'Neil 50%"]),
        ("Name LIKE '_da' OR Name LIKE 'B%'", ["Ada", "bea"]),
        (r"Name LIKE '%\%'", ["O'Neil 50%"]),
        (r"Name = 'O\'Neil 50%'", ["O'Neil 50%"]),
        ("(Name = 'Ada' OR Name = 'bea') AND (NOT (Industry = 'Banking'))", ["bea"]),
        ("IsDeleted = false AND Owner.Name = 'nobody'", []),
        ("SystemModstamp > 2020-01-01T00:00:00Z", ["Ada", "bea", "O'Neil 50%"]),
        ("CreatedDate < 2020-01-01T00:00:00.000+0200", []),
    ],
)
async def test_conditions(three: Org, condition: str, names: list[str]) -> None:
    assert await three.names(condition) == names


async def test_order_limit_offset_and_nulls(three: Org) -> None:
    assert await three.names("Name != null", "ORDER BY Industry") == ["bea", "Ada", "O'Neil 50%"]
    assert await three.names("Name != null", "ORDER BY Industry DESC NULLS LAST") == [
        "O'Neil 50%",
        "Ada",
        "bea",
    ]
    assert await three.names("Name != null", "ORDER BY Name DESC LIMIT 1 OFFSET 1") == ["bea"]
    count = (await three.query("SELECT COUNT() FROM Account WHERE Industry = null")).json()
    assert count == {"totalSize": 1, "done": True, "records": []}


async def test_parent_fields_and_attributes(three: Org) -> None:
    account = (await three.control.records("Account"))[0]
    await three.create("Contact", LastName="Lovelace", AccountId=account["Id"])
    await three.create("Contact", LastName="Byron")
    answer = await three.query("select Id, account.name, SystemModstamp from contact order by lastname desc")
    first, second = answer.json()["records"]
    assert first["Account"]["Name"] == account["Name"]
    assert first["Account"]["attributes"]["type"] == "Account"
    assert second["Account"] is None
    assert first["attributes"]["url"] == f"/services/data/v62.0/sobjects/Contact/{first['Id']}"
    assert first["SystemModstamp"].endswith(".000+0000")


@pytest.mark.parametrize(
    ("soql", "code", "text"),
    [
        (
            "SELECT Id, Nme FROM Account",
            "INVALID_FIELD",
            "ERROR at Row:1:Column:12\nNo such column 'Nme' on entity",
        ),
        ("SELECT Id FROM Acount", "INVALID_TYPE", "sObject type 'Acount' is not supported."),
        ("SELECT Id FRM Account", "MALFORMED_QUERY", "unexpected token: 'FRM'"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        (
            "SELECT Id FROM Account WHERE Name='a' AND Name='b' OR Name='c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        ("SELECT Id FROM Account WHERE Name = 'it's'", "MALFORMED_QUERY", "unexpected token"),
        (
            "SELECT Id FROM Account WHERE SystemModstamp > '2026-11-01T00:00:00Z'",
            "INVALID_FIELD",
            "must be of type dateTime",
        ),
        (
            "SELECT Id FROM Account WHERE SystemModstamp > 2026-11-01T00:00:00 00:00",
            "MALFORMED_QUERY",
            "unexpected token",
        ),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "must be of type string"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        (
            "SELECT Id FROM Account WHERE Id = 'nonsense'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid ID field: nonsense",
        ),
        ("SELECT Id FROM Account LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "offset"),
    ],
)
async def test_refusals(org: Org, soql: str, code: str, text: str) -> None:
    answer = await org.query(soql)
    assert code_of(answer) == (400, code)
    assert text in answer.json()[0]["message"]


async def test_pages_are_a_snapshot_of_ids_with_values_read_late(org: Org) -> None:
    await org.control.seed(Account=450)
    soql = "SELECT Id, Name FROM Account ORDER BY SystemModstamp, Id"
    first = (await org.query(soql, **{"Sforce-Query-Options": "batchSize=200"})).json()
    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
    later = await org.control.records("Account", limit=1, offset=300)
    await org.control.edit("Account", later[0]["Id"], Name="Renamed meanwhile")
    await org.create("Account", Name="Came too late")
    seen, page = list(first["records"]), first
    while not page["done"]:
        page = (await org.http.get(org.tokens["instance_url"] + page["nextRecordsUrl"])).json()
        seen += page["records"]
    assert "nextRecordsUrl" not in page
    assert len({record["Id"] for record in seen}) == 450
    names = [record["Name"] for record in seen]
    assert "Renamed meanwhile" in names
    assert "Came too late" not in names


async def test_locators_end(org: Org) -> None:
    """With their time, their session, or when a user opens too many."""
    await org.control.seed(Account=250)
    options = {"Sforce-Query-Options": "batchSize=200"}

    async def locate() -> str:
        answer = (await org.query("SELECT Id FROM Account", **options)).json()
        return str(org.tokens["instance_url"] + answer["nextRecordsUrl"])

    oldest = await locate()
    urls = [await locate() for _ in range(10)]
    assert code_of(await org.http.get(oldest)) == (400, "INVALID_QUERY_LOCATOR")
    assert (await org.http.get(urls[0])).status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": org.tokens["refresh_token"], **CLIENT}
    org.use((await org.token(**form)).json()["access_token"])
    assert code_of(await org.http.get(urls[0])) == (401, "INVALID_SESSION_ID")
    await org.control.policy(access_token_seconds=10**6)
    org.use((await org.control.grant())["access_token"])
    mine = await locate()
    await org.control.set_clock(advance_ms=172_801_000)
    assert code_of(await org.http.get(mine)) == (400, "INVALID_QUERY_LOCATOR")


async def test_query_all_shows_the_deleted(three: Org) -> None:
    account = (await three.control.records("Account"))[0]
    await three.control.delete("Account", account["Id"])
    assert account["Name"] not in await three.names("Name != null")
    answer = await three.query("SELECT Id FROM Account WHERE IsDeleted = true", "queryAll")
    assert [record["Id"] for record in answer.json()["records"]] == [account["Id"]]
