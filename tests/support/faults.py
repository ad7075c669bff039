"""What the fault tests order, and what they hold true after each: every record once, one result, nothing stuck."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from castiel.bootstrap import Services
from castiel.domain.results import PushResult, SyncResult
from castiel.domain.shards import Shard
from castiel.domain.tasks import SyncTask, TaskStatus
from infra.local import steps
from infra.local.sample import SampleProvider, plant
from infra.local.sandbox.client import SandboxControl
from infra.local.session import Session, until

RECORDS = {"Account": 30, "Contact": 60}
PAGES_OF = {"Account": "account", "Contact": "contact"}
_numbers = itertools.count(1)


class EmulatorFaults:
    """The orders of one of the local stack's HTTP servers."""

    def __init__(self, endpoint: str) -> None:
        self._url = endpoint.rstrip("/") + "/_faults"

    async def order(self, **fault: Any) -> None:
        """Let requests go wrong; see the server's own module for what can be ordered."""
        await self._ask("POST", fault)

    async def met(self) -> bool:
        """Whether all that was ordered has been met."""
        return not (await self._ask("GET"))["faults"]

    async def clear(self) -> None:
        """Forget what was ordered."""
        await self._ask("DELETE")

    async def _ask(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.request(method, self._url, json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def database_faults(services: Services) -> EmulatorFaults:
    """Those of Cosmos DB."""
    return EmulatorFaults(services.settings.cosmos_endpoint)


def topic_faults(services: Services) -> EmulatorFaults:
    """Those of Event Grid."""
    endpoint = services.settings.event_grid_topic_endpoint or ""
    return EmulatorFaults(endpoint.removesuffix("/api/events"))


@asynccontextmanager
async def company(app: Session, **more: Any) -> AsyncIterator[SampleProvider]:
    """A tenant of its own for one test, over the same Salesforce account as the others'."""
    number = next(_numbers)
    sample = SampleProvider(
        "salesforce", f"sf-{number}", PAGES_OF, RECORDS, tenant=f"tenant-sf-{number}", **more
    )
    async with app.control("salesforce") as control:
        await control.clear_faults()
        await database_faults(app.services).clear()
        await plant(app.services, control, sample)
        yield sample
        await control.clear_faults()


async def results(services: Services, tenant: str) -> list[SyncResult]:
    """All results of a tenant's pulls, newest first."""
    since = datetime.now(UTC) - timedelta(hours=1)
    stored = services.stores.results.of_tenant(tenant, since)
    return [result async for result in stored if isinstance(result, SyncResult)]


async def expect_everything_once(app: Session, sample: SampleProvider, task: SyncTask) -> SyncResult:
    """Wait for the execution's end; then: one shard for each record, as it is, one result that counts each once."""
    result = await steps.pull_result(app, task.execution_id or "", sample.tenant)
    ended = await steps.finished_task(app, sample)
    assert ended.status is TaskStatus.COMPLETED
    assert ended.execution_id == task.execution_id
    assert ended.last_result_id == result.id
    total = sum(RECORDS.values())
    assert (result.status, result.records_processed, result.records_created) == ("success", total, total)
    assert result.metadata["requestCharge"] > result.metadata["requestChargePerRecord"] > 0
    assert [r.id for r in await results(app.services, sample.tenant)] == [result.id]
    assert await app.services.stores.shards.count(sample.tenant) == total
    async with app.control("salesforce") as control:
        for entity, shard_type in sample.entities.items():
            records = {record["Id"]: record for record in await control.records(entity)}
            shards = [
                shard
                async for shard in app.services.stores.shards.changed_since(sample.tenant, shard_type, None)
            ]
            assert sorted(s.references[0].external_id for s in shards) == sorted(records)
            name = "LastName" if entity == "Contact" else "Name"
            own = "lastName" if entity == "Contact" else "name"
            assert all(s.fields[own] == records[s.references[0].external_id][name] for s in shards)
            assert not any(shard.outbox for shard in shards)
    return result


async def push_results(services: Services, tenant: str) -> list[PushResult]:
    """All results of a tenant's pushes, newest first."""
    since = datetime.now(UTC) - timedelta(hours=1)
    stored = services.stores.results.of_tenant(tenant, since)
    return [result async for result in stored if isinstance(result, PushResult)]


async def waiting_messages(services: Services, queue: str) -> list[str]:
    """The ids of the messages that wait in a queue, are scheduled or are being handled."""
    async with services.clients.service_bus.get_queue_receiver(queue) as receiver:
        found = await receiver.peek_messages(max_message_count=250, sequence_number=1)
    return [str(message.message_id) for message in found]


async def new_people(app: Session, sample: SampleProvider, count: int) -> list[Shard]:
    """Contacts that are created here, and so have to be created at the provider."""
    return [
        await app.services.local_changes.create(
            sample.tenant,
            "contact",
            {
                "firstName": "New",
                "lastName": f"{sample.short}-{number}",
                "email": f"{number}@{sample.short}.example.com",
            },
            correlation_id="test",
        )
        for number in range(count)
    ]


async def expect_each_pushed_once(
    app: Session, control: SandboxControl, shards: list[Shard], before: int
) -> None:
    """Wait until all is pushed; then: one record for each, each result a success, and nothing left to tell.

    ``before``: how many records there were.
    """
    tenant, services = shards[0].tenant_id, app.services

    async def all_pushed() -> bool:
        found = {result.entity_id for result in await push_results(services, tenant)}
        return found == {shard.id for shard in shards} and not await waiting_messages(
            services, "sync-outbound"
        )

    await until(all_pushed, "every change is pushed", within=120)
    assert (await control.counts())["Contact"]["live"] - before == len(shards)
    assert all(result.success for result in await push_results(services, tenant))
    for shard in shards:
        stored = await services.stores.shards.get(tenant, shard.id)
        [reference] = stored.references
        record = await control.record("Contact", reference.external_id)
        assert record["LastName"] == shard.fields["lastName"]
        assert not stored.outbox
