"""The Google adapter with calendar events: passes, cancellations, batches with an answer per event."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from castiel.adapters.base import ExternalRecord
from castiel.adapters.google.events import event_id_for
from castiel.errors import (
    CursorExpired,
    OutcomeUnknown,
    PreconditionRejected,
    ProviderRateLimited,
    RecordNotFound,
    SchemaMismatch,
)
from tests.support.google import create, delete, google_adapter, meeting, update
from tests.support.providers import OpenGate, ProviderSandbox, pages_of, records_of, running_sandbox

pytestmark = pytest.mark.stack


@pytest.fixture
async def account() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("google") as sandbox:
        yield sandbox


async def read_all(account: ProviderSandbox) -> list[ExternalRecord]:
    return records_of(await pages_of(await google_adapter(account), "Event"))


# Fetch ---------------------------------------------------------------------------------------------------


async def test_a_full_pass_then_changes_and_cancellations(account: ProviderSandbox) -> None:
    await account.control.seed(Event=2600)
    adapter = await google_adapter(account)
    first = await pages_of(adapter, "Event")
    assert [len(page.records) for page in first] == [2500, 100]
    assert all(page.full_pass for page in first)
    ids = [record.external_id for record in records_of(first)]
    await account.control.edit("Event", ids[1], summary="Moved")
    await account.control.delete("Event", ids[2])
    pages = await pages_of(adapter, "Event", first[-1].cursor)
    found = {record.external_id: record for record in records_of(pages)}
    assert set(found) == {ids[1], ids[2]}
    assert found[ids[1]].fields["summary"] == "Moved"
    assert found[ids[2]].deleted
    assert not pages[0].full_pass
    assert records_of(await pages_of(adapter, "Event", pages[-1].cursor)) == []


async def test_a_record_is_the_event_without_its_envelope(account: ProviderSandbox) -> None:
    made = await account.control.create("Event", **meeting("Review"))
    [record] = await read_all(account)
    assert record.external_id == made["id"]
    assert record.fields["summary"] == "Review"
    assert record.fields["start"] == {"dateTime": "2026-12-01T09:00:00Z"}
    assert not {"id", "etag", "kind"} & set(record.fields)
    assert record.version
    assert record.modified_at


async def test_a_cursor_google_forgot_has_expired(account: ProviderSandbox) -> None:
    await account.control.seed(Event=3)
    adapter = await google_adapter(account)
    cursor = (await pages_of(adapter, "Event"))[-1].cursor
    await account.control.policy(sync_token_epoch=1)
    with pytest.raises(CursorExpired):
        await pages_of(adapter, "Event", cursor)
    await account.control.fault("status", status=410, code="gone")
    with pytest.raises(CursorExpired):
        await pages_of(adapter, "Event", (await pages_of(adapter, "Event", None))[-1].cursor)


async def test_a_cursor_of_another_calendar_has_expired(account: ProviderSandbox) -> None:
    cursor = (await pages_of(await google_adapter(account), "Event"))[-1].cursor
    other = await google_adapter(account, calendarId="integration@castiel.example.com")
    with pytest.raises(CursorExpired):
        await pages_of(other, "Event", cursor)
    unknown = await google_adapter(account, calendarId="nobody@example.com")
    with pytest.raises(RecordNotFound):
        await pages_of(unknown, "Event")


async def test_get_asks_in_batches(account: ProviderSandbox) -> None:
    await account.control.seed(Event=120)
    ids = [row["id"] for row in await account.control.records("Event")]
    await account.control.delete("Event", ids[0])
    gate = OpenGate()
    adapter = await google_adapter(account, gate)
    found = await adapter.get("Event", [*ids, "unknown0"])
    assert gate.operations == ["fetch"] * 3
    assert {event_id for event_id, record in found.items() if record.deleted} == {ids[0], "unknown0"}
    assert len(found) == 121
    assert list(await adapter.get("Event", [ids[1]])) == [ids[1]]


# Push ----------------------------------------------------------------------------------------------------


async def test_creates_are_batched_and_bear_the_shards_id(account: ProviderSandbox) -> None:
    gate = OpenGate()
    adapter = await google_adapter(account, gate)
    outcomes = await adapter.push("Event", [create(f"event-{n}", **meeting(f"M{n}")) for n in range(120)])
    assert [outcome.external_id for outcome in outcomes] == [event_id_for(f"event-{n}") for n in range(120)]
    assert all(outcome.ok and outcome.version for outcome in outcomes)
    assert gate.operations == ["create"] * 3


async def test_a_bad_event_fails_alone(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    records = [create(f"event-{n}", **meeting(f"M{n}")) for n in range(5)]
    records[2] = create("event-2", summary="No times")
    outcomes = await adapter.push("Event", records)
    assert [outcome.ok for outcome in outcomes] == [True, True, False, True, True]
    error = outcomes[2].error
    assert isinstance(error, SchemaMismatch)
    assert error.provider_code == "required"


async def test_a_create_is_not_repeated_after_a_lost_answer(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    records = [create(f"event-{n}", **meeting(f"M{n}")) for n in range(3)]
    await account.control.fault("drop_after", path="batch")
    outcomes = await adapter.push("Event", records)
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes)
    again = [create(f"event-{n}", retrying=True, **meeting(f"Again {n}")) for n in range(3)]
    outcomes = await adapter.push("Event", again)
    assert all(outcome.ok for outcome in outcomes)
    rows = await account.control.records("Event")
    assert sorted(row["summary"] for row in rows) == ["Again 0", "Again 1", "Again 2"]


async def test_an_event_that_was_deleted_outside_is_made_again(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    [made] = await adapter.push("Event", [create("event-1", **meeting("M"))])
    await account.control.delete("Event", made.external_id or "")
    [again] = await adapter.push("Event", [create("event-1", **meeting("M"))])
    assert again.ok
    assert again.external_id == made.external_id
    assert (await account.control.record("Event", made.external_id or ""))["status"] == "confirmed"


async def test_updates_change_what_they_name_and_are_conditional(account: ProviderSandbox) -> None:
    await account.control.seed(Event=3)
    adapter = await google_adapter(account)
    records = await read_all(account)
    await account.control.edit("Event", records[1].external_id, summary="Theirs")
    changes = [update(f"e-{n}", r.external_id, r.version, summary="Ours") for n, r in enumerate(records)]
    outcomes = await adapter.push("Event", changes)
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, PreconditionRejected)
    row = await account.control.record("Event", records[0].external_id)
    assert row["start"] == records[0].fields["start"]
    [unconditional] = await adapter.push("Event", [update("e-1", records[1].external_id, summary="Ours")])
    assert unconditional.ok
    [gone] = await adapter.push("Event", [update("e-9", "unknown0", summary="Ours")])
    assert isinstance(gone.error, RecordNotFound)


async def test_a_timed_event_becomes_one_of_whole_days(account: ProviderSandbox) -> None:
    made = await account.control.create("Event", **meeting("M"))
    adapter = await google_adapter(account)
    days = {
        "start": {"date": "2026-12-01", "dateTime": None},
        "end": {"date": "2026-12-02", "dateTime": None},
    }
    [outcome] = await adapter.push("Event", [update("e-1", made["id"], **days)])
    assert outcome.ok, outcome.error
    assert (await account.control.record("Event", made["id"]))["start"] == {"date": "2026-12-01"}


async def test_deletes_succeed_for_what_is_gone(account: ProviderSandbox) -> None:
    await account.control.seed(Event=60)
    ids = [row["id"] for row in await account.control.records("Event")]
    await account.control.delete("Event", ids[0])
    await account.control.fault("drop_after", path="batch")
    adapter = await google_adapter(account)
    outcomes = await adapter.delete("Event", [delete(event_id, event_id) for event_id in [*ids, "unknown0"]])
    assert all(outcome.ok for outcome in outcomes)
    assert (await account.control.counts())["Event"] == {"live": 0, "deleted": 60}


async def test_a_limit_inside_a_batch_is_the_events_own(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    await account.control.fault(
        "record_error", status=403, code="userRateLimitExceeded", method="create", times=1
    )
    outcomes = await adapter.push("Event", [create(f"event-{n}", **meeting(f"M{n}")) for n in range(3)])
    assert isinstance(outcomes[0].error, ProviderRateLimited)
    assert outcomes[1].ok
    assert outcomes[2].ok


async def test_a_token_that_ends_before_a_batch_is_replaced(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    await account.control.expire_access_tokens()
    outcomes = await adapter.push("Event", [create(f"event-{n}", **meeting(f"M{n}")) for n in range(3)])
    assert all(outcome.ok for outcome in outcomes)
    assert (await account.control.counts())["Event"]["live"] == 3


@pytest.mark.parametrize("kind", ["malformed", "truncated"])
async def test_an_unreadable_batch_answer_leaves_the_outcome_open(
    account: ProviderSandbox, kind: str
) -> None:
    adapter = await google_adapter(account)
    await account.control.fault(kind, path="batch")
    records = [create(f"event-{n}", **meeting(f"M{n}")) for n in range(3)]
    outcomes = await adapter.push("Event", records)
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes)
    assert all(outcome.ok for outcome in await adapter.push("Event", records))
    assert (await account.control.counts())["Event"]["live"] == 3
