"""Messages come twice, late and in any order: the sandbox and the stores end up the same, each record once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from castiel.bootstrap import Services, build
from castiel.domain.messages import Operation, OutboundMessage, OutboundSource, SyncMessage
from castiel.domain.shards import Shard
from castiel.domain.tasks import SyncMode
from castiel.ports.messaging import QueueMessage, ReceivedMessage
from infra.local.sample import SampleProvider, plant
from infra.local.sandbox.client import SandboxControl
from tests.support.app import InProcess, running_services
from tests.support.faults import RECORDS, push_results

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SAMPLE = SampleProvider("salesforce", "sf-order", {"Contact": "contact"}, RECORDS, tenant="tenant-order")
SETTINGS = {"SYNC_LEASE_SECONDS": "2", "SYNC_RETRY_BASE_SECONDS": "0.1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[InProcess]:
    async with running_services(settings=SETTINGS) as running:
        async with running.control() as control:
            await plant(running.services, control, SAMPLE)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(app: InProcess) -> AsyncIterator[Services]:
    services = build(app.services.settings)
    yield services
    await services.aclose()


async def story(app: InProcess, word: str) -> tuple[Shard, list[ReceivedMessage]]:
    """A contact is made, changed twice and deleted, and another one stays: all messages of it, none handled."""
    changes, tenant = app.services.local_changes, SAMPLE.tenant
    stays = await changes.create(tenant, "contact", {"lastName": word, "title": "One"}, correlation_id=word)
    for title in ("Two", "Three"):
        await changes.update(tenant, stays.id, {"title": title}, correlation_id=word)
    goes = await changes.create(tenant, "contact", {"lastName": f"{word}-gone"}, correlation_id=word)
    await changes.delete(tenant, goes.id, correlation_id=word)
    return stays, await app.take("sync-outbound", 5)


async def put_back(app: InProcess) -> None:
    """Handle what met a held lease, until nothing waits."""
    while messages := await app.take("sync-outbound", 20, wait=1.5):
        await app.services.outbound_worker.handle(messages)


async def expect_the_end_of_the_story(
    app: InProcess, shard: Shard, control: SandboxControl, word: str
) -> None:
    records = [r for r in await control.records("Contact", deleted=True) if r["LastName"].startswith(word)]
    live = [(record["LastName"], record["Title"]) for record in records if not record["IsDeleted"]]
    assert live == [(word, "Three")]
    stored = await app.services.stores.shards.get(SAMPLE.tenant, shard.id)
    [reference] = stored.references
    assert reference.base["title"] == "Three"
    assert not stored.outbox
    assert all(result.success for result in await push_results(app.services, SAMPLE.tenant))


@pytest.mark.parametrize("seed", range(3))
async def test_changes_of_ours_in_any_order_and_each_twice(app: InProcess, seed: int) -> None:
    word = f"Order{seed}"
    shard, messages = await story(app, word)
    twice = [*messages, *messages]
    random.Random(seed).shuffle(twice)
    for message in twice:
        await app.services.outbound_worker.handle([message])
    await put_back(app)
    async with app.control() as control:
        await expect_the_end_of_the_story(app, shard, control, word)


async def test_changes_of_ours_at_once_on_two_instances(app: InProcess, other: Services) -> None:
    shard, messages = await story(app, "AtOnce")
    await asyncio.gather(
        app.services.outbound_worker.handle(messages), other.outbound_worker.handle(list(reversed(messages)))
    )
    await put_back(app)
    async with app.control() as control:
        await expect_the_end_of_the_story(app, shard, control, "AtOnce")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (2, 0, 1, 2, 0)], ids=str)
async def test_a_providers_events_in_any_order(app: InProcess, order: Sequence[int]) -> None:
    """A record was made, changed and deleted before any of its events was looked at, and another one only changed."""
    word = f"Events{'-'.join(map(str, order))}"
    async with app.control() as control:
        goes = await control.create("Contact", LastName=f"{word}-gone", Email=f"{word}-gone@example.com")
        stays = await control.create("Contact", LastName=word, Email=f"{word}@example.com")
        first = [event(goes["Id"], Operation.CREATE), event(stays["Id"], Operation.CREATE)]
        await app.services.outbound_worker.handle(first)
        await control.edit("Contact", goes["Id"], Title="Late")
        await control.edit("Contact", stays["Id"], Title="Late")
        await control.delete("Contact", goes["Id"])
    events = [
        event(goes["Id"], Operation.UPDATE),
        event(stays["Id"], Operation.UPDATE),
        event(goes["Id"], Operation.DELETE),
    ]
    for position in order:
        await app.services.outbound_worker.handle([events[position]])
    await app.services.outbound_worker.handle([event(goes["Id"], Operation.CREATE)])

    gone, kept = await shard_of(app, goes["Id"]), await shard_of(app, stays["Id"])
    assert gone.deleted
    assert not kept.deleted
    assert kept.fields["title"] == "Late"


async def test_a_deletion_that_a_registration_only_pulls(app: InProcess) -> None:
    """Salesforce no longer shows the record, so that only the message knows that it was deleted."""
    async with app.control() as control:
        record = await control.create("Contact", LastName="PulledAway", Email="pulled@example.com")
        await app.services.outbound_worker.handle([event(record["Id"], Operation.CREATE)])
        await control.delete("Contact", record["Id"])
    for deletions in ({}, {record["Id"]: datetime.now(UTC)}):
        assert not (await shard_of(app, record["Id"])).deleted
        body = SyncMessage(
            integration_id="salesforce",
            tenant_id=SAMPLE.tenant,
            connection_id=SAMPLE.connection_id,
            sync_mode=SyncMode.PULL,
            correlation_id="pull",
            enqueued_at=datetime.now(UTC),
            entity="Contact",
            external_ids=[record["Id"]],
            deletions=deletions,
        )
        await app.services.inbound_worker.handle(ReceivedMessage(body.to_json_text().encode(), "pull"))
    assert (await shard_of(app, record["Id"])).deleted


def event(record_id: str, operation: Operation) -> ReceivedMessage:
    body = OutboundMessage(
        tenant_id=SAMPLE.tenant,
        integration_id="salesforce",
        connection_id=SAMPLE.connection_id,
        entity_id=record_id,
        operation=operation,
        correlation_id=f"event-{record_id}",
        enqueued_at=datetime.now(UTC),
        source=OutboundSource.WEBHOOK,
        entity="Contact",
        external_id=record_id,
    )
    sent = QueueMessage(f"event:{record_id}:{operation}", body.to_json_text(), body.correlation_id)
    return ReceivedMessage(sent.body.encode(), sent.message_id, sent.correlation_id)


async def shard_of(app: InProcess, record_id: str) -> Shard:
    key = f"{SAMPLE.connection_id}|Contact|{record_id}"
    [shard] = await app.services.stores.shards.by_references(SAMPLE.tenant, "contact", [key])
    return shard
