"""The Slack adapter over the real HTTP layer against the sandboxed workspace: users, channels, reading messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from castiel.errors import (
    AuthenticationFailed,
    ConfigurationError,
    CursorExpired,
    PermissionDenied,
    ProviderRateLimited,
    ProviderUnavailable,
    ReauthRequired,
    RecordNotFound,
    SchemaMismatch,
)
from tests.support.providers import OpenGate, ProviderSandbox, pages_of, records_of, running_sandbox
from tests.support.slack import create, delete, slack_adapter, update

pytestmark = pytest.mark.stack


@pytest.fixture
async def sandbox() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("slack") as found:
        yield found


# Users and channels ----------------------------------------------------------------------------------------


async def test_users_come_all_every_time(sandbox: ProviderSandbox) -> None:
    await sandbox.control.seed(User=30)
    adapter = await slack_adapter(sandbox, pageSize=10)
    first = await pages_of(adapter, "User")
    assert len(records_of(first)) == 32
    assert all(page.full_pass for page in first)
    gone = records_of(first)[4].external_id
    await sandbox.control.delete("User", gone)
    second = {
        record.external_id: record for record in records_of(await pages_of(adapter, "User", first[-1].cursor))
    }
    assert len(second) == 32
    assert second[gone].deleted
    assert second[gone].modified_at is not None


async def test_a_listing_whose_cursor_ended_begins_anew(sandbox: ProviderSandbox) -> None:
    await sandbox.control.seed(User=30)
    adapter = await slack_adapter(sandbox, pageSize=10)
    first = await anext(adapter.fetch("User", None))
    await sandbox.control.fault("status", status=200, code="invalid_cursor", path="cursor=", times=1)
    rest = await pages_of(adapter, "User", first.cursor)
    assert len({record.external_id for record in records_of(rest)}) == 32
    assert rest[-1].last
    await sandbox.control.fault("status", status=200, code="invalid_cursor", path="cursor=", times=None)
    with pytest.raises(ProviderUnavailable):
        await pages_of(adapter, "User")


async def test_archived_channels_come_as_deleted(sandbox: ProviderSandbox) -> None:
    made = await sandbox.control.create("Channel", name="old", topic={"value": "R&amp;D"})
    await sandbox.control.delete("Channel", made["id"])
    adapter = await slack_adapter(sandbox)
    [record] = records_of(await pages_of(adapter, "Channel"))
    assert record.deleted
    assert record.fields["topic"]["value"] == "R&D"
    found = await adapter.get("Channel", [made["id"], "C0NOWHERE", "no id"])
    assert list(found) == [made["id"]]
    assert found[made["id"]].deleted


async def test_a_channel_is_made_described_renamed_and_archived(sandbox: ProviderSandbox) -> None:
    adapter = await slack_adapter(sandbox)
    fields = {"name": "launch", "topic": {"value": "Go & see"}, "purpose": {"value": None}}
    [made] = await adapter.push("Channel", [create("k1", **fields)])
    assert made.error is None
    [changed] = await adapter.push(
        "Channel", [update("k1", str(made.external_id), name="launched", purpose={"value": "Done"})]
    )
    assert changed.error is None
    record = (await adapter.get("Channel", [str(made.external_id)]))[str(made.external_id)]
    assert record.fields["name"] == "launched"
    assert record.fields["topic"]["value"] == "Go & see"
    assert record.fields["purpose"]["value"] == "Done"
    for _ in range(2):
        [archived] = await adapter.delete("Channel", [delete("k1", str(made.external_id))])
        assert archived.error is None
    assert (await sandbox.control.record("Channel", str(made.external_id)))["deleted"] is True


async def test_a_channel_of_somebody_else_is_not_taken_for_ours(sandbox: ProviderSandbox) -> None:
    await sandbox.control.create("Channel", name="taken")
    adapter = await slack_adapter(sandbox)
    [outcome] = await adapter.push("Channel", [create("k1", retrying=True, name="taken")])
    assert outcome.error is not None
    assert not outcome.error.retryable


async def test_channel_fields_that_slack_does_not_take_are_refused(sandbox: ProviderSandbox) -> None:
    adapter = await slack_adapter(sandbox)
    outcomes = await adapter.push(
        "Channel",
        [
            create("k1", name="fine", num_members=3),
            create("k2"),
            create("k3", name="Not Fine"),
            update("k4", "C0NOWHERE", name="x"),
            create("k5", name="fine"),
        ],
    )
    kinds = [type(outcome.error) for outcome in outcomes]
    assert kinds == [SchemaMismatch, SchemaMismatch, SchemaMismatch, RecordNotFound, type(None)]
    assert "num_members" in str(outcomes[0].error)


async def test_profiles_are_written_with_a_persons_token_only(sandbox: ProviderSandbox) -> None:
    made = await sandbox.control.create("User", first_name="Ada", last_name="King", email="a@example.com")
    profile = {"last_name": "Lovelace", "phone": None}
    person = await slack_adapter(sandbox, grant={"token_type": "user"}, tokenType="user")
    [outcome] = await person.push("User", [update("k1", made["id"], profile=profile)])
    assert outcome.error is None
    stored = (await sandbox.control.record("User", made["id"]))["profile"]
    assert (stored["real_name"], stored["phone"]) == ("Ada Lovelace", "")
    bot = await slack_adapter(sandbox)
    [refused] = await bot.push("User", [update("k1", made["id"], profile=profile)])
    assert isinstance(refused.error, PermissionDenied)
    [unknown] = await bot.push("User", [update("k1", made["id"], profile={"shoe_size": 44})])
    assert isinstance(unknown.error, SchemaMismatch)
    assert "profile.shoe_size" in str(unknown.error)


async def test_users_are_neither_made_nor_deleted(sandbox: ProviderSandbox) -> None:
    adapter = await slack_adapter(sandbox)
    [made] = await adapter.push("User", [create("k1", profile={"first_name": "Ada"})])
    [gone] = await adapter.delete("User", [delete("k1", "U0000001")])
    for outcome in (made, gone):
        assert isinstance(outcome.error, PermissionDenied)
        assert not outcome.error.retryable
    assert await sandbox.control.calls() == []


# Reading messages ------------------------------------------------------------------------------------------


async def test_messages_of_all_joined_channels_come_once(sandbox: ProviderSandbox) -> None:
    await sandbox.control.seed(Channel=4, User=5, Message=60)
    closed = await sandbox.control.create("Channel", name="elsewhere")
    await sandbox.control.create("Message", channel=closed["id"], text="unseen")
    await sandbox.control.edit("Channel", closed["id"], is_member=False)
    adapter = await slack_adapter(sandbox, pageSize=7, historyLookbackHours=0)
    pages = await pages_of(adapter, "Message")
    ids = [record.external_id for record in records_of(pages)]
    assert len(ids) == len(set(ids)) == 60
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert not any(page.full_pass for page in pages)
    assert records_of(await pages_of(adapter, "Message", pages[-1].cursor)) == []


async def test_a_pass_of_messages_goes_on_from_every_cursor(sandbox: ProviderSandbox) -> None:
    await sandbox.control.seed(Channel=3, Message=30)
    adapter = await slack_adapter(sandbox, pageSize=4, historyLookbackHours=0)
    pages = await pages_of(adapter, "Message")
    for place, page in enumerate(pages):
        read = {record.external_id for record in records_of(pages[: place + 1])}
        rest = [record.external_id for record in records_of(await pages_of(adapter, "Message", page.cursor))]
        assert not read & set(rest)
        assert len(read) + len(rest) == 30


async def test_what_is_said_meanwhile_comes_next_time(sandbox: ProviderSandbox) -> None:
    await sandbox.control.seed(Channel=2, Message=20)
    first, second = sorted(one["id"] for one in await sandbox.control.records("Channel"))
    adapter = await slack_adapter(
        sandbox, pageSize=3, historyLookbackHours=0, channels=[second, first, first]
    )
    seen: list[str] = []
    late: list[str] = []
    async for page in adapter.fetch("Message", None):
        if not late:
            said = [await sandbox.control.create("Message", channel=c, text="late") for c in (first, second)]
            late = [one["id"] for one in said]
        seen += [record.external_id for record in page.records]
        cursor = page.cursor
    following = [record.external_id for record in records_of(await pages_of(adapter, "Message", cursor))]
    assert sorted(seen + following) == sorted({*seen, *following})
    assert set(late) <= set(seen) | set(following)
    assert len(seen) + len(following) == 22


async def test_edits_are_seen_within_the_look_back(sandbox: ProviderSandbox) -> None:
    channel = (await sandbox.control.create("Channel", name="talk"))["id"]
    said = await sandbox.control.create("Message", channel=channel, text="one < two & three")
    seeing = await slack_adapter(sandbox, channels=[channel], historyLookbackHours=1)
    blind = await slack_adapter(sandbox, channels=[channel], historyLookbackHours=0)
    pages = await pages_of(seeing, "Message")
    [record] = records_of(pages)
    assert record.fields["text"] == "one < two & three"
    await sandbox.control.edit("Message", said["id"], text="edited")
    [edited] = records_of(await pages_of(seeing, "Message", pages[-1].cursor))
    assert edited.fields["text"] == "edited"
    assert edited.version != record.version
    assert records_of(await pages_of(blind, "Message", pages[-1].cursor)) == []


async def test_notes_of_the_system_are_no_messages(sandbox: ProviderSandbox) -> None:
    channel = (await sandbox.control.create("Channel", name="talk"))["id"]
    await sandbox.control.create("Message", channel=channel, text="joined", subtype="channel_join")
    said = await sandbox.control.create("Message", channel=channel, text="hello")
    adapter = await slack_adapter(sandbox, channels=[channel])
    assert [record.external_id for record in records_of(await pages_of(adapter, "Message"))] == [said["id"]]


async def test_single_messages_are_read_replies_too(sandbox: ProviderSandbox) -> None:
    channel = (await sandbox.control.create("Channel", name="talk"))["id"]
    parent = await sandbox.control.create("Message", channel=channel, text="parent")
    reply = await sandbox.control.create("Message", channel=channel, text="reply", thread_ts=parent["ts"])
    gone = await sandbox.control.create("Message", channel=channel, text="gone")
    await sandbox.control.delete("Message", gone["id"])
    adapter = await slack_adapter(sandbox, channels=[channel])
    ids = [parent["id"], reply["id"], gone["id"], "C0NOWHERE:1700000000.000001", "nonsense"]
    found = await adapter.get("Message", ids)
    assert {name: record.fields["text"] for name, record in found.items()} == {
        parent["id"]: "parent",
        reply["id"]: "reply",
    }


async def test_a_cursor_that_makes_no_sense_is_expired(sandbox: ProviderSandbox) -> None:
    adapter = await slack_adapter(sandbox)
    for cursor in ({"newest": {"C1": "soon"}}, {"at": {"channel": "x", "oldest": ""}}, {"at": {"a": 1}}):
        with pytest.raises(CursorExpired):
            await pages_of(adapter, "Message", cursor)


# Failures, description, health -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("internal_error", ProviderUnavailable),
        ("service_unavailable", ProviderUnavailable),
        ("token_revoked", ReauthRequired),
        ("account_inactive", ReauthRequired),
        ("invalid_auth", AuthenticationFailed),
        ("restricted_action", PermissionDenied),
        ("invalid_arguments", SchemaMismatch),
        ("ratelimited", ProviderRateLimited),
    ],
)
async def test_failures_in_a_200(sandbox: ProviderSandbox, code: str, kind: type[Exception]) -> None:
    await sandbox.control.fault("status", status=200, code=code, path="users.list", times=None)
    adapter = await slack_adapter(sandbox)
    with pytest.raises(kind) as caught:
        await pages_of(adapter, "User")
    assert type(caught.value) is kind
    assert caught.value.provider_code == code  # type: ignore[attr-defined]


async def test_a_scope_that_is_missing_is_named(sandbox: ProviderSandbox) -> None:
    adapter = await slack_adapter(sandbox, grant={"scope": "chat:write"})
    with pytest.raises(PermissionDenied, match=r"missing_scope \(users:read\)"):
        await pages_of(adapter, "User")


async def test_a_channel_the_app_is_not_in_is_told(sandbox: ProviderSandbox) -> None:
    closed = await sandbox.control.create("Channel", name="elsewhere", is_member=False)
    adapter = await slack_adapter(sandbox, channels=[closed["id"]])
    with pytest.raises(PermissionDenied, match="not_in_channel"):
        await pages_of(adapter, "Message")


async def test_too_many_calls_close_the_gate_until_then(sandbox: ProviderSandbox) -> None:
    await sandbox.control.fault("status", status=429, retry_after=30, path="users.list")
    gate = OpenGate()
    adapter = await slack_adapter(sandbox, gate)
    with pytest.raises(ProviderRateLimited) as caught:
        await pages_of(adapter, "User")
    assert caught.value.retry_after == 30
    assert [quota.retry_after for quota in gate.quotas] == [30]


async def test_who_we_are(sandbox: ProviderSandbox) -> None:
    adapter = await slack_adapter(sandbox)
    health = await adapter.check()
    assert health.account == "castiel at Castiel Sandbox"
    assert "channels:history" in health.scopes


async def test_what_there_is(sandbox: ProviderSandbox) -> None:
    adapter = await slack_adapter(sandbox)
    described = {entity.name: entity for entity in await adapter.describe()}
    assert list(described) == ["User", "Channel", "Message"]
    assert not described["User"].deletable
    name = described["Channel"].field("name")
    assert name is not None
    assert name.required
    with pytest.raises(ConfigurationError):
        adapter.fetch("Emoji", None)
