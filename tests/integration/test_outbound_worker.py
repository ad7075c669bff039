"""SyncOutboundWorker over the local stack: every change arrives once, the sandbox's own records are the judge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from castiel.domain.results import PushResult
from castiel.domain.shards import Shard
from castiel.ports.messaging import ReceivedMessage
from infra.local.sample import SALESFORCE, TENANT, new_tokens, plant
from infra.local.sandbox.client import SandboxControl
from tests.support.app import InProcess, running_services

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

QUEUE = "sync-outbound"


@pytest.fixture(scope="module")
def app_settings() -> dict[str, str]:
    return {"SYNC_RETRY_BASE_SECONDS": "0.1", "SYNC_MAX_RETRIES": "3"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(app_settings: dict[str, str]) -> AsyncIterator[InProcess]:
    async with running_services(settings=app_settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def control(stack: InProcess) -> AsyncIterator[SandboxControl]:
    async with stack.control() as control:
        await control.reset()
        await plant(stack.services, control)
        await new_tokens(stack.services, control, SALESFORCE)
        yield control
        await control.clear_faults()
        await drain(stack)


async def drain(stack: InProcess) -> None:
    while await stack.take(QUEUE, 100, wait=0.5):
        continue


async def new_contact(stack: InProcess, name: str) -> Shard:
    fields = {"firstName": "Ada", "lastName": name, "email": f"{name.lower()}@example.com"}
    return await stack.services.local_changes.create(TENANT, "contact", fields, correlation_id=f"test-{name}")


async def contacts_named(control: SandboxControl, name: str) -> list[dict[str, Any]]:
    return [record for record in await control.records("Contact") if record["LastName"] == name]


async def results_of(stack: InProcess, shard: Shard) -> list[PushResult]:
    since = datetime.now(UTC) - timedelta(minutes=10)
    stored = stack.services.stores.results.of_tenant(TENANT, since)
    found = [r async for r in stored if isinstance(r, PushResult) and r.entity_id == shard.id]
    return sorted(found, key=lambda result: result.id)


async def handle(stack: InProcess, messages: list[ReceivedMessage]) -> None:
    await stack.services.outbound_worker.handle(messages)


def again(message: ReceivedMessage) -> ReceivedMessage:
    """The same message as the queue would deliver it after a crash."""
    return ReceivedMessage(
        message.body,
        message.message_id,
        message.correlation_id,
        message.delivery_count + 1,
        message.enqueued_at,
        message.properties,
    )


async def test_a_batch_makes_each_record_once_with_one_provider_call(
    stack: InProcess, control: SandboxControl
) -> None:
    shards = [await new_contact(stack, f"Batch{n}") for n in range(20)]
    messages = await stack.take(QUEUE, 20)
    await control.clear_calls()
    await handle(stack, messages)

    assert len([r for r in await control.records("Contact") if r["LastName"].startswith("Batch")]) == 20
    assert len(await control.calls(method="PATCH", path="composite/sobjects")) == 1
    for shard in shards:
        [result] = await results_of(stack, shard)
        assert (result.success, result.operation) == (True, "create")
        stored = await stack.services.stores.shards.get(TENANT, shard.id)
        assert stored.references[0].external_id == result.external_id


async def test_the_same_message_twice_makes_one_record(stack: InProcess, control: SandboxControl) -> None:
    shard = await new_contact(stack, "Twice")
    [message] = await stack.take(QUEUE)
    await handle(stack, [message])
    await handle(stack, [again(message)])
    assert len(await contacts_named(control, "Twice")) == 1
    assert len(await results_of(stack, shard)) == 1


async def test_the_same_message_on_two_workers_at_once_makes_one_record(
    stack: InProcess, control: SandboxControl
) -> None:
    await new_contact(stack, "AtOnce")
    [message] = await stack.take(QUEUE)
    await asyncio.gather(handle(stack, [message]), handle(stack, [again(message)]))
    for copy in await stack.take(QUEUE, 1, wait=5):
        await handle(stack, [copy])
    assert len(await contacts_named(control, "AtOnce")) == 1


async def test_a_create_whose_answer_never_came_is_not_made_again(
    stack: InProcess, control: SandboxControl
) -> None:
    shard = await new_contact(stack, "NoAnswer")
    [message] = await stack.take(QUEUE)
    await control.fault("drop_after", path="composite/sobjects", times=2)
    await handle(stack, [message])
    assert [fault["hits"] for fault in await control.faults()] == [2]
    for copy in await stack.take(QUEUE, 1, wait=3):
        await handle(stack, [copy])
    assert len(await contacts_named(control, "NoAnswer")) == 1
    assert (await stack.services.stores.shards.get(TENANT, shard.id)).references


async def test_one_record_that_is_refused_fails_alone(stack: InProcess, control: SandboxControl) -> None:
    good = await new_contact(stack, "Good")
    fields = {"firstName": "No", "lastName": "N" * 200}
    bad = await stack.services.local_changes.create(TENANT, "contact", fields, correlation_id="test-bad")
    await handle(stack, await stack.take(QUEUE, 2))
    [result] = await results_of(stack, good)
    assert result.success
    [result] = await results_of(stack, bad)
    assert not result.success
    assert result.retryable is False
    assert result.given_up_message is not None
    assert result.given_up_message["body"]["entityId"] == bad.id


async def test_a_locked_row_is_tried_again_alone(stack: InProcess, control: SandboxControl) -> None:
    shard = await new_contact(stack, "Locked")
    await handle(stack, await stack.take(QUEUE))
    await stack.services.local_changes.update(
        TENANT, shard.id, {"title": "Clerk"}, correlation_id="test-locked"
    )
    other = await new_contact(stack, "Free")
    await control.fault("record_error", code="UNABLE_TO_LOCK_ROW", method="update", entity="Contact", times=1)
    await handle(stack, await stack.take(QUEUE, 2))
    assert [r.success for r in await results_of(stack, other)] == [True]
    assert len(await results_of(stack, shard)) == 1
    [copy] = await stack.take(QUEUE)
    assert copy.attempt == 1
    await handle(stack, [copy])
    assert [r.success for r in await results_of(stack, shard)] == [True, True]
    assert (await contacts_named(control, "Locked"))[0]["Title"] == "Clerk"


async def test_a_delete_and_an_update_in_one_batch_end_in_a_delete(
    stack: InProcess, control: SandboxControl
) -> None:
    shard = await new_contact(stack, "Both")
    await handle(stack, await stack.take(QUEUE))
    changes = stack.services.local_changes
    await changes.update(TENANT, shard.id, {"title": "Clerk"}, correlation_id="test-both-1")
    await changes.delete(TENANT, shard.id, correlation_id="test-both-2")
    await handle(stack, await stack.take(QUEUE, 2))
    assert await contacts_named(control, "Both") == []
    assert (await results_of(stack, shard))[-1].operation == "delete"


async def test_deleting_what_is_gone_succeeds(stack: InProcess, control: SandboxControl) -> None:
    shard = await new_contact(stack, "Gone")
    await handle(stack, await stack.take(QUEUE))
    record = (await contacts_named(control, "Gone"))[0]
    await control.delete("Contact", record["Id"])
    await stack.services.local_changes.delete(TENANT, shard.id, correlation_id="test-gone")
    await handle(stack, await stack.take(QUEUE))
    assert (await results_of(stack, shard))[-1].success


async def test_local_wins_and_the_conflict_is_recorded(stack: InProcess, control: SandboxControl) -> None:
    shard = await new_contact(stack, "Contested")
    await handle(stack, await stack.take(QUEUE))
    record = (await contacts_named(control, "Contested"))[0]
    await control.edit("Contact", record["Id"], Title="Theirs", Department="Only theirs")
    await stack.services.local_changes.update(
        TENANT, shard.id, {"title": "Ours"}, correlation_id="test-conflict"
    )
    await handle(stack, await stack.take(QUEUE))
    pushed = (await contacts_named(control, "Contested"))[0]
    assert (pushed["Title"], pushed["Department"]) == ("Ours", "Only theirs")
    result = (await results_of(stack, shard))[-1]
    assert [conflict["field"] for conflict in result.conflicts] == ["title"]


async def test_what_cannot_be_read_does_not_take_its_batch_along(
    stack: InProcess, control: SandboxControl
) -> None:
    shard = await new_contact(stack, "Company")
    messages = await stack.take(QUEUE)
    broken = ReceivedMessage(b'{"entityId": 1', "broken-1", "c")
    await handle(stack, [broken, *messages])
    assert [r.success for r in await results_of(stack, shard)] == [True]
    [copy] = await stack.take(QUEUE)
    assert copy.message_id == "broken-1#1"


async def test_an_echo_of_our_own_write_changes_nothing(stack: InProcess, control: SandboxControl) -> None:
    shard = await new_contact(stack, "Echo")
    await handle(stack, await stack.take(QUEUE))
    before = await stack.services.stores.shards.get(TENANT, shard.id)
    record = (await contacts_named(control, "Echo"))[0]
    connection = await stack.services.stores.connections.get(TENANT, SALESFORCE.connection_id)
    entity = connection.entity("Contact")
    assert entity is not None
    adapter = stack.services.integrations.adapter(connection)
    found = await adapter.get("Contact", [record["Id"]])
    context = await stack.services.engine.context(connection, entity, "test-echo")
    await stack.services.engine.pull(context, list(found.values()))
    after = await stack.services.stores.shards.get(TENANT, shard.id)
    assert after.fields | {"name": None} == before.fields | {"name": None}
    assert await stack.take(QUEUE, 1, wait=0.5) == []
