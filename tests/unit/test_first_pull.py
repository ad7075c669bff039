"""What a connection already has is not made there again: creates wait until its own records have been pulled once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from castiel.domain.connections import Connection, EntitySync
from castiel.domain.tasks import EntityCheckpoint, SyncMode, SyncTask, TaskType
from castiel.services.first_pull import FirstPulls
from tests.support.engine import ADA, GRACE, TENANT, person
from tests.support.fakes.records import MemoryTasks
from tests.support.ring import Ring, ring_of


def pull_task(connection: str, **more: Any) -> SyncTask:
    return SyncTask(
        **{
            "id": f"task-{connection}",
            "tenant_id": TENANT,
            "integration_id": connection,
            "connection_id": connection,
            "sync_mode": SyncMode.PULL,
            **more,
        }
    )


async def with_mail_never_pulled() -> tuple[Ring, SyncTask]:
    """Ada is in both systems; nobody knows yet that she is in the second."""
    ring = await ring_of("crm", "mail")
    task = await ring.world.tasks.create(pull_task("mail"))
    ring.providers["mail"].write("m1", ADA)
    ring.providers["mail"].told.clear()
    ring.providers["crm"].write("c1", ADA)
    ring.providers["crm"].write("c2", GRACE)
    for _ in range(8):
        assert await ring.step()
    return ring, task


async def test_creates_wait_for_the_first_pull_and_then_make_only_what_is_missing() -> None:
    ring, task = await with_mail_never_pulled()
    assert list(ring.providers["mail"].live()) == ["m1"]
    assert [result for result in ring.results if not result.success] == []

    fields, at, _ = ring.providers["mail"].people["m1"]
    await ring.world.pull("mail", person("m1", at, **fields))
    task.checkpoints["Person"] = EntityCheckpoint(cursor={"at": "now"}, ended=True)
    await ring.world.tasks.replace(task)
    await ring.settle()

    assert sorted(p["firstName"] for p in ring.providers["mail"].live().values()) == ["Ada", "Grace"]
    assert len(ring.providers["crm"].live()) == 2
    assert len(ring.world.live()) == 2


@pytest.mark.parametrize(("waited", "least", "most"), [(0, 5, 5), (60, 30, 60), (86_400, 900, 900)])
async def test_they_ask_less_and_less_often(waited: float, least: float, most: float) -> None:
    ring, _ = await with_mail_never_pulled()
    clock = ring.world.clock
    await clock.sleep(waited)
    assert await ring.step()
    due = ring.world.queue.sent[-1].due
    assert due is not None
    assert least - 1 <= (due - clock.now()).total_seconds() <= most + 1


CONNECTION = Connection(id="mail", tenant_id=TENANT, integration_id="mail", credential_id="c")


@pytest.mark.parametrize(
    ("task", "entity", "pending"),
    [
        (pull_task("mail"), {}, True),
        (pull_task("mail", sync_mode=SyncMode.BIDIRECTIONAL), {}, True),
        (pull_task("mail", entities=["Person"]), {}, True),
        (pull_task("mail", checkpoints={"Person": EntityCheckpoint(cursor={})}), {}, True),
        (pull_task("mail", checkpoints={"Person": EntityCheckpoint(cursor={}, ended=True)}), {}, False),
        (pull_task("mail", sync_mode=SyncMode.PUSH), {}, False),
        (pull_task("mail", type=TaskType.WEBHOOK), {}, False),
        (pull_task("mail", enabled=False), {}, False),
        (pull_task("mail", entities=["Company"]), {}, False),
        (pull_task("crm"), {}, False),
        (pull_task("mail"), {"direction": SyncMode.PUSH}, False),
    ],
)
async def test_only_a_pull_that_will_come_is_waited_for(
    task: SyncTask, entity: dict[str, Any], pending: bool
) -> None:
    tasks = MemoryTasks()
    await tasks.create(task)
    sync = EntitySync(entity="Person", shard_type="contact", **entity)
    assert await FirstPulls(tasks).is_pending(CONNECTION, sync) is pending


async def test_one_that_was_deleted_and_is_added_again_is_waited_for_again() -> None:
    tasks = MemoryTasks()
    sync = EntitySync(entity="Person", shard_type="contact")
    first_pulls = FirstPulls(tasks)
    made = datetime(2025, 12, 10, tzinfo=UTC)
    ended = {"Person": EntityCheckpoint(cursor={}, ended=True)}
    await tasks.create(task := pull_task("mail", checkpoints=ended))
    connection = CONNECTION.model_copy(update={"created_at": made})
    assert not await first_pulls.is_pending(connection, sync)
    await tasks.delete(task)
    await tasks.create(pull_task("mail"))
    assert not await first_pulls.is_pending(connection, sync), "it is remembered"
    again = CONNECTION.model_copy(update={"created_at": made + timedelta(days=1)})
    assert await first_pulls.is_pending(again, sync)
