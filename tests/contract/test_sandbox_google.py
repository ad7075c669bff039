"""The sandboxed Google account refuses what the real one refuses, in its own words, and plays its part in events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from castiel.adapters.google import PROVIDER
from castiel.domain.signatures import PRESETS, preset, verify
from castiel.domain.webhooks import WebhookRequest
from infra.local.sandbox.app import SandboxServer
from infra.local.sandbox.client import SandboxControl
from tests.support.google import CLIENT_ID, CLIENT_SECRET, meeting
from tests.support.signature_cases import rsa_pair

pytestmark = pytest.mark.stack
EVENTS = "calendar/v3/calendars/primary/events"
MASK = {"personFields": "names,metadata"}


class Account:
    """Plain HTTP against the account, with a valid access token."""

    def __init__(self, control: SandboxControl, http: httpx.AsyncClient) -> None:
        self.control = control
        self.http = http

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self.http.request(method, f"{self.control.url}/{path}", **options)


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with (
        SandboxServer() as server,
        SandboxControl(server.url, "google") as control,
        httpx.AsyncClient(trust_env=False, timeout=10) as http,
    ):
        http.headers["Authorization"] = f"Bearer {(await control.grant())['access_token']}"
        yield Account(control, http)


def error(answer: httpx.Response) -> tuple[int, str]:
    """Status, and Calendar's reason or People's status."""
    body = answer.json()["error"]
    assert body["code"] == answer.status_code
    return answer.status_code, body["errors"][0]["reason"] if "errors" in body else body["status"]


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"),
    [
        ("GET", "v1/people/me/connections", {}, (400, "INVALID_ARGUMENT")),
        ("GET", "v1/people/me/connections", {"params": {"personFields": "shoeSize"}}, (400, "INVALID_ARGUMENT")),
        ("GET", "v1/people/me/connections", {"params": {**MASK, "pageSize": 1001}}, (400, "INVALID_ARGUMENT")),
        ("GET", "v1/people/me/connections", {"params": {**MASK, "pageToken": "x"}}, (400, "INVALID_ARGUMENT")),
        ("GET", "v1/people/c1", {"params": MASK}, (404, "NOT_FOUND")),
        ("POST", "v1/people:createContact", {"json": {"shoeSize": 44}}, (400, "INVALID_ARGUMENT")),
        ("POST", "v1/people:createContact", {"json": {"names": [{"first": "A"}]}}, (400, "INVALID_ARGUMENT")),
        ("POST", "v1/people:createContact", {"json": {"names": [{}, {}]}}, (400, "INVALID_ARGUMENT")),
        ("POST", "v1/people:createContact", {"data": {"names": "A"}}, (400, "INVALID_ARGUMENT")),
        ("POST", "v1/people:createContact", {"content": b"{", "headers": {"Content-Type": "application/json"}}, (400, "INVALID_ARGUMENT")),
        ("POST", "v1/people:batchCreateContacts", {"json": {"contacts": [{}] * 201}}, (400, "INVALID_ARGUMENT")),
        ("POST", "v1/people:batchDeleteContacts", {"json": {"resourceNames": ["people/c1"] * 501}}, (400, "INVALID_ARGUMENT")),
        ("GET", "v1/peoples", {}, None),
        ("GET", "calendar/v3/calendars/nobody/events", {}, (404, "notFound")),
        ("GET", f"{EVENTS}/unknown0", {}, (404, "notFound")),
        ("GET", EVENTS, {"params": {"syncToken": "x"}}, (400, "invalid")),
        ("POST", EVENTS, {"json": {"summary": "no times"}}, (400, "required")),
        ("POST", EVENTS, {"json": {**meeting("M"), "id": "UPPER"}}, (400, "invalid")),
        ("POST", EVENTS, {"json": {**meeting("M"), "end": {"dateTime": "2020-01-01T00:00:00Z"}}}, (400, "timeRangeEmpty")),
        ("POST", EVENTS, {"json": {**meeting("M"), "end": {"date": "2026-12-02"}}}, (400, "invalid")),
        ("POST", EVENTS, {"json": {**meeting("M"), "attendees": [{"displayName": "A"}]}}, (400, "required")),
        ("POST", f"{EVENTS}/watch", {"json": {"id": "c", "type": "web_hook", "address": "http://x"}}, (400, "webhookUrlNotHttps")),
        ("POST", "calendar/v3/channels/stop", {"json": {"id": "c", "resourceId": "r"}}, (404, "notFound")),
    ],
)  # fmt: skip
async def test_refusals(
    account: Account, method: str, path: str, options: dict[str, Any], expected: tuple[int, str] | None
) -> None:
    answer = await account.ask(method, path, **options)
    if expected is None:
        assert answer.status_code == 404
    else:
        assert error(answer) == expected


@pytest.mark.parametrize(
    ("path", "reason"), [("v1/people/me/connections", "UNAUTHENTICATED"), (EVENTS, "authError")]
)
async def test_only_with_a_live_token(account: Account, path: str, reason: str) -> None:
    for header in ("", "Bearer nothing", "Basic eDp5"):
        answer = await account.ask("GET", path, params=MASK, headers={"Authorization": header})
        assert error(answer) == (401, reason)
        assert "WWW-Authenticate" in answer.headers
    await account.control.expire_access_tokens()
    assert error(await account.ask("GET", path, params=MASK)) == (401, reason)


async def test_a_contact_looks_as_published(account: Account) -> None:
    person = {
        "names": [{"givenName": "Ada", "familyName": "Lovelace"}],
        "phoneNumbers": [{"value": "+44 20 7946 0000", "type": "mobile"}],
    }
    answer = await account.ask(
        "POST", "v1/people:createContact?personFields=names,phoneNumbers,metadata", json=person
    )
    made = answer.json()
    number = made["resourceName"].removeprefix("people/c")
    source = {"type": "CONTACT", "id": f"{int(number):x}"}
    primary = {"primary": True, "source": source, "sourcePrimary": True}
    [kept] = made["metadata"]["sources"]
    assert made["metadata"]["objectType"] == "PERSON"
    assert set(kept) == {"type", "id", "etag", "updateTime"}
    assert made["names"] == [
        {
            "metadata": primary,
            "givenName": "Ada",
            "familyName": "Lovelace",
            "displayName": "Ada Lovelace",
            "displayNameLastFirst": "Lovelace, Ada",
            "unstructuredName": "Ada Lovelace",
        }
    ]
    [phone] = made["phoneNumbers"]
    assert (phone["canonicalForm"], phone["formattedType"]) == ("+442079460000", "Mobile")
    assert "emailAddresses" not in made


async def test_a_refused_batch_says_who_is_to_blame_and_does_nothing(account: Account) -> None:
    contacts = [{"contactPerson": {"names": [{"givenName": n}]}} for n in "abc"]
    contacts[1] = {"contactPerson": {"names": [{}, {}]}}
    answer = await account.ask(
        "POST", "v1/people:batchCreateContacts", json={"contacts": contacts, "readMask": "names"}
    )
    assert error(answer) == (400, "INVALID_ARGUMENT")
    [detail] = answer.json()["error"]["details"]
    assert detail["@type"].endswith("BatchCreateContactsErrorDetails")
    assert {index: status["code"] for index, status in detail["contactErrors"].items()} == {"1": 3}
    assert await account.control.counts() == {}


async def test_an_update_needs_the_etag_and_a_mask(account: Account) -> None:
    made = await account.control.create("Contact", names=[{"givenName": "A"}])
    url = f"v1/{made['id']}:updateContact"
    person = {"names": [{"givenName": "B"}]}
    assert error(await account.ask("PATCH", url, json=person)) == (400, "INVALID_ARGUMENT")
    answer = await account.ask("PATCH", url, params={"updatePersonFields": "names"}, json=person)
    assert error(answer) == (400, "INVALID_ARGUMENT")
    stale = {**person, "etag": "%Eg=="}
    answer = await account.ask("PATCH", url, params={"updatePersonFields": "names"}, json=stale)
    assert error(answer) == (400, "FAILED_PRECONDITION")
    answer = await account.ask("PATCH", url, params={"updatePersonFields": "photos"}, json=stale)
    assert error(answer) == (400, "INVALID_ARGUMENT")


async def test_sync_tokens_end_and_want_the_same_parameters(account: Account) -> None:
    path = "v1/people/me/connections"
    first = (await account.ask("GET", path, params={**MASK, "requestSyncToken": "true"})).json()
    token = {"requestSyncToken": "true", "syncToken": first["nextSyncToken"]}
    assert (await account.ask("GET", path, params={**MASK, **token})).status_code == 200
    answer = await account.ask("GET", path, params={"personFields": "names", **token})
    assert error(answer) == (400, "INVALID_ARGUMENT")
    await account.control.policy(sync_token_epoch=1)
    answer = await account.ask("GET", path, params={**MASK, **token})
    assert answer.json()["error"]["details"][0]["reason"] == "EXPIRED_SYNC_TOKEN"
    assert error(answer)[0] == 400
    events = (await account.ask("GET", EVENTS)).json()
    await account.control.policy(sync_token_epoch=2)
    answer = await account.ask("GET", EVENTS, params={"syncToken": events["nextSyncToken"]})
    assert error(answer) == (410, "fullSyncRequired")


async def test_a_deleted_event_stays_readable_as_cancelled(account: Account) -> None:
    made = (await account.ask("POST", EVENTS, json=meeting("M"))).json()
    assert (await account.ask("DELETE", f"{EVENTS}/{made['id']}")).status_code == 204
    assert error(await account.ask("DELETE", f"{EVENTS}/{made['id']}")) == (410, "deleted")
    assert (await account.ask("GET", f"{EVENTS}/{made['id']}")).json()["status"] == "cancelled"
    assert (await account.ask("GET", EVENTS)).json()["items"] == []
    shown = (await account.ask("GET", EVENTS, params={"showDeleted": "true"})).json()["items"]
    assert [event["id"] for event in shown] == [made["id"]]


async def test_a_batch_has_fifty_calls_at_the_most(account: Account) -> None:
    part = "--b\r\nContent-Type: application/http\r\n\r\nGET /calendar/v3/calendars/primary/events/unknown0 HTTP/1.1\r\n\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    for count, status in ((50, 200), (51, 400)):
        answer = await account.ask(
            "POST", "batch/calendar/v3", content=part * count + "--b--", headers=headers
        )
        assert answer.status_code == status
    for content, kind in ((b"nothing", "multipart/mixed; boundary=b"), (b"{}", "application/json")):
        answer = await account.ask(
            "POST", "batch/calendar/v3", content=content, headers={"Content-Type": kind}
        )
        assert answer.status_code == 400


async def test_the_token_endpoint_refuses_in_oauths_words(account: Account) -> None:
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    refresh = {"grant_type": "refresh_token", "refresh_token": "unknown"}
    for form, expected in (
        ({**client, **refresh}, (400, "invalid_grant")),
        ({**client, "grant_type": "password"}, (400, "unsupported_grant_type")),
        ({**client, **refresh, "client_secret": "wrong"}, (401, "invalid_client")),
        ({**client, **refresh, "client_id": "wrong"}, (401, "invalid_client")),
    ):
        answer = await account.ask("POST", "token", data=form)
        assert (answer.status_code, answer.json()["error"]) == expected
    assert (await account.ask("POST", "token", json={**client, **refresh})).status_code == 400
    tokens = await account.control.grant()
    answer = await account.ask(
        "POST", "token", data={**client, **refresh, "refresh_token": tokens["refresh_token"]}
    )
    assert set(answer.json()) == {"access_token", "expires_in", "scope", "token_type"}
    assert answer.json()["expires_in"] == 3599


async def test_records_and_tokens_survive_a_restart(tmp_path: Any) -> None:
    async with SandboxServer(tmp_path) as server, SandboxControl(server.url, "google") as control:
        await control.seed(Contact=5, Event=5)
        tokens = await control.grant()
    async with (
        SandboxServer(tmp_path) as server,
        SandboxControl(server.url, "google") as control,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        answer = await http.get(f"{control.url}/{EVENTS}", headers=headers)
        assert len(answer.json()["items"]) == 5
        await control.reset()
        assert await control.counts() == {}
        assert (await http.get(f"{control.url}/{EVENTS}", headers=headers)).status_code == 401


# Events --------------------------------------------------------------------------------------------------


class Receiver:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[WebhookRequest] = []

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(WebhookRequest("reg-1", request.path, headers, await request.read()))
        return web.json_response({})


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    taken = Receiver()
    app = web.Application()
    app.add_routes([web.post("/{tail:.*}", taken.take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield taken, f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await runner.cleanup()


async def test_a_channels_notifications_are_verified_and_read(
    account: Account, receiver: tuple[Receiver, str]
) -> None:
    taken, url = receiver
    watch = {
        "id": "channel-1",
        "type": "web_hook",
        "address": "https://castiel.example.com/w",
        "token": "made-up-token",
    }
    assert (await account.ask("POST", f"{EVENTS}/watch", json=watch)).status_code == 200
    await account.control.send_event(url, channel_id="channel-1", state="sync")
    await account.control.send_event(url, channel_id="channel-1", count=2)
    first, second, again = taken.requests
    for request in taken.requests:
        verify(
            PRESETS["google-channel"], request.headers, request.body, [b"made-up-token"], datetime.now(UTC)
        )
    assert PROVIDER.webhooks.handshake(first) == {}
    assert PROVIDER.webhooks.handshake(second) is None
    delivery = PROVIDER.webhooks.parse(second)
    assert delivery.delivery_id == "channel-1:2"
    assert PROVIDER.webhooks.parse(again).delivery_id == delivery.delivery_id
    [event] = delivery.events
    assert (event.event_type, event.entity, event.external_id) == ("event.changed", "Event", None)


async def test_a_pubsub_push_is_verified_and_read(account: Account, receiver: tuple[Receiver, str]) -> None:
    taken, url = receiver
    private, public = await asyncio.to_thread(rsa_pair, "key-1")
    pem = private.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    email = "pusher@castiel-example.iam.gserviceaccount.com"
    sent = {"kind": "pubsub", "secret": pem, "audience": "https://castiel.example.com", "email": email}
    await account.control.send_event(url, delivery_id="42", **sent)
    [request] = taken.requests
    scheme = preset("google-pubsub", audiences=["https://castiel.example.com"], emails=[email])
    verify(scheme, request.headers, request.body, [public], datetime.now(UTC))
    delivery = PROVIDER.webhooks.parse(request)
    assert delivery.delivery_id == "42"
    [event] = delivery.events
    assert event.event_type == "mailbox.changed"
    assert event.changes["historyId"]
