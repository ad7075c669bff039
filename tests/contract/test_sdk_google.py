"""Google's own Python client reads and writes the sandboxed account, with credentials it refreshes itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import google_auth_httplib2
import httplib2
import pytest
from google.auth.exceptions import RefreshError
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest

from tests.support.google import CLIENT_ID, CLIENT_SECRET, meeting
from tests.support.providers import ProviderSandbox, running_sandbox

pytestmark = [pytest.mark.stack, pytest.mark.sdk]
FIELDS = "names,emailAddresses,metadata"


@pytest.fixture
async def account() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("google") as sandbox:
        yield sandbox


@contextmanager
def service(url: str, refresh_token: str, api: str) -> Iterator[Any]:
    """The client of one API, from the discovery document in the package; it has no access token yet."""
    credentials = Credentials(  # type: ignore[no-untyped-call]
        token=None,
        refresh_token=refresh_token,
        token_uri=f"{url}/token",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
    )
    plain = httplib2.Http(proxy_info=None, timeout=20)
    http = google_auth_httplib2.AuthorizedHttp(credentials, http=plain)
    version, path = ("v1", "/") if api == "people" else ("v3", "/calendar/v3/")
    with build(
        api, version, http=http, static_discovery=True, client_options={"api_endpoint": f"{url}{path}"}
    ) as made:
        yield made


async def run(account: ProviderSandbox, api: str, work: Callable[[Any], None]) -> None:
    refresh_token = (await account.control.grant())["refresh_token"]

    def use() -> None:
        with service(account.url, refresh_token, api) as made:
            work(made)

    await asyncio.to_thread(use)


async def test_contacts_are_listed_and_synced(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=250)

    def work(people: Any) -> None:
        connections = people.people().connections()
        wanted = {"resourceName": "people/me", "personFields": FIELDS, "requestSyncToken": True}
        request = connections.list(**wanted)
        seen: list[dict[str, Any]] = []
        answer: dict[str, Any] = {}
        while request is not None:
            answer = request.execute()
            seen += answer["connections"]
            request = connections.list_next(request, answer)
        assert len({person["resourceName"] for person in seen}) == 250
        gone = seen[0]["resourceName"]
        people.people().deleteContact(resourceName=gone).execute()
        changes = connections.list(**wanted, syncToken=answer["nextSyncToken"]).execute()
        assert [(p["resourceName"], p["metadata"]["deleted"]) for p in changes["connections"]] == [
            (gone, True)
        ]
        some = people.people().getBatchGet(
            resourceNames=[person["resourceName"] for person in seen[:3]], personFields=FIELDS
        )
        assert [r.get("httpStatusCode") for r in some.execute()["responses"]] == [404, 200, 200]
        found = people.people().searchContacts(query=seen[1]["names"][0]["givenName"], readMask="names")
        assert found.execute()["results"]

    await run(account, "people", work)


async def test_contacts_are_written(account: ProviderSandbox) -> None:
    def work(people: Any) -> None:
        body = {
            "names": [{"givenName": "Ada", "familyName": "Byron"}],
            "emailAddresses": [{"value": "ada@example.com"}],
        }
        made = people.people().createContact(body=body, personFields=FIELDS).execute()
        assert made["names"][0]["displayName"] == "Ada Byron"
        name = made["resourceName"]
        change = {"etag": made["etag"], "names": [{"givenName": "Ada", "familyName": "Lovelace"}]}
        people.people().updateContact(resourceName=name, updatePersonFields="names", body=change).execute()
        with pytest.raises(HttpError) as stale:
            people.people().updateContact(
                resourceName=name, updatePersonFields="names", body=change
            ).execute()
        assert stale.value.status_code == 400
        assert "etag is different" in stale.value.reason
        read = people.people().get(resourceName=name, personFields=FIELDS).execute()
        assert read["names"][0]["familyName"] == "Lovelace"
        batch = {"contacts": [{"contactPerson": body}, {"contactPerson": body}], "readMask": FIELDS}
        created = people.people().batchCreateContacts(body=batch).execute()["createdPeople"]
        names = [response["person"]["resourceName"] for response in created]
        changed = {
            n: {"etag": r["person"]["etag"], "emailAddresses": []}
            for n, r in zip(names, created, strict=True)
        }
        update = {"contacts": changed, "updateMask": "emailAddresses", "readMask": FIELDS}
        results = people.people().batchUpdateContacts(body=update).execute()["updateResult"]
        assert all("emailAddresses" not in results[n]["person"] for n in names)
        people.people().batchDeleteContacts(body={"resourceNames": names}).execute()
        with pytest.raises(HttpError) as gone:
            people.people().get(resourceName=names[0], personFields=FIELDS).execute()
        assert gone.value.status_code == 404

    await run(account, "people", work)


async def test_events_are_listed_and_synced(account: ProviderSandbox) -> None:
    await account.control.seed(Event=300)

    def work(calendar: Any) -> None:
        events = calendar.events()
        request = events.list(calendarId="primary")
        seen: list[dict[str, Any]] = []
        answer: dict[str, Any] = {}
        while request is not None:
            answer = request.execute()
            seen += answer["items"]
            request = events.list_next(request, answer)
        assert len(seen) == 300
        events.delete(calendarId="primary", eventId=seen[0]["id"]).execute()
        changes = events.list(calendarId="primary", syncToken=answer["nextSyncToken"]).execute()
        assert [(e["id"], e["status"]) for e in changes["items"]] == [(seen[0]["id"], "cancelled")]
        with pytest.raises(HttpError) as refused:
            events.list(calendarId="primary", syncToken=answer["nextSyncToken"], q="x").execute()
        assert refused.value.status_code == 400

    await run(account, "calendar", work)


async def test_events_are_written_also_in_a_batch(account: ProviderSandbox) -> None:
    def work(calendar: Any) -> None:
        events = calendar.events()
        made = events.insert(calendarId="primary", body={"id": "chosen0", **meeting("One")}).execute()
        assert made["id"] == "chosen0"
        with pytest.raises(HttpError) as twice:
            events.insert(calendarId="primary", body={"id": "chosen0", **meeting("One")}).execute()
        assert twice.value.status_code == 409
        changed = events.patch(calendarId="primary", eventId="chosen0", body={"summary": "Two"}).execute()
        assert (changed["summary"], changed["start"]) == ("Two", made["start"])
        conditional = events.update(calendarId="primary", eventId="chosen0", body=meeting("Three"))
        conditional.headers["If-Match"] = made["etag"]
        with pytest.raises(HttpError) as stale:
            conditional.execute()
        assert stale.value.status_code == 412
        answers: dict[str, Any] = {}

        def note(request_id: str, response: Any, exception: HttpError | None) -> None:
            answers[request_id] = exception.status_code if exception else response["summary"]

        root = events.list(calendarId="primary").uri.split("/calendar/")[0]
        batch = BatchHttpRequest(callback=note, batch_uri=f"{root}/batch/calendar/v3")
        for n in range(3):
            batch.add(events.insert(calendarId="primary", body=meeting(f"Batch {n}")), request_id=f"in-{n}")
        batch.add(events.get(calendarId="primary", eventId="unknown0"), request_id="missing")
        batch.execute()
        assert answers == {"in-0": "Batch 0", "in-1": "Batch 1", "in-2": "Batch 2", "missing": 404}

    await run(account, "calendar", work)


async def test_an_access_token_is_refreshed_and_a_revoked_grant_is_told(account: ProviderSandbox) -> None:
    refresh_token = (await account.control.grant())["refresh_token"]
    await account.control.expire_access_tokens()

    def works() -> None:
        with service(account.url, refresh_token, "calendar") as calendar:
            assert calendar.events().list(calendarId="primary").execute()["items"] == []

    def fails() -> None:
        with service(account.url, refresh_token, "people") as people, pytest.raises(RefreshError) as raised:
            people.people().get(resourceName="people/me", personFields="names").execute()
        assert "invalid_grant" in str(raised.value)

    await asyncio.to_thread(works)
    await account.control.revoke(refresh_token)
    await asyncio.to_thread(fails)


async def test_a_channel_is_opened_and_stopped(account: ProviderSandbox) -> None:
    def work(calendar: Any) -> None:
        wanted = {
            "id": "channel-1",
            "type": "web_hook",
            "address": "https://castiel.example.com/webhooks/r",
            "token": "made-up",
        }
        channel = calendar.events().watch(calendarId="primary", body=wanted).execute()
        assert channel["kind"] == "api#channel"
        assert int(channel["expiration"]) > 0
        with pytest.raises(HttpError):
            calendar.events().watch(calendarId="primary", body=wanted).execute()
        calendar.channels().stop(body={"id": "channel-1", "resourceId": channel["resourceId"]}).execute()

    await run(account, "calendar", work)
