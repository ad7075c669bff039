"""The receiver over fakes: who is let in, what becomes durable, and what happens when something is down."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from castiel.domain.connections import ConnectionStatus
from castiel.domain.messages import parse_inbound, parse_outbound
from castiel.domain.webhooks import WebhookAction
from castiel.services.webhooks.registrations import MISSES_PER_SOURCE, Recent
from tests.support.receiver import REGISTRATION, SECRET, TENANT, Door, callout, signed


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    yield door
    await door.pending.stop()
    await door.background.drained()
    await door.http.aclose()


async def test_a_delivery_is_queued_audited_and_told_of(door: Door) -> None:
    await door.plant()
    answer = await door.salesforce()
    assert (answer.status, answer.body["synced"]) == (200, True)
    [message] = door.outbound.bodies()
    assert (message["entityId"], message["deliveryId"]) == ("003000000000001AAA", "d-1")
    [audit] = door.audits()
    assert (audit.verified, audit.queued, audit.status, audit.secret_index) == (True, True, 200, 0)
    assert audit.source_ip == "203.0.113.7"
    await door.background.drained()
    assert [event.type for event in door.events.published] == ["castiel.webhook.received"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing_header"),
        ({"X-Salesforce-Content-SHA256": "zz"}, "malformed"),
        ({"X-Salesforce-Content-SHA256": "0" * 64}, "mismatch"),
    ],
)
async def test_a_refusal_is_audited_with_its_reason(door: Door, headers: dict[str, str], reason: str) -> None:
    await door.plant()
    answer = await door.post(callout(), headers)
    assert (answer.status, answer.body["error"]) == (401, "signature verification failed")
    [audit] = door.audits()
    assert (audit.reason, audit.verified, audit.delivery_id) == (reason, False, None)
    assert door.outbound.sent == []


async def test_a_registration_without_a_secret_accepts_nothing(door: Door) -> None:
    await door.plant(secret_names=[])
    assert (await door.salesforce(secret="")).status == 401
    await door.registrations.replace(
        (await door.registrations.get(REGISTRATION)).model_copy(update={"secret_names": ["gone"]})
    )
    door.start()
    assert (await door.salesforce()).status == 401
    assert {audit.reason for audit in door.audits()} == {"no_secret"}


async def test_a_scheme_that_can_not_be_read_refuses(door: Door) -> None:
    await door.plant(scheme={"algorithm": "nobody-knows"})
    assert (await door.salesforce()).status == 401
    assert door.audits()[0].reason == "unconfigured"


async def test_the_secret_before_the_newest_is_accepted_and_shown(door: Door) -> None:
    await door.vault.set("newer", "another-made-up-secret")
    await door.plant(secret_names=["newer", "hook-secret"])
    assert (await door.salesforce()).status == 200
    assert door.audits()[0].secret_index == 1


async def test_a_secret_that_was_just_rotated_is_read_again(door: Door) -> None:
    await door.plant()
    await door.salesforce("d-1")
    await door.vault.set("hook-secret", "rotated-made-up-secret")
    assert (await door.salesforce("d-2", "rotated-made-up-secret")).status == 401
    door.clock.advance(6)
    assert (await door.salesforce("d-2", "rotated-made-up-secret")).status == 200


async def test_a_duplicate_takes_no_effect(door: Door) -> None:
    await door.plant()
    assert [(await door.salesforce()).status for _ in range(3)] == [200, 200, 200]
    assert len(door.outbound.sent) == 1
    assert [(audit.delivery_id, audit.duplicate, audit.queued) for audit in door.audits()] == [
        ("d-1", False, True),
        ("d-1", True, False),
        ("d-1", True, False),
    ]


async def test_two_copies_at_once_converge(door: Door) -> None:
    await door.plant()
    answers = await asyncio.gather(*(door.salesforce() for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    assert (len(door.outbound.sent), len(door.audits())) == (1, 1)


async def test_without_redis_the_audit_judges_across_midnight(door: Door) -> None:
    await door.plant()
    door.marks.down = True
    await door.salesforce()
    door.outbound.sent.clear()
    midnight = (door.clock.now() + timedelta(days=1)).replace(hour=0, minute=5)
    door.clock.advance((midnight - door.clock.now()).total_seconds())
    assert (await door.salesforce()).status == 200
    assert door.outbound.sent == []
    assert (await door.salesforce("d-2")).status == 200
    assert len(door.outbound.sent) == 1


async def test_a_redis_that_came_back_empty_is_not_trusted_for_a_day(door: Door) -> None:
    await door.plant()
    await door.salesforce("d-1")
    door.outbound.sent.clear()
    door.marks.values.clear()
    door.clock.advance(3_600)
    assert (await door.salesforce("d-1")).status == 200
    assert door.outbound.sent == [], "the audit knows it"
    await door.salesforce("d-2")
    assert len(door.outbound.sent) == 1


async def test_marks_that_were_missed_while_redis_was_gone_are_looked_for_in_the_audit(door: Door) -> None:
    await door.plant()
    await door.salesforce("before")
    door.clock.advance(90_000)
    door.marks.down = True
    await door.salesforce("d-1")
    door.marks.down = False
    door.clock.advance(10)
    await door.salesforce("d-2")
    door.outbound.sent.clear()
    door.start()
    assert {(await door.salesforce(name)).status for name in ("d-1", "d-2")} == {200}
    assert door.outbound.sent == []


async def test_once_the_marks_are_complete_the_audit_is_not_asked(door: Door) -> None:
    await door.plant()
    asked: list[str] = []
    find, listing = door.audit.find, door.audit.of_registration

    async def counted(registration_id: str, received_on: str, audit_id: str) -> Any:
        asked.append("find")
        return await find(registration_id, received_on, audit_id)

    def listed(*arguments: Any) -> Any:
        asked.append("list")
        return listing(*arguments)

    door.audit.find, door.audit.of_registration = counted, listed  # type: ignore[method-assign]
    for number in range(3):
        await door.salesforce(f"new-{number}")
    assert asked == ["list"], "nothing came before the marks begin"
    door.marks.values.clear()
    door.clock.advance(60)
    await door.salesforce("after-a-loss")
    assert asked == ["list", "list", "find", "find"], "today's record, or yesterday's"
    door.clock.advance(86_401)
    await door.salesforce("a-day-later")
    assert len(asked) == 4


async def test_what_arrives_together_is_one_batch(door: Door) -> None:
    await door.plant()
    answers = await asyncio.gather(*(door.salesforce(f"d-{n}") for n in range(64)))
    assert {answer.status for answer in answers} == {200}
    assert sum(door.outbound.batches) == 64
    assert len(door.outbound.batches) <= 4


async def test_while_the_queue_is_down_the_audit_holds_the_event(door: Door) -> None:
    await door.plant()
    door.outbound.down = True
    assert (await door.salesforce()).status == 200
    [held] = door.audits()
    assert (held.queued, held.pending, len(held.pending_messages)) == (False, True, 1)
    assert (await door.salesforce()).status == 200, "a duplicate of what is held"
    await door.pending.stop()
    door.outbound.down = False
    assert await door.pending.sweep() == 1
    assert parse_outbound(door.outbound.sent[0].body.encode()).correlation_id == held.correlation_id
    sent, _ = door.audits()
    assert (sent.queued, sent.pending, sent.pending_messages) == (True, None, [])
    assert await door.pending.sweep() == 0


async def test_the_receiver_queues_what_it_holds_by_itself(door: Door) -> None:
    await door.plant()
    door.outbound.down = True
    await door.salesforce()
    door.outbound.down = False
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(door.outbound.sent) == 1


async def test_with_queue_and_store_down_the_sender_is_told_to_come_again(door: Door) -> None:
    await door.plant()
    await door.salesforce("before")
    door.outbound.down = door.audit.down = True
    answer = await door.salesforce("d-2")
    assert (answer.status, answer.body) == (503, {"success": False, "error": "temporarily unavailable"})
    door.outbound.down = door.audit.down = False
    door.clock.advance(6)
    assert (await door.salesforce("d-2")).status == 200
    assert [body["deliveryId"] for body in door.outbound.bodies()] == ["before", "d-2"]


async def test_an_event_in_the_queue_is_durable_without_its_audit(door: Door) -> None:
    await door.plant()
    await door.salesforce("before")
    door.audit.down = door.registrations.down = True
    door.clock.advance(31)
    assert (await door.salesforce("d-2")).status == 200
    assert len(door.outbound.sent) == 2


async def test_large_changes_stay_in_the_audit(door: Door) -> None:
    await door.plant()
    body = callout(changes={"Description": "x" * 400_000})
    assert (await door.post(*signed(body))).status == 200
    [message] = door.outbound.bodies()
    [audit] = door.audits()
    assert message["changes"] == {}
    assert message["changesReference"] == f"webhook-audit/{REGISTRATION}/{audit.received_on}/{audit.id}"
    assert gzip.decompress(base64.b64decode(audit.payload)) == body


async def test_a_body_over_the_limit_is_refused_by_its_announced_size_too(door: Door) -> None:
    await door.plant(max_body_bytes=100)
    assert (await door.post(b"x" * 101)).status == 413
    assert (await door.post(b"", {"Content-Length": "101"})).status == 413
    assert (await door.post(b"", {"Content-Length": "9" * 400})).status == 401


async def test_the_rate_limit_costs_one_record_a_minute(door: Door) -> None:
    await door.plant(rate_limit_per_minute=2)
    answers = [await door.salesforce(f"d-{n}") for n in range(20)]
    assert [answer.status for answer in answers] == [200, 200] + [429] * 18
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert [audit.reason for audit in door.audits() if audit.status == 429] == ["rate_limited"]


async def test_unknown_and_paused_registrations_look_alike(door: Door) -> None:
    await door.plant()
    await door.manage.pause(TENANT, REGISTRATION)
    paused = await door.salesforce()
    unknown = await door.post(callout(), registration="wh-nobody")
    far_too_long = await door.post(callout(), registration="x" * 5000)
    assert paused == unknown == far_too_long
    assert (unknown.status, unknown.body) == (404, {"success": False, "error": "registration not found"})
    assert door.audits() == []
    await door.manage.resume(TENANT, REGISTRATION)
    assert (await door.salesforce()).status == 200


async def test_a_few_deleted_registrations_cost_the_others_of_their_sender_nothing(door: Door) -> None:
    """A provider goes on sending to what was deleted here alone, from the addresses of all its webhooks."""
    await door.plant()
    for _ in range(11):
        for number in range(12):
            assert (await door.post(callout(), registration=f"wh-deleted-{number}")).status == 404
        door.clock.advance(5)
    assert (await door.salesforce()).status == 200


async def test_guessing_ids_stops_costing_reads(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.plant()
    reads: list[str] = []
    read = door.registrations.get

    async def counted(registration_id: str) -> Any:
        reads.append(registration_id)
        return await read(registration_id)

    monkeypatch.setattr(door.registrations, "get", counted)
    for _ in range(10):
        await door.post(b"", registration="wh-same")
    assert len(reads) == 1
    answers = [await door.post(b"", registration=f"wh-{n}") for n in range(300)]
    assert len(reads) == MISSES_PER_SOURCE
    assert {answer.status for answer in answers} == {404, 429}
    door.clock.advance(61)
    assert (await door.salesforce()).status == 200


def test_a_bounded_memory_forgets_what_was_not_used_for_longest() -> None:
    recent: Recent[int, int] = Recent(2)
    recent.put(1, 1)
    recent.put(2, 2)
    assert recent.get(1) == 1
    recent.put(3, 3)
    assert [recent.get(key) for key in (1, 2, 3)] == [1, None, 3]


async def test_github_s_ping_is_answered_and_queues_nothing(door: Door) -> None:
    await door.plant("github")
    body = b'{"zen": "Design for failure."}'
    signature = "sha256=" + hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    headers = {"X-GitHub-Event": "ping", "X-GitHub-Delivery": "g-1", "X-Hub-Signature-256": signature}
    answer = await door.post(body, headers)
    assert (answer.status, answer.body) == (200, {"success": True, "event": "ping"})
    assert door.audits()[0].reason == "handshake"
    assert (door.inbound.sent, door.outbound.sent) == ([], [])


async def test_slack_s_challenge_is_answered_only_when_it_is_signed(door: Door) -> None:
    await door.plant("slack")
    body = json.dumps({"type": "url_verification", "challenge": "made-up", "token": "old"}).encode()
    assert (await door.post(body)).status == 401
    stamp = str(int(door.clock.now().timestamp()))
    digest = hmac.digest(SECRET.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hex()
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}
    answer = await door.post(body, headers)
    assert (answer.status, answer.body) == (200, {"challenge": "made-up"})
    door.clock.advance(301)
    assert (await door.post(body, headers)).status == 401
    assert door.audits()[-1].reason == "expired"


async def test_notion_s_token_is_taken_once_and_only_when_it_is_awaited(door: Door) -> None:
    await door.plant("notion", secret_names=[])
    offer = json.dumps({"verification_token": "made-up-token"}).encode()
    assert (await door.post(offer)).status == 401
    await door.manage.reopen(TENANT, REGISTRATION)
    door.start()
    answers = await asyncio.gather(door.post(offer), door.post(offer.replace(b"made-up", b"another")))
    assert sorted(answer.status for answer in answers) == [200, 401]
    registration = await door.registrations.get(REGISTRATION)
    assert not registration.pending_verification
    [name] = registration.secret_names
    taken = (await door.vault.get(name)).value
    assert taken in ("made-up-token", "another-token")
    assert (await door.post(json.dumps({"verification_token": "a-third"}).encode())).status == 401
    assert (await door.registrations.get(REGISTRATION)).secret_names == [name]


CHANNEL = {
    "X-Goog-Channel-ID": "channel-1",
    "X-Goog-Channel-Token": SECRET,
    "X-Goog-Resource-State": "exists",
    "X-Goog-Resource-URI": "https://www.googleapis.com/calendar/v3/calendars/primary/events",
}


async def test_a_notice_that_names_no_record_asks_for_what_has_changed_once(door: Door) -> None:
    await door.plant("google")
    sync = await door.post(b"", {**CHANNEL, "X-Goog-Resource-State": "sync", "X-Goog-Message-Number": "1"})
    assert sync.status == 200
    for number in ("2", "3", "4"):
        answer = await door.post(b"", {**CHANNEL, "X-Goog-Message-Number": number})
        assert (answer.status, answer.body["synced"]) == (200, True)
    [sent] = door.inbound.sent
    message = parse_inbound(sent.body.encode())
    assert (message.entity, message.external_ids, message.task_id) == ("Event", [], None)
    assert sent.due is not None
    assert timedelta(0) < sent.due - door.clock.now() <= timedelta(seconds=6)
    assert door.outbound.sent == []
    door.clock.advance(6)
    await door.post(b"", {**CHANNEL, "X-Goog-Message-Number": "5"})
    assert len(door.inbound.sent) == 2


async def test_a_pull_registration_pulls_the_record(door: Door) -> None:
    await door.plant(action=WebhookAction.PULL)
    await door.salesforce()
    [message] = [parse_inbound(sent.body.encode()) for sent in door.inbound.sent]
    assert (message.entity, message.external_ids) == ("Contact", ["003000000000001AAA"])
    assert message.deletions == {}


async def test_a_pull_registration_says_of_a_deleted_record_that_it_was_deleted(door: Door) -> None:
    await door.plant(action=WebhookAction.PULL)
    await door.salesforce(event="contact.deleted", occurredAt="2025-12-10T12:59:00Z")
    [message] = [parse_inbound(sent.body.encode()) for sent in door.inbound.sent]
    assert message.external_ids == ["003000000000001AAA"]
    assert message.deletions == {"003000000000001AAA": datetime(2025, 12, 10, 12, 59, tzinfo=UTC)}


@pytest.mark.parametrize("changes", [{"action": WebhookAction.NONE}, {"events": ["account.*"]}])
async def test_what_is_not_wanted_is_audited_only(door: Door, changes: dict[str, Any]) -> None:
    await door.plant(**changes)
    answer = await door.salesforce()
    assert (answer.status, answer.body["synced"]) == (200, False)
    assert (door.outbound.sent, len(door.audits()), door.audits()[0].queued) == ([], 1, False)


async def test_a_change_of_very_many_records_is_one_look_at_the_entity(door: Door) -> None:
    await door.plant()
    ids = [f"003{number:012d}" for number in range(500)]
    header = {"entityName": "Contact", "changeType": "UPDATE", "recordIds": ids}
    body = json.dumps({"deliveryId": "many", "payload": {"ChangeEventHeader": header, "Title": "x"}}).encode()
    assert (await door.post(*signed(body))).status == 200
    assert (len(door.inbound.sent), len(door.outbound.sent)) == (1, 0)
    assert door.audits()[0].events == 500


@pytest.mark.parametrize(
    ("event", "action", "status"),
    [
        ("installation", "deleted", ConnectionStatus.NEEDS_REAUTH),
        ("github_app_authorization", "revoked", ConnectionStatus.NEEDS_REAUTH),
        ("installation", "suspend", ConnectionStatus.PAUSED),
    ],
)
async def test_lifecycle_events_mark_the_connection(
    door: Door, event: str, action: str, status: ConnectionStatus
) -> None:
    await door.plant("github")
    assert (await _github(door, event, action, "g-1")).status == 200
    assert (await _github(door, event, action, "g-2")).status == 200
    assert (await door.connections.get(TENANT, "conn-1")).status is status
    assert (door.inbound.sent, door.outbound.sent) == ([], [])
    await door.background.drained()
    told = [e.type for e in door.events.published].count("castiel.credential.reauth_required")
    assert told == (1 if status is ConnectionStatus.NEEDS_REAUTH else 0)


async def test_what_the_provider_suspended_it_resumes_and_nothing_else(door: Door) -> None:
    await door.plant("github")
    await _github(door, "installation", "suspend", "g-1")
    await _github(door, "installation", "unsuspend", "g-2")
    connection = await door.connections.get(TENANT, "conn-1")
    assert connection.status is ConnectionStatus.ACTIVE
    connection.status = ConnectionStatus.PAUSED
    await door.connections.replace(connection)
    await _github(door, "installation", "unsuspend", "g-3")
    assert (await door.connections.get(TENANT, "conn-1")).status is ConnectionStatus.PAUSED


async def _github(door: Door, event: str, action: str, delivery: str) -> Any:
    body = json.dumps({"action": action, "installation": {"id": 1}}).encode()
    signature = "sha256=" + hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature}
    return await door.post(body, headers)


async def test_a_forged_delivery_while_the_vault_is_down_forgets_no_secret(door: Door) -> None:
    await door.plant()
    assert (await door.salesforce("d-1")).status == 200
    door.clock.advance(10)
    door.vault.down = True
    assert (await door.salesforce("d-2", "not the secret")).status == 401
    assert (await door.salesforce("d-3")).status == 200


async def test_a_forged_delivery_for_what_was_just_deleted_is_no_error_of_ours(door: Door) -> None:
    registration = await door.plant()
    assert (await door.salesforce("d-1")).status == 200
    await door.registrations.delete(registration)
    door.clock.advance(10)
    assert (await door.salesforce("d-2", "not the secret")).status == 401
