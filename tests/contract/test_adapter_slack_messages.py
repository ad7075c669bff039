"""Writing messages with the Slack adapter: once each, whatever happens to the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from castiel.adapters.base import Adapter
from castiel.errors import (
    OutcomeUnknown,
    PermissionDenied,
    ProviderRateLimited,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)
from infra.local.sandbox.slack.names import APP_ID, BOT_ID
from tests.support.providers import ProviderSandbox, running_sandbox
from tests.support.slack import create, delete, slack_adapter, update

pytestmark = pytest.mark.stack


@dataclass
class Talk:
    """A channel and an adapter that posts to it."""

    sandbox: ProviderSandbox
    adapter: Adapter
    channel: str

    async def texts(self) -> list[str]:
        return [one["text"] for one in await self.sandbox.control.records("Message")]


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    async with running_sandbox("slack") as sandbox:
        channel = (await sandbox.control.create("Channel", name="talk"))["id"]
        yield Talk(sandbox, await slack_adapter(sandbox, channels=[channel], botId=BOT_ID), channel)


async def test_a_message_is_posted_changed_and_deleted(talk: Talk) -> None:
    [made] = await talk.adapter.push("Message", [create("k1", text="5 > 3 & <https://x.example.com|a link>")])
    assert made.error is None
    record_id = str(made.external_id)
    assert record_id.startswith(f"{talk.channel}:")
    record = (await talk.adapter.get("Message", [record_id]))[record_id]
    assert record.own_write
    assert record.fields["text"] == "5 > 3 & <https://x.example.com|a link>"
    assert (await talk.texts()) == ["5 &gt; 3 &amp; <https://x.example.com|a link>"]
    [changed] = await talk.adapter.push(
        "Message", [update("k1", record_id, text="changed", channel=talk.channel)]
    )
    assert changed.error is None
    assert changed.version != made.version
    kept = await talk.sandbox.control.record("Message", record_id)
    assert (kept["text"], kept["metadata"]["event_payload"]) == ("changed", {"key": "k1"})
    for _ in range(2):
        [gone] = await talk.adapter.delete("Message", [delete("k1", record_id)])
        assert gone.error is None
    assert await talk.texts() == []


@pytest.mark.parametrize("kind", ["drop_after", "truncated", "malformed", "status"])
async def test_a_post_whose_answer_was_lost_is_found_by_its_marker(talk: Talk, kind: str) -> None:
    options = {"status": 503, "processed": True} if kind == "status" else {}
    await talk.sandbox.control.fault(kind, path="chat.postMessage", **options)
    [lost] = await talk.adapter.push("Message", [create("k1", text="once")])
    assert isinstance(lost.error, ProviderUnavailable)
    for n in range(5):
        await talk.sandbox.control.create("Message", channel=talk.channel, text=f"between {n}")
    slow = await slack_adapter(talk.sandbox, channels=[talk.channel], pageSize=2)
    [again] = await slow.push("Message", [create("k1", retrying=True, text="once")])
    assert again.error is None
    assert (await talk.texts()).count("once") == 1


async def test_a_post_that_never_arrived_is_sent_again(talk: Talk) -> None:
    await talk.sandbox.control.fault("drop_before", path="chat.postMessage")
    [lost] = await talk.adapter.push("Message", [create("k1", text="once")])
    assert isinstance(lost.error, OutcomeUnknown)
    [again] = await talk.adapter.push("Message", [create("k1", retrying=True, text="once")])
    assert again.error is None
    assert await talk.texts() == ["once"]


async def test_the_search_for_a_marker_ends_where_retries_do(talk: Talk) -> None:
    for n in range(6):
        await talk.sandbox.control.create("Message", channel=talk.channel, text=f"old {n}")
    await talk.sandbox.control.set_clock(advance_ms=4 * 86_400_000)
    talk.adapter = await slack_adapter(talk.sandbox, channels=[talk.channel], pageSize=2)
    await talk.sandbox.control.clear_calls()
    [made] = await talk.adapter.push("Message", [create("k1", retrying=True, text="new")])
    assert made.error is None
    assert len(await talk.sandbox.control.calls(path="conversations.history")) == 1


async def test_a_reply_is_found_in_its_thread(talk: Talk) -> None:
    parent = await talk.sandbox.control.create("Message", channel=talk.channel, text="parent")
    [first] = await talk.adapter.push("Message", [create("k1", text="reply", thread_ts=parent["ts"])])
    [second] = await talk.adapter.push(
        "Message", [create("k1", retrying=True, text="reply", thread_ts=parent["ts"])]
    )
    assert first.error is None
    assert first.external_id == second.external_id


async def test_one_failure_fails_no_other(talk: Talk) -> None:
    person = await talk.sandbox.control.create("Message", channel=talk.channel, text="a person's")
    outcomes = await talk.adapter.push(
        "Message",
        [
            create("k1", text="good"),
            update("k2", person["id"], text="not ours"),
            update("k3", f"{talk.channel}:1.000001", text="nowhere"),
            update("k4", "nonsense", text="nowhere"),
            create("k5", text="x", reactions=[]),
            create("k6", channel="C0NOWHERE", text="x"),
            create("k7"),
            create("k8", text="good too"),
        ],
    )
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        PermissionDenied,
        RecordNotFound,
        RecordNotFound,
        SchemaMismatch,
        RecordNotFound,
        SchemaMismatch,
        type(None),
    ]
    assert [outcome.key for outcome in outcomes] == [f"k{n}" for n in range(1, 9)]
    assert not any("nowhere" in str(outcome.error) for outcome in outcomes)


async def test_an_error_of_one_record_leaves_the_others(talk: Talk) -> None:
    await talk.sandbox.control.fault("record_error", code="internal_error", method="create", times=1)
    bad, good = await talk.adapter.push("Message", [create("k1", text="a"), create("k2", text="b")])
    assert isinstance(bad.error, ProviderUnavailable)
    assert good.error is None


async def test_a_limit_ends_the_batch(talk: Talk) -> None:
    await talk.sandbox.control.policy(enforce_rate_limits=True)
    outcomes = await talk.adapter.push("Message", [create(f"k{n}", text=f"no {n}") for n in range(4)])
    assert outcomes[0].error is None
    assert all(isinstance(outcome.error, ProviderRateLimited) for outcome in outcomes[1:])
    assert outcomes[1].error is not None
    assert outcomes[1].error.retry_after == 1
    assert len(await talk.sandbox.control.calls(path="chat.postMessage")) == 2


async def test_a_lost_connection_ends_the_batch(talk: Talk) -> None:
    await talk.sandbox.control.fault("drop_after", path="chat.postMessage")
    lost, unsent = await talk.adapter.push("Message", [create("k1", text="a"), create("k2", text="b")])
    assert isinstance(lost.error, OutcomeUnknown)
    assert type(unsent.error) is ProviderUnavailable
    assert await talk.texts() == ["a"]


async def test_a_new_message_needs_a_channel(talk: Talk) -> None:
    homeless = await slack_adapter(talk.sandbox)
    [outcome] = await homeless.push("Message", [create("k1", text="where?")])
    assert isinstance(outcome.error, SchemaMismatch)
    settled = await slack_adapter(talk.sandbox, defaultChannel=talk.channel, appId=APP_ID)
    [posted] = await settled.push("Message", [create("k1", text="here")])
    assert posted.error is None
    record = (await settled.get("Message", [str(posted.external_id)]))[str(posted.external_id)]
    assert record.own_write
