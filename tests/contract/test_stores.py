"""What the services were promised of their stores, held against the stores in memory and those on Cosmos DB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import DatabaseProxy

from castiel.azure.cosmos_conflicts import CosmosConflicts
from castiel.azure.cosmos_connections import CosmosConnections, CosmosLimits, CosmosSchemas
from castiel.azure.cosmos_results import CosmosFailedRecords, CosmosResults
from castiel.azure.cosmos_shards import CosmosShards
from castiel.azure.cosmos_tasks import CosmosTasks
from castiel.domain.connections import Connection, ConnectionStatus
from castiel.domain.conversion import ConversionSchema
from castiel.domain.failures import FailedRecord
from castiel.domain.limits import TenantLimits
from castiel.domain.messages import Operation
from castiel.domain.parked import ParkedConflict
from castiel.domain.results import PushResult
from castiel.domain.shards import DERIVED, ExternalReference, OutboxEntry, Shard, ShardLink
from castiel.domain.tasks import Priority, SyncMode, SyncTask, TaskStatus
from castiel.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from castiel.ports.stores import (
    ConflictStore,
    ConnectionStore,
    FailedRecordStore,
    LiveReference,
    SaveOutcome,
    SchemaStore,
    ShardStore,
    TaskStore,
)
from tests.support.fakes.documents import MemoryConnections
from tests.support.fakes.records import (
    MemoryConflicts,
    MemoryFailedRecords,
    MemorySchemas,
    MemoryShards,
    MemoryTasks,
)

NOON = datetime(2025, 12, 10, 12, 0, tzinfo=UTC)
A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Stores:
    shards: ShardStore
    tasks: TaskStore
    conflicts: ConflictStore
    failed: FailedRecordStore
    connections: ConnectionStore
    schemas: SchemaStore


@pytest.fixture(params=["memory", pytest.param("cosmos", marks=pytest.mark.stack)])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield Stores(
            MemoryShards(),
            MemoryTasks(),
            MemoryConflicts(),
            MemoryFailedRecords(),
            MemoryConnections(),
            MemorySchemas(),
        )
        return
    account = request.getfixturevalue("cosmos_account")
    async with account.client() as client:
        database = await client.create_database(f"stores-{id(request)}")
        try:
            yield await _on_cosmos(database)
        finally:
            await client.delete_database(database.id)


async def _on_cosmos(database: DatabaseProxy) -> Stores:
    async def container(name: str, *paths: str) -> Any:
        key = (
            PartitionKey(path=list(paths), kind="MultiHash")
            if len(paths) > 1
            else PartitionKey(path=paths[0])
        )
        return await database.create_container(name, partition_key=key)

    return Stores(
        CosmosShards(await container("shards", "/tenantId", "/shardType")),
        CosmosTasks(await container("sync-tasks", "/tenantId")),
        CosmosConflicts(await container("conflicts", "/tenantId")),
        CosmosFailedRecords(await container("sync-results", "/tenantId", "/executedOn")),
        CosmosConnections(await container("connections", "/tenantId")),
        CosmosSchemas(await container("conversion-schemas", "/tenantId")),
    )


def shard(name: str, *, tenant: str = "acme", shard_type: str = "contact", **more: Any) -> Shard:
    made = Shard(
        id=f"{shard_type}-{name}",
        tenant_id=tenant,
        shard_type=shard_type,
        created_at=NOON,
        **{"updated_at": NOON, **more},
    )
    made.put_reference(
        ExternalReference(integration_id="crm", connection_id="crm", entity="Person", external_id=name)
    )
    return made


async def saved(stores: Stores, *shards: Shard) -> Sequence[Shard]:
    by_partition: dict[tuple[str, str], list[Shard]] = {}
    for each in shards:
        by_partition.setdefault((each.tenant_id, each.shard_type), []).append(each)
    for some in by_partition.values():
        assert all(outcome.error is None for outcome in await stores.shards.save(some))
    return shards


def errors(outcomes: Sequence[SaveOutcome]) -> list[type | None]:
    return [type(outcome.error) if outcome.error else None for outcome in outcomes]


async def test_a_saved_shard_is_read_back_whole(stores: Stores) -> None:
    [made] = await saved(stores, shard("1", fields={"name": "Ada", "deep": {"list": [1, None]}}))
    found = await stores.shards.get("acme", "contact-1")
    assert found == made
    assert found.etag == made.etag is not None


async def test_nothing_of_another_tenant_is_found(stores: Stores) -> None:
    await saved(stores, shard("1", tenant="other", blocking_keys=["k"], links=[_link("account-1")]))
    with pytest.raises(NotFound):
        await stores.shards.get("acme", "contact-1")
    assert await stores.shards.get_many("acme", ["contact-1"]) == []
    assert await stores.shards.by_references("acme", "contact", ["crm|Person|1"]) == []
    assert await stores.shards.by_blocking_keys("acme", "contact", ["k"], 10) == []
    assert await stores.shards.linking_to("acme", "account-1", limit=10) == []
    assert await stores.shards.count("acme") == 0


async def test_one_conflict_does_not_spoil_the_others(stores: Stores) -> None:
    one, two, three = await saved(stores, shard("1"), shard("2"), shard("3"))
    elsewhere = await stores.shards.get("acme", two.id)
    elsewhere.fields["by"] = "another"
    await saved(stores, elsewhere)
    for each in (one, two, three):
        each.fields["by"] = "me"
    outcomes = await stores.shards.save([one, two, shard("1"), three, shard("4")])
    assert errors(outcomes) == [None, Conflict, AlreadyExists, None, None]
    assert [outcome.shard.id for outcome in outcomes] == [
        "contact-1",
        "contact-2",
        "contact-1",
        "contact-3",
        "contact-4",
    ]
    assert (await stores.shards.get("acme", two.id)).fields["by"] == "another"
    assert (await stores.shards.get("acme", three.id)).fields["by"] == "me"


async def test_the_new_etag_lets_the_next_write_through(stores: Stores) -> None:
    [one] = await saved(stores, shard("1"))
    one.fields["n"] = 1
    await saved(stores, one)
    one.fields["n"] = 2
    await saved(stores, one)


async def test_together_is_all_or_nothing(stores: Stores) -> None:
    one, two = await saved(stores, shard("1"), shard("2"))
    stale = await stores.shards.get("acme", two.id)
    two.fields["n"] = 1
    await saved(stores, two)
    one.fields["n"] = stale.fields["n"] = 2
    with pytest.raises(Conflict):
        await stores.shards.save_together([one, stale])
    assert "n" not in (await stores.shards.get("acme", one.id)).fields
    await stores.shards.save_together([one, two])
    one.fields["n"] = 3
    await saved(stores, one)


async def test_more_than_a_batch_is_saved(stores: Stores) -> None:
    await saved(stores, *(shard(str(n)) for n in range(230)))
    assert await stores.shards.count("acme", "contact") == 230


@pytest.mark.filterwarnings(
    "ignore:Sending a large body:ResourceWarning"
)  # the SDK's transport, of what it sends
async def test_a_batch_of_large_shards_is_split(stores: Stores) -> None:
    await saved(stores, *(shard(str(n), fields={"text": "é" * 150_000}) for n in range(12)))
    assert await stores.shards.count("acme", "contact") == 12


async def test_shards_are_found_by_any_of_their_references(stores: Stores) -> None:
    both = shard("1")
    both.put_reference(
        ExternalReference(integration_id="mail", connection_id="mail", entity="Person", external_id="a")
    )
    await saved(stores, both, shard("2"), shard("3"))
    keys = ["crm|Person|1", "mail|Person|a", "crm|Person|3", "crm|Person|none"]
    found = await stores.shards.by_references("acme", "contact", keys)
    assert sorted(each.id for each in found) == ["contact-1", "contact-3"]


async def test_two_hundred_references_at_once(stores: Stores) -> None:
    await saved(stores, *(shard(str(n)) for n in range(220)))
    found = await stores.shards.by_references("acme", "contact", [f"crm|Person|{n}" for n in range(220)])
    assert len(found) == 220


async def test_blocking_keys_find_live_shards_up_to_a_limit(stores: Stores) -> None:
    await saved(
        stores,
        shard("1", blocking_keys=["a", "b"]),
        shard("2", blocking_keys=["b"]),
        shard("3", blocking_keys=["b"], deleted=True),
        shard("4", blocking_keys=["c"]),
    )
    look = stores.shards.by_blocking_keys
    found = await look("acme", "contact", ["a", "b"], 10)
    assert sorted(found) == [("contact-1", "a"), ("contact-1", "b"), ("contact-2", "b")]
    assert len(await look("acme", "contact", ["a", "b"], 2)) == 2
    assert await look("acme", "account", ["a", "b"], 10) == []


async def test_many_ids_of_several_types_are_read_at_once(stores: Stores) -> None:
    await saved(stores, *(shard(str(n)) for n in range(130)), shard("1", shard_type="account"))
    wanted = [f"contact-{n}" for n in range(130)] + ["account-1", "contact-none"]
    found = await stores.shards.get_many("acme", wanted)
    assert sorted(each.id for each in found) == sorted(wanted[:-1])


def _link(shard_id: str) -> ShardLink:
    return ShardLink(relation=DERIVED, shard_id=shard_id, shard_type="account")


async def test_live_shards_that_link_to_another_are_told(stores: Stores) -> None:
    await saved(
        stores,
        shard("1", links=[_link("account-1")]),
        shard("2", links=[_link("account-2"), _link("account-1")]),
        shard("3", links=[_link("account-1")], deleted=True),
        shard("4", links=[ShardLink(relation="primary", shard_id="account-1", shard_type="account")]),
    )
    assert sorted(await stores.shards.linking_to("acme", "account-1", limit=10)) == ["contact-1", "contact-2"]
    assert len(await stores.shards.linking_to("acme", "account-1", limit=1)) == 1


async def test_old_outbox_markers_of_all_tenants_come_oldest_first(stores: Stores) -> None:
    def waiting(name: str, since: datetime, tenant: str = "acme") -> Shard:
        made = shard(name, tenant=tenant)
        made.announce(
            OutboxEntry(
                id=name,
                connection_id="mail",
                integration_id="mail",
                entity="Person",
                operation=Operation.UPDATE,
                correlation_id="x",
                since=since,
            )
        )
        return made

    await saved(
        stores,
        waiting("2", NOON + A_SECOND, "other"),
        waiting("1", NOON),
        waiting("3", NOON + timedelta(minutes=5)),
        shard("4"),
    )
    found = [each.id async for each in stores.shards.with_old_outbox(NOON + timedelta(minutes=1))]
    assert found == ["contact-1", "contact-2"]


async def test_changes_come_oldest_first(stores: Stores) -> None:
    await saved(stores, *(shard(str(n), updated_at=NOON + n * A_SECOND) for n in (3, 1, 2)))
    found = [each.id async for each in stores.shards.changed_since("acme", "contact", NOON + 2 * A_SECOND)]
    assert found == ["contact-2", "contact-3"]
    assert len([each async for each in stores.shards.changed_since("acme", "contact", None)]) == 3


async def test_a_connections_live_references_are_streamed(stores: Stores) -> None:
    pulled = shard("pulled")
    pulled.put_reference(
        pulled.references[0].model_copy(update={"pulled_at": NOON, "pushed_at": NOON + A_SECOND})
    )
    twice = shard("twice")
    twice.put_reference(twice.references[0].model_copy(update={"external_id": "gone there", "deleted": True}))
    twice.put_reference(twice.references[0].model_copy(update={"external_id": "elsewhere", "entity": "Lead"}))
    await saved(stores, *(shard(str(n)) for n in range(120)), shard("gone", deleted=True), pulled, twice)
    found = [each async for each in stores.shards.references_to("acme", "contact", "crm", "Person")]
    assert sorted(each.external_id for each in found) == sorted([*map(str, range(120)), "pulled", "twice"])
    assert LiveReference("pulled", NOON, NOON + A_SECOND) in found
    assert LiveReference("twice", None, None) in found
    assert [e async for e in stores.shards.references_to("acme", "contact", "crm", "Company")] == []


def task(name: str, **more: Any) -> SyncTask:
    return SyncTask(
        id=name,
        tenant_id="acme",
        integration_id="crm",
        connection_id="crm",
        sync_mode=SyncMode.PULL,
        **more,
    )


async def test_due_tasks_are_those_that_wait_or_whose_time_has_come(stores: Stores) -> None:
    past, future = NOON - A_SECOND, NOON + A_SECOND
    for each in (
        task("pending"),
        task("again", status=TaskStatus.COMPLETED, next_scheduled=past),
        task("now", status=TaskStatus.FAILED, next_scheduled=NOON),
        task("later", status=TaskStatus.COMPLETED, next_scheduled=future),
        task("once", status=TaskStatus.COMPLETED),
        task("queued", status=TaskStatus.QUEUED, next_scheduled=past),
        task("busy", status=TaskStatus.PROCESSING, next_scheduled=past),
        task("off", enabled=False),
        task("urgent", priority=Priority.HIGH),
    ):
        await stores.tasks.create(each)
    assert sorted([e.id async for e in stores.tasks.due(NOON, Priority.NORMAL)]) == [
        "again",
        "now",
        "pending",
    ]
    assert [e.id async for e in stores.tasks.due(NOON, Priority.HIGH)] == ["urgent"]
    assert sorted([e.id async for e in stores.tasks.unfinished()]) == ["busy", "queued"]
    assert await stores.tasks.count_disabled_due(NOON) == 1


async def test_only_one_of_two_claims_succeeds(stores: Stores) -> None:
    await stores.tasks.create(task("t"))
    copies = [await stores.tasks.get("acme", "t") for _ in range(5)]
    for number, copy in enumerate(copies):
        copy.queue(f"exec-{number}", NOON)
    outcomes = await asyncio.gather(*map(stores.tasks.replace, copies), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 4 + ["SyncTask"]


async def test_of_several_claims_at_once_those_fail_that_somebody_else_was_first_with(stores: Stores) -> None:
    for number in range(120):
        await stores.tasks.create(task(f"t{number}"))
    due = [each async for each in stores.tasks.due(NOON, Priority.NORMAL)]
    first = await stores.tasks.get("acme", due[7].id)
    first.queue("exec-first", NOON)
    await stores.tasks.replace(first)
    await stores.tasks.delete(await stores.tasks.get("acme", due[110].id))
    for each in due:
        each.queue("exec-second", NOON)

    errors = await stores.tasks.replace_each("acme", due)
    assert {number for number, error in enumerate(errors) if error is not None} == {7, 110}
    assert all(isinstance(errors[number], Conflict) for number in (7, 110))
    stored = {each.id: each async for each in stores.tasks.of_tenant("acme")}
    assert stored.pop(due[7].id).execution_id == "exec-first"
    assert {each.execution_id for each in stored.values()} == {"exec-second"}
    # What was written has its new ETag: it can be given back at once.
    due[0].give_back()
    await stores.tasks.replace(due[0])


async def test_the_due_are_streamed_while_claims_change_them(stores: Stores) -> None:
    for start in range(0, 250, 50):
        await asyncio.gather(*(stores.tasks.create(task(f"t{n}")) for n in range(start, start + 50)))
    claimed = []
    async for each in stores.tasks.due(NOON, Priority.NORMAL):
        each.queue("exec", NOON)
        claimed.append((await stores.tasks.replace(each)).id)
    assert len(claimed) == len(set(claimed)) == 250


def connection(name: str, tenant: str, status: ConnectionStatus) -> Connection:
    return Connection(
        id=name, tenant_id=tenant, integration_id="crm", credential_id=f"cred-{name}", status=status
    )


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a?b", "a#b", "a\nb", "a ", ".", "..", "", "é" * 512])
async def test_an_id_that_no_document_can_have_is_not_there_and_not_made(stores: Stores, name: str) -> None:
    with pytest.raises(InvalidInput, match="can't be one"):
        await stores.connections.create(connection(name, "acme", ConnectionStatus.ACTIVE))
    with pytest.raises(NotFound):
        await stores.connections.get("acme", name)


@pytest.mark.parametrize("name", ["a b", "%2e", "…", " a", "a:b@c", "é" * 511])
async def test_any_other_id_is_found_again(stores: Stores, name: str) -> None:
    await stores.connections.create(connection(name, "acme", ConnectionStatus.ACTIVE))
    assert (await stores.connections.get("acme", name)).id == name


async def test_the_inactive_connections_of_all_tenants_are_those_that_are_not_active(stores: Stores) -> None:
    for tenant in ("acme", "other"):
        for status in ConnectionStatus:
            await stores.connections.create(connection(status.value, tenant, status))
    back = await stores.connections.create(connection("back", "acme", ConnectionStatus.NEEDS_REAUTH))
    back.status = ConnectionStatus.ACTIVE
    await stores.connections.replace(back)
    found = [tuple(each) async for each in stores.connections.inactive()]
    assert sorted(found) == sorted(
        (tenant, status.value, status)
        for tenant in ("acme", "other")
        for status in ConnectionStatus
        if status is not ConnectionStatus.ACTIVE
    )


@pytest.mark.stack
async def test_what_else_is_in_their_container_is_no_inactive_connection(
    cosmos_database: DatabaseProxy,
) -> None:
    container = await cosmos_database.create_container("connections", PartitionKey(path="/tenantId"))
    await CosmosLimits(container).put(TenantLimits(tenant_id="acme"))
    broken = connection("broken", "acme", ConnectionStatus.NEEDS_REAUTH).to_json()
    await container.upsert_item({**broken, "entities": "unreadable"})
    found = [each async for each in CosmosConnections(container).inactive()]
    assert [(each.id, each.status) for each in found] == [("broken", ConnectionStatus.NEEDS_REAUTH)]


def parked(name: str, **more: Any) -> ParkedConflict:
    return ParkedConflict(
        id=name,
        tenant_id="acme",
        shard_id="contact-1",
        shard_type="contact",
        integration_id="crm",
        connection_id="crm",
        entity="Person",
        external_id="1",
        detected_at=NOON,
        **more,
    )


async def test_parking_again_replaces_and_deleting_again_is_fine(stores: Stores) -> None:
    await stores.conflicts.put_many([parked(str(n), local=n) for n in range(20)])
    await stores.conflicts.put(parked("3", local="new"))
    assert (await stores.conflicts.get("acme", "3")).local == "new"
    for _ in range(2):
        await stores.conflicts.delete("acme", "3")
    with pytest.raises(NotFound):
        await stores.conflicts.get("acme", "3")
    assert len([each async for each in stores.conflicts.of_tenant("acme")]) == 19
    assert [each async for each in stores.conflicts.of_tenant("other")] == []


def failed(name: str) -> FailedRecord:
    return FailedRecord(
        id=name,
        tenant_id="acme",
        integration_id="crm",
        connection_id="crm",
        entity="Person",
        external_id=name,
        fields={"name": "Ada"},
        modified_at=NOON,
        code="ConversionFailed",
        message="lastName: is required",
        executed_at=NOON,
    )


async def test_failed_records_are_kept_whole_until_deleted(stores: Stores) -> None:
    await stores.failed.put_many([failed(str(n)) for n in range(20)])
    await stores.failed.put_many([failed("3")])
    found = {each.id: each async for each in stores.failed.of_tenant("acme")}
    assert len(found) == 20
    assert (found["3"].fields, found["3"].modified_at) == ({"name": "Ada"}, NOON)
    await stores.failed.delete(found["3"])
    assert len([each async for each in stores.failed.of_tenant("acme")]) == 19
    await stores.failed.put_many([failed("4")])
    with pytest.raises(Conflict):
        await stores.failed.delete(found["4"])


def schema(name: str, *, tenant: str = "acme") -> ConversionSchema:
    return ConversionSchema.model_validate(
        {
            "id": name,
            "tenantId": tenant,
            "integrationId": "crm",
            "entity": "Person",
            "shardType": "contact",
            "mappings": [{"kind": "direct", "field": "name", "source": "Name"}],
        }
    )


async def test_a_tenants_schemas_are_listed_and_deleted_as_they_were_read(stores: Stores) -> None:
    made = await stores.schemas.create(schema("ours"))
    await stores.schemas.create(schema("another"))
    await stores.schemas.create(schema("theirs", tenant="other"))
    assert sorted([each.id async for each in stores.schemas.of_tenant("acme")]) == ["another", "ours"]

    newer = await stores.schemas.get("acme", "ours")
    newer.version = 2
    await stores.schemas.replace(newer)
    with pytest.raises(Conflict):
        await stores.schemas.delete(made)
    assert (await stores.schemas.get("acme", "ours")).version == 2
    await stores.schemas.delete(newer)
    await stores.schemas.delete(newer)
    assert [each.id async for each in stores.schemas.of_tenant("acme")] == ["another"]
    with pytest.raises(NotFound):
        await stores.schemas.get("acme", "ours")


@pytest.mark.stack
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_results_with_large_messages_fit_their_batches(cosmos_database: DatabaseProxy) -> None:
    key = PartitionKey(path=["/tenantId", "/executedOn"], kind="MultiHash")
    results = CosmosResults(await cosmos_database.create_container("sync-results", key))
    given_up = {"messageId": "m", "body": {"changes": {"text": "é" * 100_000}}, "attempt": 5}
    await results.put_many(
        [
            PushResult(
                id=f"outbound-{number}",
                integration_id="crm",
                tenant_id="acme",
                entity_id=f"contact-{number}",
                operation=Operation.UPDATE,
                success=False,
                executed_at=NOON,
                given_up_message=given_up,
            )
            for number in range(30)
        ]
    )
    assert len([result async for result in results.of_tenant("acme", NOON)]) == 30


@pytest.mark.stack
async def test_a_broken_task_of_one_tenant_does_not_hide_the_others(
    cosmos_database: DatabaseProxy, caplog: pytest.LogCaptureFixture
) -> None:
    container = await cosmos_database.create_container("sync-tasks", PartitionKey(path="/tenantId"))
    tasks = CosmosTasks(container)
    await tasks.create(task("whole"))
    broken = {**task("broken").to_json(), "tenantId": "other", "schedule": {"intervalSeconds": "secret"}}
    await container.upsert_item(broken)
    assert [found.id async for found in tasks.due(NOON, Priority.NORMAL)] == ["whole"]
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == "SyncTask can't be read and is passed over: schedule.intervalSeconds"
    assert "secret" not in caplog.text
