"""The Notion adapter over the real HTTP layer against the sandboxed workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from castiel.adapters.base import Cursor
from castiel.errors import (
    AuthenticationFailed,
    ConfigurationError,
    CursorExpired,
    MalformedResponse,
    OutcomeUnknown,
    PermissionDenied,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)
from infra.local.sandbox.notion.ids import BOT_ID, COLLEAGUE_ID, CONTACTS_ID, PERSON_ID, TASKS_ID
from tests.support.notion import (
    ENTITY,
    MARKER,
    MINUTE_MS,
    Workspace,
    changed_page,
    gone_page,
    new_page,
    notion_workspace,
)

pytestmark = pytest.mark.stack

VERSIONS = ("2025-09-03", "2026-03-11")


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    async with notion_workspace() as found:
        yield found


def _ids(records: list[Any]) -> list[str]:
    return [record.external_id for record in records]


# Fetching -------------------------------------------------------------------------------------------------


async def test_a_first_pass_shows_every_page_in_order_of_its_last_change(workspace: Workspace) -> None:
    await workspace.control.seed(Page=250)

    records, last = await workspace.pass_of()

    assert set(_ids(records)) == {page["id"] for page in await workspace.control.records(ENTITY)}
    times = [record.modified_at for record in records]
    assert times == sorted(times)  # type: ignore[type-var]
    assert last.full_pass
    assert len(records) == 250


async def test_every_page_of_a_full_pass_says_that_it_is_one(workspace: Workspace) -> None:
    await workspace.control.seed(Page=120)
    pages = [page async for page in workspace.adapter().fetch(ENTITY, None)]
    assert len(pages) == 2
    assert all(page.full_pass for page in pages)


async def test_the_next_pass_shows_only_what_changed(workspace: Workspace) -> None:
    await workspace.control.seed(Page=150)
    _, first = await workspace.pass_of()
    victim = (await workspace.control.records(ENTITY))[3]["id"]
    await workspace.control.edit(ENTITY, victim, Company="Changed Ltd")

    records, last = await workspace.pass_of(first.cursor)

    changed = {record.external_id: record for record in records}
    assert changed[victim].fields["Company"] == "Changed Ltd"
    assert len(records) <= 4
    assert not last.full_pass


async def test_three_edits_in_one_minute_all_arrive(workspace: Workspace) -> None:
    page = await workspace.control.create(ENTITY, Name="Ada", Company="One")
    now_ms = (await workspace.control.set_clock())["nowMs"]
    await workspace.control.set_clock(advance_ms=MINUTE_MS - now_ms % MINUTE_MS)
    seen, cursor = [], None
    for company in ("Two", "Three", "Four"):
        await workspace.control.edit(ENTITY, page["id"], Company=company)
        records, last = await workspace.pass_of(cursor)
        cursor = last.cursor
        seen += [record.fields["Company"] for record in records]
        times = {record.modified_at for record in records}
        assert len(times) == 1
    assert seen == ["Two", "Three", "Four"]


async def test_a_settled_page_comes_once_more_at_most_and_unchanged(workspace: Workspace) -> None:
    await workspace.control.create(ENTITY, Name="Ada")
    await workspace.settle()
    first, page = await workspace.pass_of()
    again, _ = await workspace.pass_of(page.cursor)
    assert [dict(record.fields) for record in again] == [dict(record.fields) for record in first]


async def test_the_cursor_stays_two_minutes_behind_the_answer(workspace: Workspace) -> None:
    await workspace.control.create(ENTITY, Name="Ada")
    _, page = await workspace.pass_of()
    now = datetime.fromtimestamp((await workspace.control.set_clock())["nowMs"] / 1000, UTC)
    mark = datetime.fromisoformat(page.cursor["marks"][CONTACTS_ID])
    assert timedelta(minutes=2) <= now - mark < timedelta(minutes=3, seconds=5)


async def test_a_page_edited_during_a_pass_is_not_lost(workspace: Workspace) -> None:
    await workspace.control.seed(Page=230)
    order = [page["id"] for page in await workspace.control.records(ENTITY)]
    found: dict[str, Any] = {}
    number = 0
    async for page in workspace.adapter().fetch(ENTITY, None):
        found |= {record.external_id: record.fields.get("Company") for record in page.records}
        number += 1
        if number == 1:
            await workspace.control.edit(ENTITY, order[150], Company="Moved to the end")
            await workspace.control.edit(ENTITY, order[10], Company="Seen and moved")
    assert set(found) == set(order)
    assert found[order[150]] == "Moved to the end"
    assert found[order[10]] == "Seen and moved"


async def test_a_pass_goes_on_from_any_saved_page(workspace: Workspace) -> None:
    await workspace.control.seed(Page=320)
    everything = {page["id"] for page in await workspace.control.records(ENTITY)}
    seen: set[str] = set()
    cursor: Cursor | None = None
    while True:
        page = await anext(aiter(workspace.adapter().fetch(ENTITY, cursor)))
        seen |= set(_ids(list(page.records)))
        cursor = page.cursor
        assert page.full_pass
        if page.last:
            break
    assert seen == everything


async def test_a_minute_with_more_pages_than_an_answer_is_followed_to_its_end(workspace: Workspace) -> None:
    pages = await _crowded_minute(workspace, 250)
    records, _ = await workspace.pass_of()
    assert sorted(_ids(records)) == sorted(pages)


async def test_a_query_cursor_that_ended_costs_the_minute_only(workspace: Workspace) -> None:
    pages = await _crowded_minute(workspace, 250)
    first = await anext(aiter(workspace.adapter().fetch(ENTITY, None)))
    assert first.cursor["start"]
    await workspace.control.policy(cursor_seconds=0)
    await workspace.control.policy(cursor_seconds=3600)

    rest, last = await workspace.pass_of(first.cursor)

    assert set(_ids(list(first.records) + rest)) == set(pages)
    assert last.full_pass


async def test_the_limit_of_a_query_does_not_end_a_pass(workspace: Workspace) -> None:
    await workspace.control.policy(query_result_limit=40)
    await workspace.control.seed(Page=130)
    records, _ = await workspace.pass_of()
    assert len(set(_ids(records))) == 130


async def test_a_minute_beyond_the_limit_of_a_query_is_told(workspace: Workspace) -> None:
    await _crowded_minute(workspace, 120)
    await workspace.control.policy(query_result_limit=110)
    with pytest.raises(ProviderRejected, match="one minute"):
        await workspace.pass_of()


async def test_trashed_pages_are_missing_until_a_full_pass_comes_due(workspace: Workspace) -> None:
    await workspace.control.seed(Page=3)
    _, page = await workspace.pass_of()
    victim = (await workspace.control.records(ENTITY))[1]["id"]
    await workspace.control.delete(ENTITY, victim)
    await workspace.settle()

    records, page = await workspace.pass_of(page.cursor)
    assert victim not in _ids(records)
    assert not page.full_pass

    await workspace.settle(minutes=24 * 60)
    records, page = await workspace.pass_of(page.cursor)
    assert page.full_pass
    assert len(records) == 2
    assert victim not in _ids(records)

    _, page = await workspace.pass_of(page.cursor)
    assert not page.full_pass


async def test_full_passes_follow_their_setting(workspace: Workspace) -> None:
    await workspace.control.seed(Page=2)
    _, page = await workspace.pass_of()
    await workspace.settle(minutes=61)
    _, hourly = await workspace.pass_of(page.cursor, fullPassEveryHours=1)
    _, never = await workspace.pass_of(page.cursor, fullPassEveryHours=0)
    assert hourly.full_pass
    assert not never.full_pass


async def test_several_data_sources_are_one_pass(workspace: Workspace) -> None:
    await workspace.control.seed(Page=110, Task=20)
    both = [CONTACTS_ID, TASKS_ID.replace("-", "")]
    records, page = await workspace.pass_of(dataSourceId=both)
    assert len(set(_ids(records))) == 130
    assert set(page.cursor["marks"]) == {CONTACTS_ID, TASKS_ID}

    task = await workspace.control.create(ENTITY, dataSource=TASKS_ID, **{"Task name": "Call"})
    records, page = await workspace.pass_of(page.cursor, dataSourceId=both)
    assert task["id"] in _ids(records)

    # One that is added later is read whole; one that is left out is forgotten.
    _, only = await workspace.pass_of()
    records, _ = await workspace.pass_of(only.cursor, dataSourceId=both)
    assert len([r for r in records if "Task name" in r.fields]) == 21
    _, left = await workspace.pass_of(page.cursor)
    assert set(left.cursor["marks"]) == {CONTACTS_ID}


async def test_an_empty_data_source_is_a_pass_of_one_page(workspace: Workspace) -> None:
    records, page = await workspace.pass_of()
    assert records == []
    assert page.full_pass
    created = await workspace.control.create(ENTITY, Name="First")
    records, _ = await workspace.pass_of(page.cursor)
    assert _ids(records) == [created["id"]]


@pytest.mark.parametrize(
    "cursor", [{}, {"v": 7, "marks": {}}, {"v": 1, "marks": {"x": "soon"}}, {"v": 1, "marks": 3}]
)
async def test_a_strange_cursor_asks_for_a_full_pass(workspace: Workspace, cursor: Cursor) -> None:
    with pytest.raises(CursorExpired):
        await workspace.pass_of(cursor)


async def test_the_full_list_of_a_long_relation_is_read(workspace: Workspace) -> None:
    await workspace.control.seed(Task=130)
    tasks = [page["id"] for page in await workspace.control.records(ENTITY)]
    first = await workspace.control.create(ENTITY, Name="Busy", Tasks=tasks[:60])
    page = (await workspace.call("GET", f"/v1/pages/{first['id']}")).json()
    assert len(page["properties"]["Tasks"]["relation"]) == 25

    records, _ = await workspace.pass_of()

    assert records[0].fields["Tasks"] == tasks[:60]
    assert records[0].fields["Task count"] == 60


# Reading some ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_get_reads_now_and_tells_what_is_gone(workspace: Workspace, version: str) -> None:
    kept = await workspace.control.create(ENTITY, Name="Kept")
    trashed = await workspace.control.create(ENTITY, Name="Trashed")
    await workspace.control.delete(ENTITY, trashed["id"])
    other = await workspace.control.create(ENTITY, dataSource=TASKS_ID, **{"Task name": "Elsewhere"})
    unknown = "99999999-9999-4999-8999-999999999999"

    found = await workspace.adapter(notionVersion=version).get(
        ENTITY, [kept["id"], trashed["id"], other["id"], unknown, "no id at all"]
    )

    assert {key: record.deleted for key, record in found.items()} == {kept["id"]: False, trashed["id"]: True}


async def test_properties_become_plain_values(workspace: Workspace) -> None:
    task = await workspace.control.create(ENTITY, dataSource=TASKS_ID, **{"Task name": "Call"})
    page = await workspace.control.create(
        ENTITY,
        Name="Ada Lovelace",
        Email="ada@example.com",
        Phone="+44 20 0000",
        Company="Analytical Engines",
        Website="https://example.com",
        Status="Active",
        Kind="Customer",
        Tags=["vip", "event"],
        Score=7.5,
        Subscribed=True,
        Birthday="1815-12-10",
        **{"Next call": {"start": "2026-11-01T10:00:00+00:00", "end": "2026-11-01T11:00:00+00:00"}},
        Owner=[PERSON_ID],
        Tasks=[task["id"]],
        Files=["https://example.com/a.pdf"],
    )

    fields = (await workspace.adapter().get(ENTITY, [page["id"]]))[page["id"]].fields

    shown = {
        name: fields[name]
        for name in fields
        if name not in ("created_time", "last_edited_time", "Created", "Edited")
    }
    person = {"id": PERSON_ID, "name": "Christine Example", "email": "christine@example.com"}
    assert shown == {
        "id": page["id"],
        "url": f"https://www.notion.so/Ada-Lovelace-{page['id'].replace('-', '')}",
        "title": "Ada Lovelace",
        "Name": "Ada Lovelace",
        "Email": "ada@example.com",
        "Phone": "+44 20 0000",
        "Company": "Analytical Engines",
        "Role": None,
        "Website": "https://example.com",
        "Status": "Active",
        "Kind": "Customer",
        "Tags": ["vip", "event"],
        "Score": 7.5,
        "Subscribed": True,
        "Birthday": "1815-12-10",
        "Next call": {"start": "2026-11-01T10:00:00+00:00", "end": "2026-11-01T11:00:00+00:00"},
        "Notes": None,
        "Owner": [person],
        "Tasks": [task["id"]],
        "Task count": 1,
        "Label": "Ada Lovelace – Analytical Engines",
        "Files": [{"name": "https://example.com/a.pdf", "url": "https://example.com/a.pdf"}],
        "Number": "CRM-2",
        "Castiel ID": None,
        "Created by": person,
        "Edited by": person,
    }
    assert str(fields["created_time"]).endswith(":00.000Z")


# Writing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_create_update_and_trash(workspace: Workspace, version: str) -> None:
    adapter = workspace.adapter(notionVersion=version)
    fields = {
        "Email": "ada@example.com",
        "Phone": "+44 20 0000",
        "Company": "Engines",
        "Website": "https://example.com",
        "Status": "Lead",
        "Kind": "Customer",
        "Tags": ["vip", "brand new"],
        "Score": 3,
        "Subscribed": True,
        "Birthday": "1815-12-10",
        "Next call": {"start": "2026-11-01", "end": "2026-11-02"},
        "Owner": [COLLEAGUE_ID],
        "Files": ["https://example.com/a.pdf"],
    }
    (made,) = await adapter.push(ENTITY, [new_page("shard-1", **fields)])
    assert made.error is None
    assert made.external_id
    stored = await workspace.control.record(ENTITY, made.external_id)
    assert stored["Name"] == "Page shard-1"
    assert stored["Tags"] == ["vip", "brand new"]
    assert stored[MARKER] == "shard-1"
    assert made.fields is not None
    assert {name: made.fields[name] for name in fields if name not in ("Owner", "Files")} == {
        name: value for name, value in fields.items() if name not in ("Owner", "Files")
    }

    cleared = {name: None for name in fields if name != "Subscribed"}
    (changed,) = await adapter.push(
        ENTITY, [changed_page("shard-1", made.external_id, title="Renamed", **cleared)]
    )
    assert changed.error is None
    assert changed.fields is not None
    assert changed.fields["Name"] == "Renamed"
    assert {changed.fields[name] for name in cleared if name not in ("Tags", "Owner", "Files")} == {None}
    assert changed.fields["Tags"] == []
    assert changed.fields["Subscribed"] is True

    for _ in range(2):
        (gone,) = await adapter.delete(ENTITY, [gone_page("shard-1", made.external_id)])
        assert gone.error is None
    assert (await workspace.control.record(ENTITY, made.external_id))["deleted"]
    assert [c["origin"] for c in await workspace.control.changes()] == ["bot", "bot", "bot"]


async def test_deleting_what_never_was_succeeds(workspace: Workspace) -> None:
    gone = [gone_page("a", "99999999-9999-4999-8999-999999999999"), gone_page("b", "no id")]
    assert [outcome.error for outcome in await workspace.adapter().delete(ENTITY, gone)] == [None, None]


async def test_a_long_text_is_split_and_comes_back_whole(workspace: Workspace) -> None:
    text = "🜚" * 1500 + "x" * 5000
    (made,) = await workspace.adapter().push(ENTITY, [new_page("long", Notes=text)])
    assert made.error is None
    assert made.fields is not None
    assert made.fields["Notes"] == text
    (refused,) = await workspace.adapter().push(ENTITY, [new_page("longer", Notes="x" * 200_001)])
    assert isinstance(refused.error, SchemaMismatch)


async def test_each_record_fails_for_itself(workspace: Workspace) -> None:
    outcomes = await workspace.adapter().push(
        ENTITY,
        [
            new_page("good"),
            new_page("unknown", Nickname="Countess"),
            new_page("computed", **{"Task count": 3}),
            new_page("wrong", Score="many"),
            new_page("status", Status="No such status"),
            new_page("fine"),
        ],
    )
    errors = [outcome.error for outcome in outcomes]
    assert errors[0] is None
    assert errors[5] is None
    assert all(isinstance(error, SchemaMismatch) for error in errors[1:5])
    assert "Nickname" in str(errors[1])
    assert "Task count" in str(errors[2])
    assert "Countess" not in str(errors[1])
    assert "No such status" not in str(errors[4])


async def test_an_update_of_a_trashed_page_says_that_it_is_gone(workspace: Workspace) -> None:
    page = await workspace.control.create(ENTITY, Name="Ada")
    await workspace.control.delete(ENTITY, page["id"])
    missing = "99999999-9999-4999-8999-999999999999"
    updates = [changed_page("a", page["id"], Company="X"), changed_page("b", missing, Company="X")]
    outcomes = await workspace.adapter().push(ENTITY, updates)
    assert [type(outcome.error) for outcome in outcomes] == [RecordNotFound, RecordNotFound]


async def test_with_several_data_sources_a_page_is_written_by_its_own(workspace: Workspace) -> None:
    task = await workspace.control.create(ENTITY, dataSource=TASKS_ID, **{"Task name": "Call"})
    adapter = workspace.adapter(dataSourceId=[CONTACTS_ID, TASKS_ID])
    updated, created = await adapter.push(
        ENTITY, [changed_page("a", task["id"], State="Done"), new_page("b")]
    )
    assert updated.error is None
    assert created.external_id
    assert (await workspace.control.record(ENTITY, task["id"]))["State"] == "Done"
    assert (await workspace.control.record(ENTITY, created.external_id))["dataSource"] == CONTACTS_ID


@pytest.mark.parametrize(
    "fault", [{"kind": "drop_after"}, {"kind": "status", "status": 500, "processed": True}]
)
async def test_a_create_without_an_answer_is_found_again(workspace: Workspace, fault: dict[str, Any]) -> None:
    kind = fault.pop("kind")
    await workspace.control.fault(kind, method="POST", path="/v1/pages$", **fault)
    adapter = workspace.adapter()
    (lost,) = await adapter.push(ENTITY, [new_page("shard-1", Company="First")])
    assert isinstance(lost.error, OutcomeUnknown)

    (found,) = await adapter.push(ENTITY, [new_page("shard-1", retrying=True, Company="Second")])

    assert found.error is None
    pages = await workspace.control.records(ENTITY)
    assert [(page["id"], page["Company"]) for page in pages] == [(found.external_id, "Second")]


async def test_a_retried_create_that_never_arrived_is_made(workspace: Workspace) -> None:
    await workspace.control.fault("drop_before", method="POST", path="/v1/pages$")
    adapter = workspace.adapter()
    (lost,) = await adapter.push(ENTITY, [new_page("shard-1")])
    (made,) = await adapter.push(ENTITY, [new_page("shard-1", retrying=True)])
    assert isinstance(lost.error, OutcomeUnknown)
    assert made.error is None
    assert len(await workspace.control.records(ENTITY)) == 1


async def test_without_the_marker_property_a_lost_create_names_the_way_out(workspace: Workspace) -> None:
    await workspace.control.policy(hidden_properties=[MARKER])
    (made,) = await workspace.adapter().push(ENTITY, [new_page("plain")])
    (stuck,) = await workspace.adapter().push(ENTITY, [new_page("plain", retrying=True)])
    assert made.error is None
    assert isinstance(stuck.error, ConfigurationError)
    assert MARKER in str(stuck.error)
    (entity,) = await workspace.adapter().describe()
    assert MARKER in entity.label


async def test_a_refused_token_ends_the_batch(workspace: Workspace) -> None:
    adapter = workspace.adapter()
    await adapter.describe()
    await workspace.control.expire_access_tokens()
    await workspace.control.clear_calls()
    outcomes = await adapter.push(ENTITY, [new_page("a"), new_page("b"), new_page("c")])
    assert [type(outcome.error) for outcome in outcomes] == [AuthenticationFailed] * 3
    assert len(await workspace.control.calls()) == 2


# Errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "validation_error", SchemaMismatch),
        (400, "invalid_json", SchemaMismatch),
        (400, "missing_version", ProviderRejected),
        (401, "unauthorized", AuthenticationFailed),
        (403, "restricted_resource", PermissionDenied),
        (404, "object_not_found", RecordNotFound),
        (409, "conflict_error", ProviderUnavailable),
        (429, "rate_limited", ProviderRateLimited),
        (500, "internal_server_error", ProviderUnavailable),
        (503, "service_unavailable", ProviderUnavailable),
        (503, "database_connection_unavailable", ProviderUnavailable),
        (504, "gateway_timeout", ProviderUnavailable),
        (529, "service_overload", ProviderRateLimited),
    ],
)
async def test_errors_become_classes(
    workspace: Workspace, status: int, code: str, error: type[Exception]
) -> None:
    await workspace.control.fault("status", status=status, code=code, times=None, retry_after=7)
    with pytest.raises(error) as caught:
        await workspace.pass_of()
    assert caught.value.provider_code == code  # type: ignore[attr-defined]
    assert caught.value.retry_after == 7  # type: ignore[attr-defined]


async def test_a_rate_limit_is_told_to_the_limiter(workspace: Workspace) -> None:
    await workspace.control.policy(requests_per_minute=2)
    adapter = workspace.adapter()
    await adapter.check()
    await adapter.check()
    with pytest.raises(ProviderRateLimited) as caught:
        await adapter.check()
    assert 0 < (caught.value.retry_after or 0) <= 60
    assert workspace.gate.quotas[-1].retry_after == caught.value.retry_after


@pytest.mark.parametrize("kind", ["drop_after", "truncated"])
async def test_a_query_whose_answer_broke_off_is_asked_again(workspace: Workspace, kind: str) -> None:
    await workspace.control.seed(Page=5)
    await workspace.control.fault(kind, path="/query")
    records, _ = await workspace.pass_of()
    assert len(records) == 5


async def test_an_answer_that_is_no_json_can_be_asked_for_again(workspace: Workspace) -> None:
    await workspace.control.fault("malformed", path="/query")
    with pytest.raises(MalformedResponse):
        await workspace.pass_of()
    await workspace.pass_of()


# The rest -------------------------------------------------------------------------------------------------


async def test_describe_tells_types_options_and_what_can_be_written(workspace: Workspace) -> None:
    (entity,) = await workspace.adapter(dataSourceId=[CONTACTS_ID, TASKS_ID]).describe()
    kinds = {field.name: (field.type, field.writable) for field in entity.fields}
    assert entity.name == ENTITY
    assert "Tasks" in entity.label
    assert kinds["title"] == ("string", True)
    assert kinds["url"] == ("url", False)
    assert kinds["Email"] == ("email", True)
    assert kinds["Task count"][1] is False
    assert kinds["Created by"] == ("object", False)
    assert kinds["Due date"] == ("date", True)
    status = entity.field("Status")
    assert status is not None
    assert status.values == ("Lead", "Active", "Dormant")


async def test_check_names_workspace_and_bot(workspace: Workspace) -> None:
    health = await workspace.adapter().check()
    assert health.account == f"Example Works: Castiel (bot {BOT_ID})"


@pytest.mark.parametrize(
    "settings",
    [
        {"dataSourceId": None},
        {"dataSourceId": "contacts"},
        {"notionVersion": "2022-06-28"},
        {"fullPassEveryHours": "daily"},
    ],
)
async def test_settings_that_make_no_sense_are_named(workspace: Workspace, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        await workspace.pass_of({"v": 1, "marks": {}}, **settings)


async def test_another_entity_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="Page"):
        await workspace.adapter().get("Database", [])


async def _crowded_minute(workspace: Workspace, count: int) -> list[str]:
    """Pages that were all changed within one minute."""
    now_ms = (await workspace.control.set_clock())["nowMs"]
    await workspace.control.set_clock(advance_ms=MINUTE_MS - now_ms % MINUTE_MS)
    made = [await workspace.control.create(ENTITY, Name=f"Page {n}") for n in range(count)]
    assert len({page["modifiedMs"] // MINUTE_MS for page in made}) == 1
    return [page["id"] for page in made]
