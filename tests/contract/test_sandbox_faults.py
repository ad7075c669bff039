"""Faults, journal, seed and outgoing events: what the control API promises to tests."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web

from tests.support.sandbox import Org, code_of, salesforce_org

pytestmark = pytest.mark.stack
COUNT = "SELECT COUNT() FROM Account"


@pytest.fixture
async def org() -> AsyncIterator[Org]:
    async with salesforce_org() as found:
        yield found


async def test_status_for_the_next_calls_after_some(org: Org) -> None:
    await org.control.fault("status", status=503, times=2, skip=1, retry_after=7, path="/query")
    answers = [await org.query(COUNT) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert code_of(answers[1]) == (503, "SERVER_UNAVAILABLE")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"status": 401}, (401, "INVALID_SESSION_ID")),
        ({"status": 403}, (403, "REQUEST_LIMIT_EXCEEDED")),
        ({"status": 500, "code": "UNKNOWN_EXCEPTION"}, (500, "UNKNOWN_EXCEPTION")),
        ({"status": 400, "code": "DUPLICATES_DETECTED"}, (400, "DUPLICATES_DETECTED")),
    ],
)
async def test_errors_have_the_providers_shape(
    org: Org, options: dict[str, object], expected: tuple[int, str]
) -> None:
    await org.control.fault("status", **options)
    assert code_of(await org.query(COUNT)) == expected


async def test_429_comes_without_a_body(org: Org) -> None:
    await org.control.fault("status", status=429)
    answer = await org.query(COUNT)
    assert (answer.status_code, answer.content) == (429, b"")


async def test_dropped_before_and_after_the_write(org: Org) -> None:
    url = f"{org.data}/sobjects/Account"
    for kind, stored in (("drop_before", 0), ("drop_after", 1)):
        await org.control.fault(kind, method="POST")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await org.http.post(url, json={"Name": kind})
        assert len(await org.control.records("Account")) == stored
    calls = await org.control.calls(status=0)
    assert [(call["method"], call["fault"]) for call in calls] == [
        ("POST", "drop_before"),
        ("POST", "drop_after"),
    ]


async def test_an_error_that_hides_a_write(org: Org) -> None:
    await org.control.fault("status", status=500, processed=True)
    assert (await org.http.post(f"{org.data}/sobjects/Account", json={"Name": "A"})).status_code == 500
    assert len(await org.control.records("Account")) == 1


async def test_spoilt_bodies(org: Org) -> None:
    await org.control.fault("malformed")
    with pytest.raises(ValueError):
        (await org.query(COUNT)).json()
    await org.control.fault("truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        await org.query(COUNT)
    await org.control.fault("huge")
    assert len((await org.query(COUNT)).content) == 10 * 1024 * 1024
    assert (await org.query(COUNT)).json()["totalSize"] == 0


async def test_slow_adds_to_another_fault(org: Org) -> None:
    await org.control.fault("slow", delay_ms=150)
    await org.control.fault("status", status=503)
    started = time.monotonic()
    assert (await org.query(COUNT)).status_code == 503
    assert time.monotonic() - started >= 0.15


async def test_a_share_of_calls_is_repeatable(org: Org) -> None:
    async def play() -> list[int]:
        await org.control.clear_faults()
        await org.control.fault("status", status=503, share=0.3, seed=11, times=None)
        return [(await org.query(COUNT)).status_code for _ in range(40)]

    first = await play()
    assert 4 <= first.count(503) <= 20
    assert await play() == first


async def test_journal(org: Org) -> None:
    await org.query(COUNT)
    await org.http.get(f"{org.data}/limits")
    (call,) = await org.control.calls(method="GET", path=r"/query\?q=SELECT")
    assert (call["path"], call["status"]) == ("/services/data/v62.0/query", 200)
    assert abs(call["atMs"] - time.time() * 1000) < 60_000
    assert [c["path"][-6:] for c in await org.control.calls(since=call["seq"])] == ["limits"]


async def test_seed_is_repeatable_and_spread(org: Org) -> None:
    async def made() -> list[tuple[str, str, str]]:
        await org.control.reset()
        await org.control.seed(Account=20, Contact=60)
        return [(r["Id"], r["Name"], r["Email"]) for r in await org.control.records("Contact")]

    before = {row[0]: row[1:] for row in await made()}
    assert {row[0]: row[1:] for row in await made()} == before
    contacts = await org.control.records("Contact")
    stamps = [contact["modifiedMs"] for contact in contacts]
    now = time.time() * 1000
    assert len(set(stamps)) == 60
    assert now - 31 * 86_400_000 < min(stamps) < max(stamps) <= now - 3_590_000
    accounts = {account["Id"] for account in await org.control.records("Account")}
    assert {contact["AccountId"] for contact in contacts} <= accounts
    assert all(contact["Email"].endswith("@example.com") for contact in contacts)


async def test_out_of_band_edits_and_their_refusal(org: Org) -> None:
    made = await org.control.create("Contact", LastName="Lovelace")
    await org.control.set_clock(advance_ms=60_000)
    edited = await org.control.edit("Contact", made["Id"], Phone="+441632960000")
    assert edited["modifiedMs"] >= made["modifiedMs"] + 59_000
    gone = await org.control.delete("Contact", made["Id"])
    assert gone["deleted"] is True
    assert await org.control.counts() == {"Contact": {"live": 0, "deleted": 1}}
    with pytest.raises(httpx.HTTPStatusError, match="REQUIRED_FIELD_MISSING"):
        await org.control.create("Contact", FirstName="Ada")
    with pytest.raises(httpx.HTTPStatusError, match="no setting"):
        await org.control.policy(colour="blue")


async def test_record_faults_spare_out_of_band_writes(org: Org) -> None:
    await org.control.fault("record_error", code="UNABLE_TO_LOCK_ROW", method="create")
    await org.control.create("Account", Name="By hand")
    refused = await org.http.post(f"{org.data}/sobjects/Account", json={"Name": "By the API"})
    assert code_of(refused) == (400, "UNABLE_TO_LOCK_ROW")
    assert await org.names("Name != null") == ["By hand"]


async def test_reset_forgets_everything(org: Org) -> None:
    await org.control.policy(unique_external_ids=False)
    await org.control.seed(Account=3)
    await org.control.fault("status", status=503)
    await org.control.reset()
    assert await org.control.counts() == {}
    assert (await org.control.policy())["uniqueExternalIds"] is True
    assert code_of(await org.query(COUNT)) == (401, "INVALID_SESSION_ID")
    for expected in (True, False):
        await org.control.reset()
        org.use((await org.control.grant())["access_token"])
        await org.control.policy(unique_external_ids=expected)
        await org.create("Contact", LastName="A", Castiel_Id__c="x")
        twin = await org.http.post(
            f"{org.data}/sobjects/Contact", json={"LastName": "B", "Castiel_Id__c": "x"}
        )
        assert (twin.status_code == 400) is expected


async def test_outgoing_event_is_signed_over_the_body(org: Org) -> None:
    received: list[tuple[bytes, str]] = []

    async def receive(request: web.Request) -> web.Response:
        received.append((await request.read(), request.headers["X-Salesforce-Content-SHA256"]))
        return web.Response(status=202, text="taken")

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        sent = await org.control.send_event(
            url,
            secret="made-up-secret",
            entity="Contact",
            id="003gL0000000001AAA",
            changes={"Email": "a@example.com"},
        )
    finally:
        await runner.cleanup()
    ((body, signature),) = received
    assert (sent["status"], sent["body"]) == (202, "taken")
    assert signature == hmac.new(b"made-up-secret", body, hashlib.sha256).hexdigest()
    assert sent["event"]["event"] == "contact.updated"
    assert sent["event"]["changedFields"] == ["Email"]
    assert sent["event"]["occurredAt"].endswith("Z")


async def test_a_pattern_for_a_method_is_refused_since_it_would_never_match(org: Org) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await org.control.fault("drop_after", method="(POST|PATCH)")
    assert refused.value.response.status_code == 400
    assert await org.control.faults() == []
