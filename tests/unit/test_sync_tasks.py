"""A write of a task that took effect, and whose answer was lost: sent again by the SDK, it meets itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from castiel.domain.tasks import EntityCheckpoint, Progress, SyncMode, SyncTask, TaskStatus
from castiel.errors import CastielError, Conflict, StoreUnavailable
from castiel.services.sync_tasks import SyncTaskService
from tests.support.clock import FakeClock
from tests.support.fakes.coordination import MemoryLeases
from tests.support.fakes.records import MemoryTasks


class ForgetfulTasks(MemoryTasks):
    """Each write takes effect and is then told to conflict, as the second try of a lost answer is."""

    async def replace(self, task: SyncTask) -> SyncTask:
        await super().replace(task)
        raise Conflict

    async def replace_each(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[CastielError | None]:
        return [error or Conflict() for error in await super().replace_each(tenant_id, tasks)]


async def pending() -> tuple[SyncTaskService, MemoryTasks, SyncTask]:
    tasks, clock = ForgetfulTasks(), FakeClock()
    task = await tasks.create(
        SyncTask(id="t", tenant_id="a", integration_id="i", connection_id="c", sync_mode=SyncMode.PULL)
    )
    return SyncTaskService(tasks, MemoryLeases(clock), clock, message_ttl=timedelta(hours=1)), tasks, task


async def test_a_claim_is_known_for_our_own() -> None:
    service, _, task = await pending()
    claimed = await service.claim(task)
    assert claimed is not None
    assert claimed.status is TaskStatus.QUEUED


async def test_of_several_claims_the_scheduler_knows_its_tasks_again() -> None:
    service, tasks, task = await pending()
    [claimed] = await service.claim_each("a", [task])
    assert claimed is task
    assert claimed.etag == (await tasks.get("a", "t")).etag


class HalfDown(MemoryTasks):
    """One task's claim meets another write, and then it can't be read."""

    async def replace_each(self, tenant_id: str, tasks: Sequence[SyncTask]) -> list[CastielError | None]:
        await super().replace_each(tenant_id, tasks[1:])
        return [Conflict(), *([None] * (len(tasks) - 1))]

    async def get(self, tenant_id: str, task_id: str) -> SyncTask:
        raise StoreUnavailable


async def test_a_claim_that_cannot_be_looked_up_does_not_take_the_others_with_it() -> None:
    tasks, clock = HalfDown(), FakeClock()
    made = [
        await tasks.create(
            SyncTask(id=name, tenant_id="a", integration_id="i", connection_id="c", sync_mode=SyncMode.PULL)
        )
        for name in ("doubtful", "certain")
    ]
    service = SyncTaskService(tasks, MemoryLeases(clock), clock, message_ttl=timedelta(hours=1))
    assert await service.claim_each("a", made) == [made[1]]


async def test_somebody_elses_claim_is_theirs() -> None:
    service, tasks, task = await pending()
    stale = await tasks.get("a", "t")
    assert await service.claim(task) is not None
    assert await service.claim(stale) is None


async def test_a_checkpoint_counts_once() -> None:
    service, _, task = await pending()
    claimed = await service.claim(task)
    assert claimed is not None
    claimed.progress = Progress()
    checkpoint = EntityCheckpoint(cursor={"at": 1})
    saved = await service.checkpoint(claimed, "Contact", checkpoint, Progress(records_processed=20))
    assert saved.progress is not None
    assert saved.progress.records_processed == 20
