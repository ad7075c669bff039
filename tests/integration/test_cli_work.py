"""``castiel tasks | results | dlq | failed``: over documents and messages in the real stores of the local stack."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusSubQueue

from castiel.bootstrap import Services
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.failures import FailedRecord
from castiel.domain.messages import Operation
from castiel.domain.results import PushResult, SyncResult, SyncStatus
from castiel.domain.tasks import SyncMode, SyncTask, TaskStatus
from castiel.ports.messaging import QueueMessage
from tests.support.cli import Cli, running_cli

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TENANT = "acme"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def castiel() -> Iterator[Cli]:
    with running_cli() as cli:
        yield cli


def task(task_id: str, tenant: str = TENANT, **more: object) -> SyncTask:
    return SyncTask(
        id=task_id,
        tenant_id=tenant,
        integration_id="salesforce",
        connection_id="conn-1",
        sync_mode=SyncMode.PULL,
        **more,  # type: ignore[arg-type]
    )


def test_an_id_that_no_document_can_have_is_refused_by_name_and_found_nowhere(castiel: Cli) -> None:
    async def plant(services: Services) -> None:
        connection = Connection(
            id="conn-ids", tenant_id="ids", integration_id="salesforce", credential_id="cred-ids", entities=[]
        )
        await services.stores.connections.create(connection)

    castiel.does(plant)
    made = (
        ("connections", "add", "salesforce", "--id", "a/b"),
        ("tasks", "create", "--connection", "conn-ids", "--id", "a/b"),
        ("credentials", "store", "a/b", "--type", "apiKey", "--integration", "salesforce"),
    )
    for words in made:
        ended = castiel(*words, "-t", "ids", stdin="a-key")
        assert (ended.code, "'a/b' can't be one" in ended.err) == (2, True), (words, ended.err)
    for group in ("connections", "tasks", "credentials", "webhooks", "schemas"):
        ended = castiel(group, "show", "a/b", "-t", "ids")
        assert (ended.code, "there is no" in ended.err) == (3, True), (group, ended.err)


def test_a_task_is_listed_shown_disabled_enabled_and_run(castiel: Cli) -> None:
    async def plant(services: Services) -> None:
        await services.stores.tasks.create(task("t-1", status=TaskStatus.COMPLETED))
        await services.stores.tasks.create(task("t-other", tenant="globex"))

    castiel.does(plant)

    assert [each["id"] for each in castiel.json("tasks", "list", "--tenant", TENANT)] == ["t-1"]
    assert castiel.json("tasks", "list", "--tenant", TENANT, "--status", "failed") == []
    assert castiel.json("tasks", "show", "t-1", "--tenant", TENANT)["connectionId"] == "conn-1"
    assert castiel("tasks", "show", "t-other", "--tenant", TENANT).code == 3

    assert castiel.json("tasks", "disable", "t-1", "-t", TENANT) == {"id": "t-1", "enabled": False}
    refused = castiel("tasks", "run", "t-1", "-t", TENANT)
    assert (refused.code, refused.out) == (1, "")
    assert "enable it first" in refused.err
    castiel.json("tasks", "enable", "t-1", "-t", TENANT)

    execution = castiel.json("tasks", "run", "t-1", "-t", TENANT)["executionId"]
    shown = castiel.json("tasks", "show", "t-1", "-t", TENANT)
    assert (shown["status"], shown["executionId"]) == ("queued", execution)
    assert castiel("tasks", "run", "t-1", "-t", TENANT).code == 1

    async def queued(services: Services) -> list[str | None]:
        async with services.clients.service_bus.get_queue_receiver("sync-inbound") as receiver:
            found = await receiver.receive_messages(10, max_wait_time=5)
            for message in found:
                await receiver.complete_message(message)
            return [message.correlation_id for message in found]

    assert castiel.does(queued) == [execution]


def test_results_are_listed_newest_first_and_shown_whole(castiel: Cli) -> None:
    async def plant(services: Services) -> None:
        for hours, status in ((1, SyncStatus.SUCCESS), (2, SyncStatus.FAILED), (90, SyncStatus.SUCCESS)):
            await services.stores.results.put(
                SyncResult(
                    id=f"r-{hours}",
                    tenant_id="results",
                    integration_id="github",
                    connection_id="conn-1",
                    executed_at=NOW - timedelta(hours=hours),
                    status=status,
                    error_code="ProviderUnavailable" if status is SyncStatus.FAILED else None,
                )
            )

    castiel.does(plant)
    listed = castiel.json("results", "list", "-t", "results")
    assert [each["id"] for each in listed] == ["r-1", "r-2"]
    assert [e["id"] for e in castiel.json("results", "list", "-t", "results", "--failed")] == ["r-2"]
    assert len(castiel.json("results", "list", "-t", "results", "--since", "7d")) == 3
    assert castiel.json("results", "show", "r-90", "-t", "results")["status"] == "success"
    assert "ProviderUnavailable" in castiel("results", "list", "-t", "results").out
    assert castiel("results", "list", "-t", "results", "--since", "soon").code == 2
    missing = castiel("results", "show", "none", "-t", "results", "--json")
    assert (missing.code, missing.json["error"]["code"]) == (3, "NotFound")


def test_dead_letters_are_shown_sent_again_and_purged(castiel: Cli) -> None:
    tenants = ["acme", "acme", "globex", "acme"]

    async def bury(services: Services) -> None:
        await services.outbound_queue.send(
            [
                QueueMessage(
                    f"dead-{n}", f'{{"tenantId": "{tenant}", "n": {n}}}', "exec", properties={"attempt": 3}
                )
                for n, tenant in enumerate(tenants)
            ]
        )
        async with services.clients.service_bus.get_queue_receiver("sync-outbound") as receiver:
            buried = 0
            while buried < len(tenants):
                for message in await receiver.receive_messages(10, max_wait_time=5):
                    await receiver.dead_letter_message(message, reason="Unreadable", error_description="why")
                    buried += 1

    castiel.does(bury)
    listed = castiel.json("dlq", "list")
    assert [(each["tenantId"], each["reason"]) for each in listed] == [(t, "Unreadable") for t in tenants]
    assert len(castiel.json("dlq", "list", "--tenant", "acme", "--queue", "outbound")) == 3
    assert castiel.json("dlq", "list", "--queue", "inbound") == []
    numbers = [str(each["sequenceNumber"]) for each in listed]
    shown = castiel.json("dlq", "show", numbers[1], "--queue", "outbound")
    assert (shown["messageId"], shown["body"]["n"]) == ("dead-1", 1)
    assert castiel("dlq", "show", "987654", "--queue", "outbound").code == 3
    assert castiel("dlq", "replay", "--queue", "outbound").code == 2

    sent = castiel.json("dlq", "replay", numbers[1], "--queue", "outbound")
    assert sent == {"queue": "outbound", "done": [int(numbers[1])], "notThere": 0}

    async def live(services: Services) -> list[tuple[str, dict[bytes, object]]]:
        async with services.clients.service_bus.get_queue_receiver("sync-outbound") as receiver:
            found = await receiver.receive_messages(10, max_wait_time=5)
            for message in found:
                await receiver.complete_message(message)
            return [(str(message), dict(message.application_properties or {})) for message in found]

    [(body, properties)] = castiel.does(live)
    assert '"n": 1' in body
    assert b"attempt" not in properties

    unasked = castiel("dlq", "purge", "--all", "--tenant", "acme", "--queue", "outbound")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    purged = castiel.json("dlq", "purge", "--all", "-t", "acme", "-q", "outbound", "--yes")
    assert purged["done"] == [int(numbers[0]), int(numbers[3])]

    async def left(services: Services) -> list[str]:
        client = services.clients.service_bus
        async with client.get_queue_receiver(
            "sync-outbound", sub_queue=ServiceBusSubQueue.DEAD_LETTER
        ) as receiver:
            # Not locked any more: what was given back can be received at once.
            found = await receiver.receive_messages(10, max_wait_time=5)
            for message in found:
                await receiver.complete_message(message)
            return [message.message_id or "" for message in found]

    assert castiel.does(left) == ["dead-2"]


def test_failed_records_and_messages_are_replayed_once(castiel: Cli) -> None:
    async def plant(services: Services) -> None:
        await services.stores.connections.create(
            Connection(
                id="conn-1",
                tenant_id="failing",
                integration_id="salesforce",
                credential_id="cred-1",
                entities=[EntitySync(entity="Account", shard_type="account")],
            )
        )
        records = [
            FailedRecord(
                id=f"f-{number}",
                tenant_id="failing",
                integration_id="salesforce",
                connection_id="conn-1",
                entity="Account",
                external_id=f"00100000000000{number}AAA",
                fields=fields,
                code="ConversionFailed",
                message="Website: no address",
                executed_at=NOW - timedelta(minutes=5),
            )
            for number, fields in enumerate(
                [{"Id": "1", "Name": "Initech"}, {"Id": "2", "Industry": "Banking"}]
            )
        ]
        await services.stores.failed_records.put_many(records)
        await services.stores.results.put(
            PushResult(
                id="p-1",
                tenant_id="failing",
                integration_id="salesforce",
                connection_id="conn-1",
                executed_at=NOW,
                entity_id="account-1",
                operation=Operation.UPDATE,
                success=False,
                correlation_id="exec-1",
                error_code="ProviderRejected",
                given_up_message={"messageId": "out:1", "body": {"entityId": "account-1"}, "attempt": 3},
            )
        )

    castiel.does(plant)
    listed = castiel.json("failed", "list", "-t", "failing")
    assert [each["id"] for each in listed] == ["f-0", "f-1", "p-1"]
    assert "Initech" not in str(listed)

    replayed = castiel("failed", "replay", "f-0", "p-1", "-t", "failing", "--json")
    assert (replayed.code, replayed.json) == (
        0,
        {"stored": 1, "outdated": 0, "stillFailing": 0, "messagesSent": 1},
    )
    assert [each["id"] for each in castiel.json("failed", "list", "-t", "failing")] == ["f-1"]
    assert castiel("failed", "replay", "p-1", "-t", "failing").code == 3
    still = castiel("failed", "replay", "--all", "-t", "failing")
    assert still.code == 1
    assert "1 still failing" in still.out

    async def queued(services: Services) -> list[str]:
        async with services.clients.service_bus.get_queue_receiver("sync-outbound") as receiver:
            found = await receiver.receive_messages(10, max_wait_time=5)
            for message in found:
                await receiver.complete_message(message)
            return [str(message) for message in found]

    assert castiel.does(queued) == ['{"entityId": "account-1"}']
