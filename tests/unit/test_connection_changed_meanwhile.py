"""What is on its way, or was done, when an operator changes a connection."""

from __future__ import annotations

from typing import Any

import pytest

from castiel.domain.messages import Operation, SyncMessage
from castiel.domain.tasks import EntityCheckpoint, SyncMode, SyncTask
from tests.support.engine import ADA, GRACE, TENANT
from tests.support.ring import Ring, ring_of


async def turn(ring: Ring, name: str, **to: Any) -> None:
    """Change the connection's one entity."""
    connection = await ring.world.connections.get(TENANT, name)
    connection.entities = [connection.entities[0].model_copy(update=to)]
    await ring.world.connections.replace(connection)


@pytest.mark.parametrize(
    "to",
    [{"direction": SyncMode.PULL}, {"enabled": False}, {"shard_type": "person"}],
    ids=["only-pulled", "switched-off", "another-type"],
)
async def test_a_change_is_not_told_to_a_connection_that_no_longer_takes_it(to: dict[str, Any]) -> None:
    ring = await ring_of("crm")
    crm, world = ring.providers["crm"], ring.world
    crm.write("1", ADA)
    crm.write("2", GRACE)
    await ring.settle()
    ada, grace = [await world.shard("crm", each) for each in ("1", "2")]
    await world.local.update(TENANT, ada.id, {"title": "Countess"}, correlation_id="by-hand")
    await world.local.delete(TENANT, grace.id, correlation_id="by-hand")
    await world.local.create(TENANT, "contact", {"lastName": "New"}, correlation_id="by-hand")
    await turn(ring, "crm", **to)
    crm.calls.clear()
    await ring.worker.handle(ring.take())
    assert crm.calls == []
    assert list(crm.live()) == ["1", "2"]
    # Each can be replayed once somebody has turned it back.
    assert sorted(result.operation for result in ring.results) == [
        Operation.CREATE,
        Operation.DELETE,
        Operation.UPDATE,
    ]
    for result in ring.results:
        assert (result.error_code, result.retryable) == ("ConfigurationError", False)
        assert result.given_up_message is not None


async def task_of(ring: Ring, name: str, mode: SyncMode, **checkpoints: EntityCheckpoint) -> SyncTask:
    return await ring.world.tasks.create(
        SyncTask(
            id=f"task-{name}",
            tenant_id=TENANT,
            integration_id=name,
            connection_id=name,
            sync_mode=mode,
            checkpoints=checkpoints,
        )
    )


async def test_what_a_connection_has_is_not_made_there_again_because_its_entity_became_another_type() -> None:
    ring = await ring_of("crm", "mail")
    await turn(ring, "crm", shard_type="person")
    ring.providers["mail"].write("m1", ADA)
    await ring.settle()
    ended = EntityCheckpoint(cursor={}, ended=True, shard_type="contact")
    await task_of(ring, "mail", SyncMode.BIDIRECTIONAL, Person=ended)

    await turn(ring, "mail", shard_type="person")
    ring.providers["crm"].write("c1", ADA)
    for _ in range(4):
        await ring.step()
    assert list(ring.providers["mail"].live()) == ["m1"], "its people are not known as this type yet"


async def test_a_push_task_looks_at_all_there_is_of_a_type_that_is_new_to_the_entity() -> None:
    ring = await ring_of("crm", "mail")
    await turn(ring, "crm", shard_type="person", direction=SyncMode.PULL)
    await turn(ring, "mail", direction=SyncMode.PUSH)
    ring.providers["crm"].write("c1", ADA)
    await ring.settle()
    await ring.world.clock.sleep(86_400)
    await ring.world.local.create(TENANT, "contact", GRACE, correlation_id="by-hand")
    await ring.settle()
    task = await task_of(ring, "mail", SyncMode.PUSH)
    world = ring.world

    async def run(execution: str) -> list[str]:
        task = await world.tasks.get(TENANT, "task-mail")
        task.queue(execution, world.clock.now())
        await world.tasks.replace(task)
        world.queue.sent.clear()
        await ring.push_tasks.run(
            SyncMessage(
                integration_id="mail",
                tenant_id=TENANT,
                connection_id="mail",
                sync_mode=SyncMode.PUSH,
                correlation_id=execution,
                enqueued_at=world.clock.now(),
                task_id=task.id,
            )
        )
        return [message.entity_id for message in world.told()]

    await run("exec-1")
    assert (await world.tasks.get(TENANT, task.id)).checkpoints.keys() == {"push:Person"}
    await turn(ring, "mail", shard_type="person")
    [ada] = world.live("person")
    assert await run("exec-2") == [ada.id]
