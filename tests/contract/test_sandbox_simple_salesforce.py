"""The sandboxed org through simple-salesforce, a client written for the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

from tests.support.sandbox import Org, salesforce_org

pytestmark = pytest.mark.stack


class PlainHttp(HTTPAdapter):
    """Carries the https:// requests the client insists on over http, as a TLS-terminating proxy would."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        request.url = str(request.url).replace("https://", "http://", 1)
        return super().send(request, *args, **options)


@pytest.fixture
async def org() -> AsyncIterator[Org]:
    async with salesforce_org() as found:
        yield found


def connect(org: Org, session: requests.Session) -> Salesforce:
    session.trust_env = False
    session.mount("https://", PlainHttp())
    tokens = org.tokens
    return Salesforce(
        instance_url=tokens["instance_url"],
        session_id=tokens["access_token"],
        version="62.0",
        session=session,
    )


async def in_thread(org: Org, work: Any) -> None:
    def run() -> None:
        with requests.Session() as session:
            work(connect(org, session))

    await asyncio.to_thread(run)


async def test_reads(org: Org) -> None:
    await org.control.seed(Account=30, Contact=4500)

    def work(client: Salesforce) -> None:
        assert client.query("SELECT COUNT() FROM Contact")["totalSize"] == 4500
        rows = client.query_all("SELECT Id, Name, Account.Name FROM Contact ORDER BY SystemModstamp, Id")
        assert rows["done"] is True
        assert len({row["Id"] for row in rows["records"]}) == 4500
        first = next(client.query_all_iter("SELECT Id, LastName FROM Contact"))
        assert client.Contact.get(first["Id"])["LastName"] == first["LastName"]
        assert client.api_usage["api-usage"].total == 100_000
        assert "Contact" in [one["name"] for one in client.describe()["sobjects"]]
        assert client.Contact.describe()["keyPrefix"] == "003"
        assert client.limits()["DailyApiRequests"]["Max"] == 100_000

    await in_thread(org, work)


async def test_writes(org: Org) -> None:
    def work(client: Salesforce) -> None:
        made = client.Contact.create({"LastName": "Lovelace", "Email": "ada@example.com"})
        assert made["success"] is True
        assert client.Contact.update(made["id"], {"Title": "Countess"}) == 204
        assert client.Contact.upsert("Castiel_Id__c/c-1", {"LastName": "Byron"}) == 201
        assert client.Contact.upsert("Castiel_Id__c/c-1", {"LastName": "Gordon"}) == 200
        assert client.Contact.get_by_custom_id("Castiel_Id__c", "c-1")["LastName"] == "Gordon"
        assert client.Contact.delete(made["id"]) == 204
        deleted = client.query_all("SELECT Id FROM Contact WHERE IsDeleted = true", include_deleted=True)
        assert [row["Id"] for row in deleted["records"]] == [made["id"]]

    await in_thread(org, work)


async def test_refusals_are_understood(org: Org) -> None:
    await org.control.policy(unique_external_ids=False)
    for _ in range(2):
        await org.create("Contact", LastName="Twin", Castiel_Id__c="twin")

    def work(client: Salesforce) -> None:
        with pytest.raises(SalesforceMalformedRequest) as malformed:
            client.query("SELECT Nothing FROM Contact")
        assert malformed.value.content[0]["errorCode"] == "INVALID_FIELD"
        with pytest.raises(SalesforceResourceNotFound):
            client.Contact.get("003gL0000000099AAA")
        with pytest.raises(SalesforceMoreThanOneRecord):
            client.Contact.get_by_custom_id("Castiel_Id__c", "twin")
        client.session_id = "gone"
        client.headers["Authorization"] = "Bearer gone"
        with pytest.raises(SalesforceExpiredSession):
            client.query("SELECT Id FROM Contact")

    await in_thread(org, work)
