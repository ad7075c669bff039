"""The scheduler over stores in memory: what is due is claimed once, what is stuck is freed, what rests is left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from castiel.domain.connections import Connection, ConnectionStatus, EntitySync
from castiel.domain.messages import Operation, SyncMessage
from castiel.domain.tasks import EntityCheckpoint, Progress, Schedule, SyncMode, SyncTask, TaskStatus
from castiel.errors import NotFound, ProviderRateLimited, QueueUnavailable
from castiel.functions.sync_scheduler import BATCH_SIZE, SyncScheduler
from castiel.ports.messaging import QueueMessage
from castiel.services.outbox import SWEEP_AFTER
from castiel.services.sync_tasks import SILENT_FOR, SyncTaskService, connection_lease
from tests.support.clock import FakeClock
from tests.support.engine import ADA, TENANT, World, person
from tests.support.fakes.coordination import MemoryLeases, MemoryQueue
from tests.support.fakes.records import MemoryTasks

TTL = timedelta(hours=1)
MINUTE = 60.0


class BatchingQueue(MemoryQueue):
    """Remembers how it was sent to, and can be down."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.batches: list[int] = []
        self.down_after: int | None = None

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        if self.down_after is not None and len(self.batches) >= self.down_after:
            raise QueueUnavailable(f"queue {self.name}: down")
        self.batches.append(len(messages))
        await super().send(messages)


@dataclass
class Hour:
    """A scheduler and its tasks; the world has shards and an outbox."""

    clock: FakeClock = field(default_factory=FakeClock)
    tasks: MemoryTasks = field(default_factory=MemoryTasks)
    inbound: BatchingQueue = field(default_factory=lambda: BatchingQueue("sync-inbound"))
    outbound: BatchingQueue = field(default_factory=lambda: BatchingQueue("sync-outbound"))

    def __post_init__(self) -> None:
        self.leases = MemoryLeases(self.clock)
        self.world = World(clock=self.clock)
        self.service = SyncTaskService(self.tasks, self.leases, self.clock, message_ttl=TTL)
        self.scheduler = SyncScheduler(
            self.service,
            self.inbound,
            self.outbound,
            self.world.outbox,
            self.world.connections,
            self.clock,
            ttl=TTL,
        )

    async def connect(
        self, number: int, status: ConnectionStatus = ConnectionStatus.ACTIVE, tenant: str = TENANT
    ) -> Connection:
        """The connection of the task of that number."""
        return await self.world.connections.create(
            Connection(
                id=f"conn-{number}",
                tenant_id=tenant,
                integration_id="crm",
                credential_id=f"cred-{number}",
                status=status,
            )
        )

    async def plant(self, number: int = 0, **more: Any) -> SyncTask:
        return await self.tasks.create(
            SyncTask(
                id=f"task-{number}",
                tenant_id=TENANT,
                integration_id="crm",
                connection_id=f"conn-{number}",
                **{"sync_mode": SyncMode.PULL, **more},
            )
        )

    async def begun(self, number: int = 0, **more: Any) -> SyncTask:
        """A task that a worker has in hand, with one page done."""
        await self.plant(number, **more)
        await self.scheduler.run()
        task = await self.service.begin(self.message(), fence=1)
        assert task is not None
        return await self.service.checkpoint(task, "Person", EntityCheckpoint(cursor={"at": 1}), Progress())

    async def task(self, number: int = 0) -> SyncTask:
        return await self.tasks.get(TENANT, f"task-{number}")

    def message(self, at: int = -1) -> SyncMessage:
        return SyncMessage.model_validate_json(self.inbound.sent[at].body)


async def test_what_is_claimed_says_so_before_it_is_sent_and_lives_an_hour() -> None:
    hour = Hour()
    await hour.plant()
    run = await hour.scheduler.run()
    assert (run.queued, run.disabled, run.failed) == (1, 0, 0)
    task, [message] = await hour.task(), hour.inbound.sent
    assert (task.status, task.queued_at) == (TaskStatus.QUEUED, hour.clock.now())
    assert (hour.message().correlation_id, hour.message().task_id) == (task.execution_id, task.id)
    assert (message.message_id, message.time_to_live) == (f"task:{task.execution_id}", TTL)


async def test_batches_are_full_and_every_mode_goes_to_its_queue() -> None:
    hour = Hour()
    for number in range(2 * BATCH_SIZE + 50):
        await hour.plant(number, sync_mode=SyncMode.PUSH if number % 5 == 0 else SyncMode.PULL)
    assert (await hour.scheduler.run()).queued == 250
    assert hour.inbound.batches == [100, 100]
    assert hour.outbound.batches == [50]


async def test_a_batch_that_is_not_taken_is_given_back_and_the_other_queue_goes_on() -> None:
    hour = Hour()
    for number in range(150):
        await hour.plant(number, sync_mode=SyncMode.PUSH if number < 20 else SyncMode.PULL)
    hour.inbound.down_after = 1
    with pytest.raises(QueueUnavailable):
        await hour.scheduler.run()
    states = [task.status for task in hour.tasks.all()]
    assert states.count(TaskStatus.QUEUED) == 100 + 20 == sum((*hour.inbound.batches, *hour.outbound.batches))
    assert states.count(TaskStatus.PENDING) == 30
    hour.inbound.down_after = None
    assert (await hour.scheduler.run()).queued == 30


async def test_a_scheduled_task_comes_again_when_its_time_has_come() -> None:
    for schedule, wait in ((Schedule(interval_seconds=7200), 7200), (Schedule(cron="0 * * * *"), 3600)):
        hour = Hour()
        task = await hour.begun(schedule=schedule)
        await hour.service.finish(task, "result-1")
        hour.clock.advance(wait - 1)
        assert (await hour.scheduler.run()).queued == 0
        hour.clock.advance(1)
        assert (await hour.scheduler.run()).queued == 1


async def test_a_one_off_task_that_is_done_stays_done() -> None:
    hour = Hour()
    await hour.service.finish(await hour.begun(), "result-1")
    hour.clock.advance(30 * 24 * 3600)
    assert (await hour.scheduler.run()).queued == 0


async def test_a_queued_task_whose_message_can_no_longer_live_is_queued_again() -> None:
    hour = Hour()
    await hour.plant()
    await hour.scheduler.run()
    hour.clock.advance(TTL.total_seconds())
    assert (await hour.scheduler.run()).repaired == 0
    hour.clock.advance(1)
    run = await hour.scheduler.run()
    assert (run.repaired, run.queued) == (1, 1)
    # The message that was lost may turn up all the same: its execution is no longer the task's.
    assert await hour.service.begin(hour.message(0), fence=1) is None
    assert await hour.service.begin(hour.message(1), fence=2) is not None


async def test_a_task_without_a_worker_or_a_sign_of_life_is_freed_and_keeps_its_checkpoint() -> None:
    hour = Hour()
    task = await hour.begun()
    hour.clock.advance(SILENT_FOR.total_seconds() + 1)
    async with hour.leases.hold(connection_lease(TENANT, task.connection_id), seconds=60):
        assert (await hour.scheduler.run()).repaired == 0, "its worker lives"
    run = await hour.scheduler.run()
    assert (run.repaired, run.queued) == (1, 1)
    assert (await hour.task()).checkpoints["Person"].cursor == {"at": 1}


@pytest.mark.parametrize("retry_after", [5 * MINUTE, 3 * 60 * MINUTE, 24 * 60 * MINUTE])
async def test_a_task_whose_continuation_comes_later_is_left_alone_until_then(retry_after: float) -> None:
    """A provider's Retry-After may be hours; the execution that waits for it must not be begun a second time."""
    hour = Hour()
    task = await hour.begun()
    await hour.service.rest(task, ProviderRateLimited(retry_after=retry_after).retry_after or 0.0)
    for part in (0.25, 0.5, 0.2):
        hour.clock.advance(part * retry_after)
        run = await hour.scheduler.run()
        assert (run.repaired, run.queued) == (0, 0)
    # It comes, and goes on with the same execution.
    hour.clock.advance(0.05 * retry_after)
    resumed = await hour.service.begin(hour.message(), fence=2)
    assert resumed is not None
    assert (resumed.execution_id, resumed.resumes_at) == (task.execution_id, None)


async def test_a_continuation_that_never_came_is_missed_twenty_minutes_after_its_time() -> None:
    hour = Hour()
    task = await hour.begun()
    await hour.service.rest(task, 3600.0)
    hour.clock.advance(3600 + SILENT_FOR.total_seconds())
    assert (await hour.scheduler.run()).repaired == 0
    hour.clock.advance(1)
    run = await hour.scheduler.run()
    assert (run.repaired, run.queued) == (1, 1)
    assert (await hour.task()).resumes_at is None
    # Should it come after all, there is nothing left for it to do.
    assert await hour.service.begin(hour.message(0), fence=9) is None


async def test_disabled_tasks_are_counted_and_left() -> None:
    hour = Hour()
    await hour.plant(enabled=False)
    run = await hour.scheduler.run()
    assert (run.disabled, run.queued, hour.inbound.sent) == (1, 0, [])


@pytest.mark.parametrize("status", [each for each in ConnectionStatus if each is not ConnectionStatus.ACTIVE])
@pytest.mark.parametrize("mode", list(SyncMode))
async def test_the_tasks_of_a_connection_that_is_not_active_are_counted_and_go_once_it_is(
    status: ConnectionStatus, mode: SyncMode, caplog: pytest.LogCaptureFixture
) -> None:
    hour = Hour()
    stopped = await hour.connect(0, status)
    await hour.connect(1)
    await hour.plant(0, sync_mode=mode)
    await hour.plant(1, sync_mode=mode)
    before = await hour.task(0)
    with caplog.at_level("INFO", "castiel.functions.sync_scheduler"):
        for _ in range(3):
            run = await hour.scheduler.run()
            assert (run.paused, run.disabled, run.failed, run.repaired) == (1, 0, 0, 0)
            hour.clock.advance(TTL.total_seconds() / 4)
    assert await hour.task(0) == before, "not claimed, not written: it is due as it was"
    sent = [*hour.inbound.sent, *hour.outbound.sent]
    assert [SyncMessage.model_validate_json(each.body).task_id for each in sent] == ["task-1"]
    assert [vars(record)["paused"] for record in caplog.records if "scheduler run" in record.msg] == [1] * 3

    stopped.status = ConnectionStatus.ACTIVE
    await hour.world.connections.replace(stopped)
    run = await hour.scheduler.run()
    assert (run.queued, run.paused) == (1, 0)
    assert (await hour.task(0)).status is TaskStatus.QUEUED


async def test_another_tenants_connection_of_the_same_name_stops_nothing() -> None:
    hour = Hour()
    await hour.connect(0, ConnectionStatus.NEEDS_REAUTH, tenant="other")
    await hour.connect(0)
    await hour.plant()
    run = await hour.scheduler.run()
    assert (run.queued, run.paused) == (1, 0)


async def test_which_connections_are_inactive_is_asked_once_however_many_tasks_there_are() -> None:
    hour = Hour()
    for number in range(3 * BATCH_SIZE):
        await hour.connect(number, ConnectionStatus.NEEDS_REAUTH if number % 3 else ConnectionStatus.ACTIVE)
        await hour.plant(number)
    hour.world.connections.asked.clear()
    run = await hour.scheduler.run()
    assert (run.queued, run.paused) == (BATCH_SIZE, 2 * BATCH_SIZE)
    # By what is due, and by the sweep.
    assert hour.world.connections.asked == {"inactive": 2}


async def test_a_task_disabled_after_it_was_queued_is_dropped_by_the_worker() -> None:
    hour = Hour()
    await hour.plant()
    await hour.scheduler.run()
    task = await hour.task()
    task.enabled = False
    await hour.tasks.replace(task)
    assert await hour.service.begin(hour.message(), fence=1) is None
    assert (await hour.task()).status is TaskStatus.PENDING


async def test_a_marker_that_a_crash_left_is_sent_and_a_fresh_one_is_left_to_its_sender() -> None:
    hour = Hour()
    for name in ("crm", "mail"):
        await hour.world.connect(name)
    await hour.world.pull("crm", person("1", **ADA))
    shard = await hour.world.shard("crm", "1")
    target = Connection(
        id="mail", tenant_id=TENANT, integration_id="mail", credential_id="c",
        entities=[EntitySync(entity="Person", shard_type="contact")],
    )  # fmt: skip
    hour.world.outbox.announce(shard, [target], Operation.UPDATE, ["title"], "exec-crashed")
    await hour.world.shards.save([shard])
    hour.world.queue.sent.clear()

    assert (await hour.scheduler.run()).outbox_sent == 0
    hour.clock.advance(SWEEP_AFTER.total_seconds() + 1)
    assert (await hour.scheduler.run()).outbox_sent == 1
    [sent] = hour.world.queue.sent
    assert json.loads(sent.body)["correlationId"] == "exec-crashed"
    assert (await hour.scheduler.run()).outbox_sent == 0


async def test_a_part_that_fails_does_not_keep_the_others_from_running() -> None:
    hour = Hour()
    await hour.plant()
    hour.world.shards.down = True
    with pytest.raises(Exception, match="503"):
        await hour.scheduler.run()
    assert len(hour.inbound.sent) == 1


async def test_a_task_that_is_gone_is_nobody_s_work() -> None:
    hour = Hour()
    task = await hour.plant()
    await hour.scheduler.run()
    await hour.tasks.delete(await hour.task())
    assert await hour.service.begin(hour.message(), fence=1) is None
    with pytest.raises(NotFound):
        await hour.service.current(hour.message())
    assert await hour.service.claim(task) is None
