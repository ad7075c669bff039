"""The Salesforce adapter reads a sandboxed org: whole, incrementally, interrupted, and while it is edited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from castiel.adapters.base import Adapter, Cursor, ExternalRecord, Page
from castiel.adapters.http import AccessToken
from castiel.adapters.salesforce import PROVIDER
from castiel.adapters.salesforce.moments import moment_text, parse_moment
from castiel.errors import (
    AuthenticationFailed,
    ConfigurationError,
    CursorExpired,
    MalformedResponse,
    PermissionDenied,
    ProviderRateLimited,
    ProviderUnavailable,
    SchemaMismatch,
)
from tests.support.providers import (
    OpenGate,
    ProviderSandbox,
    StaticAuthorizer,
    adapter_for,
    pages_of,
    records_of,
    running_sandbox,
)

pytestmark = pytest.mark.stack


@pytest.fixture
async def org() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("salesforce") as sandbox:
        yield sandbox


async def authorizer(org: ProviderSandbox) -> StaticAuthorizer:
    """A session that is replaced by a new one when it is refused."""

    async def renew() -> AccessToken:
        granted = await org.control.grant()
        return StaticAuthorizer(granted["access_token"], granted["instance_url"]).token

    first = await renew()
    return StaticAuthorizer(first.value.get_secret_value(), first.instance_url, renew)


async def adapter(org: ProviderSandbox, gate: OpenGate | None = None, **settings: Any) -> Adapter:
    return adapter_for(PROVIDER, org, await authorizer(org), gate=gate, **{"pageSize": 200, **settings})


def ids(records: list[ExternalRecord]) -> list[str]:
    return [record.external_id for record in records]


async def stored_stamps(org: ProviderSandbox, entity: str) -> list[str]:
    return [record["SystemModstamp"] for record in await org.control.records(entity, limit=5000)]


async def test_a_first_pass_shows_every_record_once_oldest_change_first(org: ProviderSandbox) -> None:
    await org.control.seed(Account=20, Contact=450)
    pages = await pages_of(await adapter(org), "Contact")
    records = records_of(pages)
    assert [len(page.records) for page in pages] == [200, 200, 50]
    assert [page.last for page in pages] == [False, False, True]
    assert len(set(ids(records))) == 450
    assert [record.version for record in records] == await stored_stamps(org, "Contact")
    sample = records[7]
    kept = await org.control.record("Contact", sample.external_id)
    assert sample.fields["LastName"] == kept["LastName"]
    assert "attributes" not in sample.fields
    assert sample.modified_at == parse_moment(kept["SystemModstamp"])
    assert not sample.deleted


async def test_the_last_cursor_is_the_newest_modstamp_as_it_was_printed(org: ProviderSandbox) -> None:
    await org.control.seed(Account=120)
    [page] = await pages_of(await adapter(org), "Account")
    newest = (await org.control.records("Account"))[-1]
    assert page.cursor == {"modstamp": newest["SystemModstamp"], "id": newest["id"]}


async def test_a_pass_goes_on_from_any_cursor_without_loss_or_repetition(org: ProviderSandbox) -> None:
    await org.control.seed(Contact=700)
    whole = await pages_of(await adapter(org), "Contact")
    expected = ids(records_of(whole))
    for stop in range(1, len(whole)):
        seen = ids(records_of(whole[:stop]))
        rest = await pages_of(await adapter(org), "Contact", whole[stop - 1].cursor)
        assert seen + ids(records_of(rest)) == expected
        assert rest[-1].cursor == whole[-1].cursor


async def test_more_records_of_one_second_than_fit_a_page_are_told_apart_by_id(org: ProviderSandbox) -> None:
    await org.control.seed(Contact=450)
    reader = await adapter(org)
    for record in await org.control.records("Contact"):
        await org.control.delete("Contact", record["id"])
    await org.control.set_clock(advance_ms=5_000)
    whole = await pages_of(reader, "Contact")
    assert len({record.version for record in records_of(whole)}) < 60
    seen: list[str] = []
    cursor: Cursor | None = None
    for _ in whole:
        page = await first_page(await adapter(org), "Contact", cursor)
        seen += ids(list(page.records))
        cursor = page.cursor
    assert seen == ids(records_of(whole))


async def first_page(reader: Adapter, entity: str, cursor: Cursor | None = None) -> Page:
    async for page in reader.fetch(entity, cursor):
        return page
    raise AssertionError("no page")


async def test_the_next_pass_shows_what_changed_and_what_was_deleted(org: ProviderSandbox) -> None:
    await org.control.seed(Account=5, Contact=300)
    reader = await adapter(org)
    cursor = (await pages_of(reader, "Contact"))[-1].cursor
    edited, deleted = (await org.control.records("Contact", limit=2))[:2]
    await org.control.edit("Contact", edited["id"], Title="Countess")
    await org.control.delete("Contact", deleted["id"])
    created = await org.control.create("Contact", LastName="King")
    found = {record.external_id: record for record in records_of(await pages_of(reader, "Contact", cursor))}
    assert found[edited["id"]].fields["Title"] == "Countess"
    assert found[deleted["id"]].deleted
    assert found[created["id"]].fields["LastName"] == "King"
    assert len(found) < 30  # these, and what lies in the minutes looked back


async def test_a_pass_without_changes_keeps_the_cursor(org: ProviderSandbox) -> None:
    await org.control.seed(Account=50)
    reader = await adapter(org)
    cursor = (await pages_of(reader, "Account"))[-1].cursor
    [again] = await pages_of(reader, "Account", cursor)
    assert again.cursor == cursor
    assert ids(list(again.records))[-1] == cursor["id"]
    later = {**cursor, "modstamp": moment_text(parse_moment(cursor["modstamp"]) + timedelta(minutes=20))}
    [empty] = await pages_of(reader, "Account", later)
    assert (list(empty.records), empty.cursor, empty.last) == ([], later, True)


async def test_an_empty_object_has_an_empty_pass(org: ProviderSandbox) -> None:
    reader = await adapter(org)
    [page] = await pages_of(reader, "Lead")
    assert (list(page.records), page.last) == ([], True)
    await org.control.create("Lead", LastName="Byron", Company="Engines")
    assert len(records_of(await pages_of(reader, "Lead", page.cursor))) == 1


async def test_a_transaction_that_committed_late_is_found_by_looking_back(org: ProviderSandbox) -> None:
    late = await org.control.create("Account", Name="Late")
    ahead = parse_moment(late["SystemModstamp"]) + timedelta(minutes=9)
    cursor = {"modstamp": moment_text(ahead), "id": late["id"]}
    reader = await adapter(org)
    assert ids(records_of(await pages_of(reader, "Account", cursor))) == [late["id"]]
    short = await adapter(org, lookBackSeconds=60)
    assert records_of(await pages_of(short, "Account", cursor)) == []


async def test_records_edited_during_a_pass_neither_hide_others_nor_get_lost(org: ProviderSandbox) -> None:
    await org.control.seed(Contact=800)
    order = ids(records_of(await pages_of(await adapter(org), "Contact")))
    known: dict[str, Any] = {}
    cursor: Cursor | None = None
    pages = (await adapter(org)).fetch("Contact", None)
    started: str | None = None
    for turn in range(2):
        page = await anext(pages)
        known |= {record.external_id: record.fields for record in page.records}
        cursor = page.cursor
        started = started or cursor["passStartedAt"]
        # The last record of the page to come is edited: it shows a time that lies behind all others.
        await org.control.set_clock(advance_ms=60_000)
        await org.control.edit("Contact", order[200 * (turn + 2) - 1], Title=f"Edited {turn}")
    await pages.aclose()  # type: ignore[attr-defined]
    rest = await pages_of(await adapter(org), "Contact", cursor)
    known |= {record.external_id: record.fields for record in records_of(rest)}
    now = {record["id"]: record["Title"] for record in await org.control.records("Contact", limit=5000)}
    assert {key: fields["Title"] for key, fields in known.items()} == now
    assert rest[-1].cursor["modstamp"] == started
    assert "passStartedAt" not in rest[-1].cursor


async def test_a_locator_that_ends_during_a_pass_costs_a_query_and_no_record(org: ProviderSandbox) -> None:
    await org.control.seed(Contact=700)
    reader = await adapter(org)
    expected = ids(records_of(await pages_of(reader, "Contact")))
    pages = reader.fetch("Contact", None)
    seen = ids(list((await anext(pages)).records))
    await org.control.policy(max_locators=0)
    await org.control.policy(max_locators=10)
    async for page in pages:
        seen += ids(list(page.records))
    assert seen == expected
    assert await org.control.calls(path="queryAll", status=400)


async def test_a_session_that_ends_during_a_pass_ends_its_locator_too(org: ProviderSandbox) -> None:
    await org.control.seed(Contact=700)
    access = await authorizer(org)
    reader = adapter_for(PROVIDER, org, access, pageSize=200)
    expected = ids(records_of(await pages_of(reader, "Contact")))
    pages = reader.fetch("Contact", None)
    seen = ids(list((await anext(pages)).records))
    await org.control.expire_access_tokens()
    async for page in pages:
        seen += ids(list(page.records))
    assert seen == expected
    assert access.refused >= 1


async def test_locators_that_always_end_are_given_up_and_are_no_reason_to_start_over(
    org: ProviderSandbox,
) -> None:
    # All of one second, and of the query's own: the position can't move.
    await org.control.seed(Contact=450)
    await org.control.fault(
        "status", path="queryAll/01g", status=400, code="INVALID_QUERY_LOCATOR", times=None
    )
    for record in await org.control.records("Contact"):
        await org.control.delete("Contact", record["id"])
    await org.control.set_clock(advance_ms=-3_600_000)
    with pytest.raises(ProviderUnavailable, match="keep ending"):
        await pages_of(await adapter(org), "Contact")


@pytest.mark.parametrize(
    "cursor",
    [
        {"modstamp": "yesterday", "id": "003gL000000006nQAA"},
        {"modstamp": "2026-11-01T10:00:00.000+0000", "id": "' OR Name != '"},
        {"modstamp": "2026-11-01T10:00:00.000+0000", "id": "", "passStartedAt": "soon"},
    ],
)
async def test_a_cursor_that_cannot_be_read_asks_for_a_full_pass(
    org: ProviderSandbox, cursor: dict[str, Any]
) -> None:
    with pytest.raises(CursorExpired):
        await pages_of(await adapter(org), "Contact", cursor)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 503}, ProviderUnavailable),
        ({"kind": "status", "status": 406}, ProviderRateLimited),
        ({"kind": "status", "status": 420}, ProviderRateLimited),
        ({"kind": "status", "status": 429, "retry_after": 7}, ProviderRateLimited),
        ({"kind": "status", "status": 403, "code": "REQUEST_LIMIT_EXCEEDED"}, ProviderRateLimited),
        ({"kind": "status", "status": 403, "code": "INSUFFICIENT_ACCESS"}, PermissionDenied),
        ({"kind": "status", "status": 400, "code": "QUERY_TIMEOUT"}, ProviderUnavailable),
        ({"kind": "malformed"}, MalformedResponse),
        ({"kind": "truncated"}, ProviderUnavailable),
        ({"kind": "drop_before"}, ProviderUnavailable),
    ],
)
async def test_a_query_that_fails_says_what_it_means(
    org: ProviderSandbox, fault: dict[str, Any], error: type[Exception]
) -> None:
    await org.control.seed(Account=5)
    await org.control.fault(path="queryAll", times=None, **fault)
    with pytest.raises(error) as raised:
        await pages_of(await adapter(org), "Account")
    assert getattr(raised.value, "retry_after", None) == fault.get("retry_after")


async def test_a_refused_session_that_stays_refused_is_told(org: ProviderSandbox) -> None:
    await org.control.expire_access_tokens()
    stale = adapter_for(PROVIDER, org, StaticAuthorizer("no session", org.url))
    with pytest.raises(AuthenticationFailed):
        await pages_of(stale, "Account")


async def test_an_object_the_org_does_not_have_is_no_missing_record(org: ProviderSandbox) -> None:
    reader = await adapter(org)
    with pytest.raises(SchemaMismatch, match="Invoice__c: the org has no such object"):
        await pages_of(reader, "Invoice__c")
    with pytest.raises(ConfigurationError, match="entity"):
        await pages_of(reader, "Account WHERE Name = 'x'")


async def test_only_the_chosen_fields_are_read(org: ProviderSandbox) -> None:
    await org.control.create("Account", Name="Engines", Phone="+33123456789")
    reader = await adapter(org, fields={"Account": ["Name", "NotThere__c"]})
    [record] = records_of(await pages_of(reader, "Account"))
    assert set(record.fields) == {"Id", "IsDeleted", "SystemModstamp", "Name"}
    assert set((await reader.get("Account", [record.external_id]))[record.external_id].fields) == set(
        record.fields
    )


async def test_the_token_says_where_the_org_lives(org: ProviderSandbox) -> None:
    await org.control.create("Account", Name="Engines")
    reader = await adapter(org, baseUrl="https://elsewhere.example")
    assert len(records_of(await pages_of(reader, "Account"))) == 1
    homeless = adapter_for(PROVIDER, org, StaticAuthorizer("token"), baseUrl="")
    with pytest.raises(ConfigurationError, match="baseUrl"):
        await homeless.check()


async def test_records_are_read_by_id_under_the_id_that_was_asked_for(org: ProviderSandbox) -> None:
    kept = await org.control.create("Contact", LastName="King")
    gone = await org.control.create("Contact", LastName="Byron")
    await org.control.delete("Contact", gone["id"])
    reader = await adapter(org)
    short = kept["id"][:15]
    found = await reader.get("Contact", [short, gone["id"], "not an id", kept["id"]])
    assert set(found) == {short, kept["id"]}
    assert found[short].external_id == kept["id"]
    assert found[short].fields["LastName"] == "King"


async def test_calls_are_counted_and_the_quota_is_passed_on(org: ProviderSandbox) -> None:
    await org.control.policy(daily_api_limit=1000, api_requests_used=800)
    gate = OpenGate()
    await pages_of(await adapter(org, gate), "Account")
    assert gate.operations == ["fetch", "fetch"]
    assert gate.quotas[-1].limit == 1000
    assert gate.quotas[-1].remaining == 198


async def test_describe_tells_the_fields_in_castiels_words(org: ProviderSandbox) -> None:
    described = {entity.name: entity for entity in await (await adapter(org)).describe()}
    assert set(described) == {"Account", "Contact", "Opportunity", "Lead"}
    contact = described["Contact"]
    last_name, email, made = (contact.field(name) for name in ("LastName", "Email", "CreatedDate"))
    assert last_name
    assert last_name.required
    assert last_name.max_length == 80
    assert email
    assert (email.type, email.required, email.writable) == ("email", False, True)
    assert made
    assert not made.writable


async def test_the_default_schemas_fit_the_fields_there_are(org: ProviderSandbox) -> None:
    described = {entity.name: entity for entity in await (await adapter(org)).describe()}
    for schema in PROVIDER.default_schemas:
        entity = described[schema["entity"]]
        for mapping in schema["mappings"]:
            field = entity.field(mapping["source"])
            assert field, mapping
            assert field.writable or mapping.get("direction") == "inbound", mapping


async def test_check_names_the_user_and_the_share_of_calls_used(org: ProviderSandbox) -> None:
    await org.control.policy(daily_api_limit=1000, api_requests_used=499)
    health = await (await adapter(org)).check()
    assert health.account == "integration@castiel.example.com"
    assert health.quota_used == pytest.approx(0.5)


async def test_check_does_without_a_name_that_it_may_not_ask_for(org: ProviderSandbox) -> None:
    await org.control.fault("status", path="userinfo", status=403)
    assert (await (await adapter(org)).check()).account == "127.0.0.1"
