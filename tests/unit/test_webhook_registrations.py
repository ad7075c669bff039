"""What operators do with registrations, over fakes; and how a registration is judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
import pytest_asyncio
from pydantic import SecretStr

from castiel.domain.messages import SyncMessage
from castiel.domain.model import utc_date
from castiel.domain.tasks import EntityCheckpoint, SyncMode, SyncTask, TaskStatus, TaskType
from castiel.domain.webhook_health import Health, assess
from castiel.domain.webhooks import Registration, WebhookAudit
from castiel.errors import Conflict, InvalidInput, LeaseHeld, NotFound, QueueUnavailable, StoreUnavailable
from castiel.ports.messaging import QueueMessage
from castiel.services.background_events import CAPACITY, BackgroundEvents
from castiel.services.entity_pulls import EntityPulls
from castiel.services.group_commit import GroupCommit
from castiel.services.grouped_queue import HOLD_OFF_SECONDS, GroupedQueue
from castiel.services.webhooks import NewRegistration
from tests.support.fakes.coordination import MemoryEvents, YieldingClock
from tests.support.fakes.records import MemoryTasks
from tests.support.receiver import REGISTRATION, TENANT, Door, FaultyQueue, callout, signed


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    yield door
    await door.pending.stop()
    await door.background.drained()
    await door.http.aclose()


async def test_a_created_registration_takes_what_its_secret_signs(door: Door) -> None:
    await door.plant()
    issued = await door.manage.create(NewRegistration(TENANT, "conn-1"))
    registration = issued.registration
    assert issued.secret is not None
    assert len(registration.id) >= 3 + 32
    assert issued.path == f"/webhooks/{registration.id}/events"
    assert issued.secret.get_secret_value() not in registration.to_json_text()
    body, headers = signed(callout(), issued.secret.get_secret_value())
    assert (await door.post(body, headers, registration=registration.id)).status == 200
    assert {r.id for r in await door.manage.list(TENANT)} == {REGISTRATION, registration.id}
    assert await door.manage.list("tenant-2") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"scheme": "nobody-knows"},
        {"scheme": {"algorithm": "hmac-sha256"}},
        {"events": ()},
        {"rate_limit_per_minute": 0},
        {"max_body_bytes": 10_000_000},
    ],
)
async def test_what_can_not_work_is_not_created(door: Door, fields: dict[str, object]) -> None:
    await door.plant()
    with pytest.raises(InvalidInput):
        await door.manage.create(NewRegistration(TENANT, "conn-1", **fields))  # type: ignore[arg-type]


async def test_rotation_accepts_both_and_pausing_none(door: Door) -> None:
    await door.plant()
    issued = await door.manage.create(NewRegistration(TENANT, "conn-1"))
    assert issued.secret is not None
    identity, old = issued.registration.id, issued.secret.get_secret_value()
    new = (await door.manage.rotate(TENANT, identity)).get_secret_value()
    assert new != old
    answers = [
        await door.post(*signed(callout(f"d-{n}"), secret), registration=identity)
        for n, secret in enumerate((old, new))
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert {audit.secret_index for audit in door.audits()} == {0, 1}
    await door.manage.pause(TENANT, identity)
    assert (await door.post(*signed(callout("d-3"), new), registration=identity)).status == 404


async def test_another_tenant_has_no_part_in_it(door: Door) -> None:
    await door.plant()
    manage = door.manage
    for call in (manage.get, manage.pause, manage.resume, manage.rotate, manage.delete, manage.health):
        with pytest.raises(NotFound):
            await call("tenant-2", REGISTRATION)
    with pytest.raises(NotFound):
        await manage.verify("tenant-2", REGISTRATION, "https://castiel.example")


async def test_deleting_takes_the_secret_too(door: Door) -> None:
    await door.plant()
    issued = await door.manage.create(
        NewRegistration(TENANT, "conn-1", secret=SecretStr("a-sender's-own-made-up-secret"))
    )
    [name] = issued.registration.secret_names
    await door.manage.delete(TENANT, issued.registration.id)
    with pytest.raises(NotFound):
        await door.vault.get(name)
    with pytest.raises(NotFound):
        await door.manage.get(TENANT, issued.registration.id)


async def test_of_two_rotations_at_once_both_show_a_secret_that_is_accepted(door: Door) -> None:
    await door.plant()
    identity = (await door.manage.create(NewRegistration(TENANT, "conn-1"))).registration.id
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        under_way.set()
        await go_on.wait()

    door.vault.during_set = slowly
    first = asyncio.create_task(door.manage.rotate(TENANT, identity))
    await under_way.wait()
    door.vault.during_set = None
    second = asyncio.create_task(door.manage.rotate(TENANT, identity))
    for _ in range(100):
        await asyncio.sleep(0)
    go_on.set()
    shown = await asyncio.gather(first, second)
    answers = [
        await door.post(*signed(callout(f"d-{n}"), secret.get_secret_value()), registration=identity)
        for n, secret in enumerate(shown)
    ]
    assert [answer.status for answer in answers] == [200, 200]


async def test_the_secret_of_a_registration_is_not_deleted_under_it(door: Door) -> None:
    await door.plant()
    issued = await door.manage.create(NewRegistration(TENANT, "conn-1"))
    identity, credential_id = issued.registration.id, issued.registration.credential_id
    assert issued.secret is not None
    assert credential_id is not None
    with pytest.raises(Conflict, match=f"{credential_id} is used by webhook {identity}"):
        await door.credential_service.manage.delete(TENANT, credential_id)
    body, headers = signed(callout(), issued.secret.get_secret_value())
    assert (await door.post(body, headers, registration=identity)).status == 200
    # What a deletion that was cut off has left behind is nobody's.
    await door.registrations.delete(await door.registrations.get(identity))
    await door.credential_service.manage.delete(TENANT, credential_id)
    with pytest.raises(NotFound):
        await door.credentials.get(TENANT, credential_id)


async def test_a_notion_registration_waits_for_its_token(door: Door) -> None:
    await door.plant("notion")
    issued = await door.manage.create(NewRegistration(TENANT, "conn-1"))
    assert (issued.secret, issued.registration.pending_verification) == (None, True)
    health = await door.manage.health(TENANT, issued.registration.id)
    assert health.health is Health.DEGRADED
    answer = await door.post(b'{"verification_token": "made-up"}', registration=issued.registration.id)
    assert answer.status == 200


async def test_a_token_that_the_sender_handed_over_goes_with_its_registration(door: Door) -> None:
    await door.plant("notion")
    identity = (await door.manage.create(NewRegistration(TENANT, "conn-1"))).registration.id
    await door.post(b'{"verification_token": "made-up-1"}', registration=identity)
    [first] = (await door.manage.get(TENANT, identity)).secret_names
    await door.manage.reopen(TENANT, identity)
    with pytest.raises(NotFound):
        await door.vault.get(first)
    await door.post(b'{"verification_token": "made-up-2"}', registration=identity)
    [second] = (await door.manage.get(TENANT, identity)).secret_names
    await door.manage.delete(TENANT, identity)
    with pytest.raises(NotFound):
        await door.vault.get(second)


def record(number: int, status: int, *, age: timedelta = timedelta(0), **fields: object) -> WebhookAudit:
    now = YieldingClock().now() - age
    return WebhookAudit.model_validate(
        {
            "id": f"a-{number}",
            "registration_id": REGISTRATION,
            "received_on": utc_date(now),
            "received_at": now,
            "status": status,
            "verified": status != 401,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("records", "health", "word"),
    [
        ([record(n, 200) for n in range(100)], Health.HEALTHY, None),
        (
            [record(n, 200) for n in range(30)] + [record(99, 401, reason="mismatch")],
            Health.DEGRADED,
            "match",
        ),
        ([record(n, 401, reason="mismatch") for n in range(9)] + [record(9, 200)], Health.FAILED, "match"),
        ([record(1, 200), record(2, 200, secret_index=1)], Health.DEGRADED, "overlap"),
        ([record(1, 200), record(2, 429, reason="rate_limited")], Health.DEGRADED, "limit"),
        ([record(1, 200, pending=True, age=timedelta(hours=2))], Health.DEGRADED, "queue"),
        ([record(1, 401, reason="expired")], Health.FAILED, "clock"),
        ([], Health.DEGRADED, "Nothing has arrived"),
    ],
)
def test_health_is_judged_from_the_deliveries(
    records: list[WebhookAudit], health: Health, word: str | None
) -> None:
    registration = Registration(
        id=REGISTRATION,
        tenant_id=TENANT,
        integration_id="salesforce",
        connection_id="conn-1",
        scheme="salesforce",
        secret_names=["hook-secret"],
    )
    found = assess(registration, records, YieldingClock().now())
    assert found.health is health
    assert (word is None) == (found.recommendations == [])
    assert word is None or any(word in text for text in found.recommendations)


_NOTHING, _HANDSHAKE, _TEST = "Nothing has arrived", "Only the provider's handshake", "Only our own test"


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], _NOTHING),
        ([record(1, 200, reason="handshake")], _HANDSHAKE),
        ([record(1, 200, reason="first_secret", verified=False)], _HANDSHAKE),
        ([record(1, 200, reason="handshake"), record(2, 200, reason="test")], _HANDSHAKE),
        ([record(1, 200, reason="test")], _TEST),
        ([record(1, 200, reason="handshake"), record(2, 200)], None),
        ([record(1, 200, reason="test"), record(2, 200, duplicate=True, reason="duplicate")], None),
        ([record(1, 200, reason="handshake"), record(2, 401, reason="mismatch")], None),
        ([record(1, 429, reason="rate_limited")], None),
    ],
)
def test_of_a_day_without_events_it_is_said_what_did_arrive(
    records: list[WebhookAudit], said: str | None
) -> None:
    now = YieldingClock().now()
    registration = Registration(
        id=REGISTRATION,
        tenant_id=TENANT,
        integration_id="slack",
        connection_id="conn-1",
        scheme="slack",
        secret_names=["hook-secret"],
    )
    for created_at, expected in ((None, said), (now - timedelta(hours=25), said), (now, None)):
        registration.created_at = created_at
        found = assess(registration, records, now)
        of_silence = [
            text for text in found.recommendations if text.startswith((_NOTHING, _HANDSHAKE, _TEST))
        ]
        assert [text.startswith(expected or "") for text in of_silence] == ([True] if expected else [])


async def test_one_bad_item_fails_alone_and_an_outage_fails_all() -> None:
    written: list[int] = []
    outage = False

    async def write(items: Sequence[int]) -> None:
        await asyncio.sleep(0)
        if outage:
            raise StoreUnavailable
        if 3 in items:
            raise InvalidInput("three")
        written.extend(items)

    group: GroupCommit[int] = GroupCommit(write, max_items=4)
    outcomes = await asyncio.gather(*(group.add(n) for n in range(8)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(InvalidInput) == 1
    assert sorted(written) == [0, 1, 2, 4, 5, 6, 7]
    outage = True
    outcomes = await asyncio.gather(*(group.add(n) for n in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}


async def test_a_queue_that_is_down_is_not_waited_for(door: Door) -> None:
    queue = FaultyQueue("q")
    grouped = GroupedQueue(queue, door.clock)
    message = [QueueMessage("m", "{}", "c")]
    queue.down = True
    with pytest.raises(QueueUnavailable):
        await grouped.send(message)
    queue.down = False
    with pytest.raises(QueueUnavailable, match="a moment ago"):
        await grouped.send(message)
    door.clock.advance(HOLD_OFF_SECONDS)
    await grouped.send(message)
    assert len(queue.sent) == 1


async def test_a_flood_of_events_is_cut(door: Door) -> None:
    await door.plant()
    events = MemoryEvents()
    background = BackgroundEvents(events)
    audit, registration = record(1, 200), await door.registrations.get(REGISTRATION)
    for _ in range(CAPACITY + 50):
        door.receiver._tell(audit, registration)
    await door.background.drained()
    assert len(door.events.published) == CAPACITY
    await background.drained()


MESSAGE = SyncMessage(
    integration_id="salesforce",
    tenant_id=TENANT,
    connection_id="conn-1",
    sync_mode=SyncMode.PULL,
    correlation_id="wh-1",
    enqueued_at=YieldingClock().now(),
    entity="Contact",
)


async def test_a_look_at_an_entity_goes_on_where_another_task_has_come(door: Door) -> None:
    await door.plant()
    tasks = MemoryTasks()
    await tasks.create(
        SyncTask(
            id="task-1",
            integration_id="salesforce",
            tenant_id=TENANT,
            connection_id="conn-1",
            sync_mode=SyncMode.PULL,
            checkpoints={"Contact": EntityCheckpoint(cursor={"at": 7}, ended=True)},
        )
    )
    pulls = EntityPulls(tasks, door.connections, door.clock)
    execution = await pulls.execution(MESSAGE)
    assert execution is not None
    assert execution == await pulls.execution(MESSAGE), "the same message again is the same execution"
    task = await tasks.get(TENANT, execution.task_id or "")
    assert (task.type, task.status, task.entities) == (TaskType.WEBHOOK, TaskStatus.QUEUED, ["Contact"])
    assert task.execution_id == execution.correlation_id
    assert task.checkpoints["Contact"].cursor == {"at": 7}
    with pytest.raises(LeaseHeld):
        await pulls.execution(MESSAGE.model_copy(update={"correlation_id": "wh-2"}))
    task.finish(TaskStatus.COMPLETED, door.clock.now(), None)
    await tasks.replace(task)
    later = await pulls.execution(MESSAGE.model_copy(update={"correlation_id": "wh-2"}))
    assert later is not None
    assert later.task_id == execution.task_id


async def test_where_another_task_has_come_with_another_shard_type_says_nothing(door: Door) -> None:
    await door.plant()
    tasks = MemoryTasks()
    await tasks.create(
        SyncTask(
            id="task-1",
            integration_id="salesforce",
            tenant_id=TENANT,
            connection_id="conn-1",
            sync_mode=SyncMode.PULL,
            checkpoints={"Contact": EntityCheckpoint(cursor={"at": 7}, ended=True, shard_type="before")},
        )
    )
    execution = await EntityPulls(tasks, door.connections, door.clock).execution(MESSAGE)
    assert execution is not None
    assert (await tasks.get(TENANT, execution.task_id or "")).checkpoints == {}


async def test_an_entity_that_is_not_pulled_is_not_looked_at(door: Door) -> None:
    await door.plant()
    pulls = EntityPulls(MemoryTasks(), door.connections, door.clock)
    assert await pulls.execution(MESSAGE.model_copy(update={"entity": "Account"})) is None
    assert await pulls.execution(MESSAGE.model_copy(update={"connection_id": "gone"})) is None


def test_conflict_is_retryable_so_that_a_lost_race_is_looked_at_again() -> None:
    assert Conflict.retryable
