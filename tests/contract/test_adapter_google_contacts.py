"""The Google adapter with contacts: passes, changes, deletions, batches, and what can go wrong in each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from castiel.adapters.base import ExternalRecord, Page
from castiel.adapters.google import PROVIDER
from castiel.errors import (
    CursorExpired,
    OutcomeUnknown,
    PermissionDenied,
    PreconditionRejected,
    ProviderRateLimited,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)
from tests.support.google import card, create, delete, google_adapter, update
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
WEEK_MS = 7 * 86_400_000


@pytest.fixture
async def account() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("google") as sandbox:
        yield sandbox


def ids(pages: list[Page]) -> list[str]:
    return [record.external_id for record in records_of(pages)]


async def move_clock(account: ProviderSandbox, ms: int) -> None:
    answer = await account.http.send(
        "POST", f"{account.control.base_url}/_control/clock", content=b'{"advanceMs": %d}' % ms
    )
    assert answer.status == 200


# Fetch ---------------------------------------------------------------------------------------------------


async def test_a_full_pass_shows_every_contact_once_in_pages_of_a_thousand(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=2100)
    pages = await pages_of(await google_adapter(account), "Contact")
    assert [len(page.records) for page in pages] == [1000, 1000, 100]
    assert [page.last for page in pages] == [False, False, True]
    assert all(page.full_pass for page in pages)
    assert len(set(ids(pages))) == 2100


async def test_a_record_has_the_persons_lists_and_cards(account: ProviderSandbox) -> None:
    made = await account.control.create(
        "Contact",
        names=[{"givenName": "Ada", "familyName": "Lovelace"}],
        emailAddresses=[
            {"value": "old@example.com"},
            {"value": "ada@example.com", "metadata": {"sourcePrimary": True}},
        ],
        phoneNumbers=[
            {"value": "+44 20 7946 0000", "type": "mobile"},
            {"value": "+44 20 7946 0001", "type": "work"},
        ],
        birthdays=[{"date": {"year": 1815, "month": 12, "day": 10}}],
    )
    [record] = records_of(await pages_of(await google_adapter(account), "Contact"))
    assert record.external_id == made["id"]
    assert record.version
    assert record.modified_at is not None
    assert record.modified_at.timestamp() * 1000 == pytest.approx(made["modifiedMs"], abs=1)
    assert record.fields["name"] == {
        "givenName": "Ada",
        "familyName": "Lovelace",
        "displayName": "Ada Lovelace",
    }
    assert record.fields["emailAddress"] == {"value": "ada@example.com"}
    assert record.fields["phoneNumber"] == {"value": "+44 20 7946 0001", "type": "work"}
    assert record.fields["mobilePhone"] == {"value": "+44 20 7946 0000", "type": "mobile"}
    assert record.fields["birthday"] == {"date": "1815-12-10"}
    assert [entry["value"] for entry in record.fields["emailAddresses"]] == [
        "old@example.com",
        "ada@example.com",
    ]


async def test_after_a_pass_only_changes_and_deletions_come(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=30)
    adapter = await google_adapter(account)
    first = await pages_of(adapter, "Contact")
    edited, deleted = ids(first)[3], ids(first)[7]
    await account.control.edit("Contact", edited, nicknames=[{"value": "Bob"}])
    await account.control.delete("Contact", deleted)
    made = await account.control.create("Contact", names=[{"givenName": "New"}])
    pages = await pages_of(adapter, "Contact", first[-1].cursor)
    found = {record.external_id: record for record in records_of(pages)}
    assert set(found) == {edited, deleted, made["id"]}
    assert found[deleted].deleted
    assert not any(page.full_pass for page in pages)
    assert records_of(await pages_of(adapter, "Contact", pages[-1].cursor)) == []


async def test_a_pass_goes_on_from_any_saved_page_while_contacts_are_edited(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=2500)
    adapter = await google_adapter(account)
    seen: list[ExternalRecord] = []
    cursor = None
    for _ in range(10):
        async for page in adapter.fetch("Contact", cursor):
            seen += page.records
            cursor = page.cursor
            await account.control.edit("Contact", page.records[0].external_id, nicknames=[{"value": "Bob"}])
            assert page.full_pass
            break
        if page.last:
            break
    assert len(seen) == len({record.external_id for record in seen}) == 2500
    later = records_of(await pages_of(adapter, "Contact", cursor))
    assert len(later) == 3
    assert all(record.fields["nicknames"] for record in later)


async def test_a_page_token_that_is_refused_begins_the_pass_anew(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=1500)
    adapter = await google_adapter(account)
    cursor = {**(await pages_of(adapter, "Contact"))[0].cursor, "page": "gone"}
    pages = await pages_of(adapter, "Contact", cursor)
    assert len(set(ids(pages))) == 1500


async def test_a_week_after_the_full_pass_the_cursor_has_expired(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=3)
    adapter = await google_adapter(account)
    cursor = (await pages_of(adapter, "Contact"))[-1].cursor
    await move_clock(account, WEEK_MS - 3_600_000)
    await account.control.delete("Contact", (await account.control.records("Contact"))[0]["id"])
    pages = await pages_of(await google_adapter(account), "Contact", cursor)
    assert len(records_of(pages)) == 1
    await move_clock(account, 2 * 3_600_000)
    with pytest.raises(CursorExpired):
        await pages_of(await google_adapter(account), "Contact", pages[-1].cursor)
    assert len(records_of(await pages_of(await google_adapter(account), "Contact"))) == 2


async def test_a_cursor_of_other_parameters_has_expired(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    cursor = (await pages_of(adapter, "Contact"))[-1].cursor
    with pytest.raises(CursorExpired):
        await pages_of(adapter, "Contact", {**cursor, "scope": "names"})
    with pytest.raises(CursorExpired):
        await pages_of(adapter, "Contact", {**cursor, "sync": "nonsense"})


async def test_writes_that_incremental_passes_do_not_see_yet_come_later(account: ProviderSandbox) -> None:
    await account.control.policy(sync_delay_ms=300_000)
    adapter = await google_adapter(account)
    cursor = (await pages_of(adapter, "Contact"))[-1].cursor
    await account.control.create("Contact", names=[{"givenName": "Late"}])
    pages = await pages_of(adapter, "Contact", cursor)
    assert records_of(pages) == []
    await move_clock(account, 301_000)
    assert len(records_of(await pages_of(adapter, "Contact", pages[-1].cursor))) == 1


async def test_the_quota_of_full_passes_is_a_rate_limit(account: ProviderSandbox) -> None:
    await account.control.policy(full_syncs_per_minute=1)
    adapter = await google_adapter(account)
    await pages_of(adapter, "Contact")
    with pytest.raises(ProviderRateLimited):
        await pages_of(adapter, "Contact")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (429, "RESOURCE_EXHAUSTED", ProviderRateLimited),
        (403, "userRateLimitExceeded", ProviderRateLimited),
        (403, "PERMISSION_DENIED", PermissionDenied),
        (503, "UNAVAILABLE", ProviderUnavailable),
    ],
)
async def test_errors_are_what_they_say(
    account: ProviderSandbox, status: int, code: str, error: type[Exception]
) -> None:
    adapter = await google_adapter(account)
    await account.control.fault("status", status=status, code=code, path="connections")
    with pytest.raises(error) as raised:
        await pages_of(adapter, "Contact")
    assert raised.value.provider_code == code  # type: ignore[attr-defined]


async def test_an_ended_token_is_replaced_once(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=5)
    adapter = await google_adapter(account)
    await account.control.expire_access_tokens()
    assert len(records_of(await pages_of(adapter, "Contact"))) == 5


async def test_a_token_without_the_scope_is_denied(account: ProviderSandbox) -> None:
    granted = await account.control.grant(scope="https://www.googleapis.com/auth/calendar.events")
    adapter = adapter_for(PROVIDER, account, StaticAuthorizer(granted["access_token"]))
    with pytest.raises(PermissionDenied) as raised:
        await pages_of(adapter, "Contact")
    assert raised.value.provider_code == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


async def test_get_reads_many_and_tells_what_is_gone(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=250)
    rows = await account.control.records("Contact")
    names = [row["id"] for row in rows]
    await account.control.delete("Contact", names[0])
    found = await (await google_adapter(account)).get("Contact", [*names, "people/c404"])
    assert len(found) == 251
    assert {name for name, record in found.items() if record.deleted} == {names[0], "people/c404"}
    assert found[names[1]].fields["emailAddress"]["value"] == rows[1]["emailAddresses"][0]["value"]


# Push ----------------------------------------------------------------------------------------------------


async def test_creates_go_in_batches_of_two_hundred(account: ProviderSandbox) -> None:
    gate = OpenGate()
    adapter = await google_adapter(account, gate)
    records = [create(f"contact-{n}", **card("N", str(n), f"{n}@example.com")) for n in range(450)]
    outcomes = await adapter.push("Contact", records)
    assert [outcome.key for outcome in outcomes] == [record.key for record in records]
    assert all(outcome.ok and outcome.external_id and outcome.version for outcome in outcomes)
    assert gate.operations == ["create"] * 3
    got = await adapter.get("Contact", [outcomes[449].external_id or ""])
    assert got[outcomes[449].external_id or ""].fields["name"]["familyName"] == "449"


async def test_one_bad_contact_fails_alone(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    records = [create(f"contact-{n}", **card("N", str(n), f"{n}@example.com")) for n in range(20)]
    records[4] = create("contact-4", names=[{"givenName": "A"}, {"givenName": "B"}])
    records[11] = create("contact-11", emailAddress={"value": "a@example.com"}, shoeSize=44)
    records[12] = create("contact-12", emailAddresses=[{"valu": "a@example.com"}])
    outcomes = await adapter.push("Contact", records)
    assert [o.key for o in outcomes if not o.ok] == ["contact-4", "contact-11", "contact-12"]
    assert all(isinstance(o.error, SchemaMismatch) for o in outcomes if not o.ok)
    assert (await account.control.counts())["Contact"]["live"] == 17


async def test_a_refusal_that_names_nobody_is_narrowed_down(account: ProviderSandbox) -> None:
    adapter = await google_adapter(account)
    await account.control.fault("status", status=400, code="INVALID_ARGUMENT", path="batchCreate", times=3)
    records = [create(f"contact-{n}", **card("N", str(n), f"{n}@example.com")) for n in range(8)]
    outcomes = await adapter.push("Contact", records)
    # The whole, its first half and that one's first half are refused; the rest goes through.
    assert [o.key for o in outcomes if not o.ok] == []
    assert (await account.control.counts())["Contact"]["live"] == 8


async def test_a_create_whose_answer_never_came_is_found_by_its_marker(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=1200)
    adapter = await google_adapter(account)
    await account.control.fault("drop_after", path="batchCreate")
    [first] = await adapter.push("Contact", [create("contact-a", **card("Ada", "Byron", "ada@example.com"))])
    assert isinstance(first.error, OutcomeUnknown)
    made = await adapter.find_made("Contact", [create("contact-a"), create("contact-b")])
    assert [(key, one.made_from, one.fields["name"]["familyName"]) for key, one in made.items()] == [
        ("contact-a", "contact-a", "Byron")
    ]
    again = [
        create("contact-a", retrying=True, **card("Ada", "Lovelace", "ada@example.com")),
        create("contact-b", retrying=True, **card("Bea", "Beta", "bea@example.com")),
    ]
    outcomes = await adapter.push("Contact", again)
    assert all(outcome.ok for outcome in outcomes)
    rows = [r for r in await account.control.records("Contact", limit=2000) if r.get("clientData")]
    assert {r["clientData"][0]["value"]: r["id"] for r in rows} == {o.key: o.external_id for o in outcomes}
    assert len(rows) == 2
    assert outcomes[0].fields is not None
    assert outcomes[0].fields["name"]["familyName"] == "Lovelace"


async def test_a_card_changes_its_entry_and_leaves_the_others(account: ProviderSandbox) -> None:
    made = await account.control.create(
        "Contact",
        names=[{"givenName": "Ada", "familyName": "Byron", "middleName": "Augusta"}],
        emailAddresses=[
            {"value": "ada@example.com", "type": "work"},
            {"value": "home@example.com", "type": "home"},
        ],
        phoneNumbers=[{"value": "+442079460000", "type": "mobile"}],
        organizations=[{"name": "Engines", "title": "Analyst", "type": "work"}],
    )
    adapter = await google_adapter(account)
    change = update(
        "contact-a",
        made["id"],
        name={"familyName": "Lovelace"},
        emailAddress={"value": "lovelace@example.com"},
        phoneNumber={"value": "+442079460001"},
        organization={"name": None, "title": None},
    )
    [outcome] = await adapter.push("Contact", [change])
    assert outcome.ok, outcome.error
    row = await account.control.record("Contact", made["id"])
    assert row["names"] == [
        {"givenName": "Ada", "familyName": "Lovelace", "middleName": "Augusta", "_primary": True}
    ]
    assert [e["value"] for e in row["emailAddresses"]] == ["lovelace@example.com", "home@example.com"]
    assert [(e["value"], e["type"]) for e in row["phoneNumbers"]] == [
        ("+442079460000", "mobile"),
        ("+442079460001", "work"),
    ]
    assert "organizations" not in row
    assert outcome.version == (await adapter.get("Contact", [made["id"]]))[made["id"]].version


async def test_updates_of_different_fields_do_not_empty_each_others(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=6)
    rows = await account.control.records("Contact")
    adapter = await google_adapter(account)
    changes = [
        update(
            f"contact-{n}",
            row["id"],
            **({"biography": {"value": "x"}} if n % 2 else {"url": {"value": "https://x"}}),
        )
        for n, row in enumerate(rows)
    ]
    assert all(outcome.ok for outcome in await adapter.push("Contact", changes))
    for n, before in enumerate(rows):
        row = await account.control.record("Contact", before["id"])
        assert row["emailAddresses"] == before["emailAddresses"]
        assert ("biographies" in row, "urls" in row) == (bool(n % 2), not n % 2)


async def test_an_update_of_something_else_than_was_read_is_rejected(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=3)
    adapter = await google_adapter(account)
    records = records_of(await pages_of(adapter, "Contact"))
    await account.control.edit("Contact", records[1].external_id, nicknames=[{"value": "Bob"}])
    for fields in ({"name": {"givenName": "X"}}, {"names": [{"givenName": "X"}]}):
        changes = [update(f"c-{n}", r.external_id, r.version, **fields) for n, r in enumerate(records)]
        outcomes = await adapter.push("Contact", changes)
        assert [outcome.ok for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1].error, PreconditionRejected)
        records = [
            record
            if outcome.version is None
            else ExternalRecord("Contact", record.external_id, {}, version=outcome.version)
            for record, outcome in zip(records, outcomes, strict=True)
        ]


async def test_an_update_without_a_version_is_worked_out_again_once(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=1)
    [row] = await account.control.records("Contact")
    adapter = await google_adapter(account)
    await account.control.fault("record_error", code="FAILED_PRECONDITION", method="update", entity="Contact")
    [outcome] = await adapter.push("Contact", [update("c-1", row["id"], name={"givenName": "X"})])
    assert outcome.ok, outcome.error
    await account.control.fault(
        "record_error", code="FAILED_PRECONDITION", method="update", entity="Contact", times=2
    )
    [outcome] = await adapter.push("Contact", [update("c-1", row["id"], name={"givenName": "Y"})])
    assert isinstance(outcome.error, PreconditionRejected)


async def test_an_update_of_what_is_gone_is_not_found(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=2)
    rows = await account.control.records("Contact")
    await account.control.delete("Contact", rows[0]["id"])
    outcomes = await (await google_adapter(account)).push(
        "Contact", [update(row["id"], row["id"], name={"givenName": "X"}) for row in rows]
    )
    assert [outcome.ok for outcome in outcomes] == [False, True]
    assert isinstance(outcomes[0].error, RecordNotFound)


async def test_deletes_succeed_for_what_is_gone_and_one_failure_stays_alone(account: ProviderSandbox) -> None:
    await account.control.seed(Contact=40)
    rows = await account.control.records("Contact")
    await account.control.delete("Contact", rows[0]["id"])
    held = rows[5]["id"].removeprefix("people/")
    await account.control.fault(
        "record_error", code="INVALID_ARGUMENT", method="delete", record_id=held, times=None
    )
    adapter = await google_adapter(account)
    records = [delete(row["id"], row["id"]) for row in rows]
    outcomes = await adapter.delete("Contact", records)
    assert [outcome.external_id for outcome in outcomes if not outcome.ok] == [rows[5]["id"]]
    await account.control.clear_faults()
    assert all(outcome.ok for outcome in await adapter.delete("Contact", records))
    assert (await account.control.counts())["Contact"]["live"] == 0
