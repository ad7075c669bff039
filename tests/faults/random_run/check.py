"""After the run: let everything settle, then compare the stores with the sandboxes, field by field."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from castiel.adapters.base import ExternalRecord
from castiel.azure.dead_letters import DeadLetters
from castiel.domain.conversion import fed_fields, to_shard
from castiel.domain.json_values import same
from castiel.domain.results import PushResult, SyncResult
from castiel.domain.shards import Shard
from castiel.domain.tasks import TaskStatus
from infra.local.sample import SampleProvider
from infra.local.session import StepFailedError, until
from tests.faults.random_run.people import NAMES, People, Person, entity_of, read
from tests.faults.random_run.world import SYSTEMS, TENANT, World

SETTLED_ROUNDS = 2
"""So many rounds of pulls in a row have to change nothing."""
MAX_ROUNDS = 12


async def settle(world: World, actors: Iterable[People], log: Callable[[str], None]) -> None:
    """Nothing goes wrong any more: pull again and again until nothing changes. Raises when it never stops."""
    quiet, before = 0, await _picture(world)
    for number in range(MAX_ROUNDS):
        for people in actors:
            await people.tell_what_must_be_told()
        await _wait(world, log)
        await world.later.outbox.sweep()
        await world.later.pending_deliveries.sweep()
        for system in SYSTEMS:
            await world.make_due(system)
        assert await world.run_scheduler()
        await _wait(world, log)
        now = await _picture(world)
        quiet = quiet + 1 if now == before else 0
        log(f"settling: round {number + 1}, {'quiet' if quiet else 'something changed'}")
        if quiet == SETTLED_ROUNDS:
            return
        before = now
    raise AssertionError(f"it does not settle: something still changes in round {MAX_ROUNDS}")


async def _wait(world: World, log: Callable[[str], None]) -> None:
    """Until all is done. Raises with what is not.

    A task whose scheduler died between claim and send, or whose message came while it could not be found, is left
    to the scheduler that runs when the message would have ended: it is repaired as that one does.
    """
    try:
        await until(lambda: _empty(world), "the queues are empty", within=120)
        if not await _idle(world) and (repaired := await world.later.tasks.repair()):
            log(f"repaired {repaired} tasks as the scheduler of two hours later does")
            assert await world.run_scheduler()
        await until(lambda: _idle(world), "the queues are empty and no task is under way", within=120)
    except StepFailedError as error:
        tasks = [task.to_json() async for task in world.services.stores.tasks.of_tenant(TENANT)]
        kept = ("id", "status", "executionId", "queuedAt", "heartbeatAt", "startedAt")
        told = [{key: task.get(key) for key in kept} for task in tasks]
        letters = [letter async for letter in _letters(world)]
        raise StepFailedError(
            f"{error}\n  queues {await queue_counts(world)}\n  tasks {told}\n  dead letters {letters}"
        ) from None


async def _letters(world: World) -> AsyncIterator[str]:
    """What the queues gave up, and why."""
    settings = world.services.settings
    for queue in (settings.service_bus_queue, settings.service_bus_queue_outbound):
        async for letter in DeadLetters(world.services.clients.service_bus, queue).peek():
            why = f"{letter.reason}, delivered {letter.delivery_count} times, {letter.properties}"
            yield f"{queue} {letter.message_id}: {why}: {letter.body}"


async def _empty(world: World) -> bool:
    waiting = await queue_counts(world)
    return not any(n for counts in waiting.values() for state, n in counts.items() if state != "deadLettered")


async def _idle(world: World) -> bool:
    if not await _empty(world):
        return False
    tasks = [task async for task in world.services.stores.tasks.of_tenant(TENANT)]
    return all(task.status in (TaskStatus.COMPLETED, TaskStatus.FAILED) for task in tasks)


async def queue_counts(world: World) -> dict[str, dict[str, int]]:
    """The messages of each queue, by their state."""
    port = world.app.stack.ready("servicebus")["statusPort"]
    async with httpx.AsyncClient(trust_env=False) as client:
        found: dict[str, dict[str, int]] = (await client.get(f"http://127.0.0.1:{port}/status")).json()[
            "queues"
        ]
    return found


async def _picture(world: World) -> Any:
    """What the shards and the sandboxes say, without when."""
    shards = await _shards(world)
    return (
        sorted((s.id, s.deleted, str(sorted(s.fields.items(), key=lambda f: f[0]))) for s in shards),
        {s.integration_id: len(await world.control(s).changes()) for s in SYSTEMS},
    )


async def _shards(world: World) -> list[Shard]:
    return [s async for s in world.services.stores.shards.changed_since(TENANT, "contact", None)]


async def disagreements(world: World, actors: Iterable[People]) -> list[str]:
    """Everything that is not as it must be, in words."""
    shards = await _shards(world)
    live = [shard for shard in shards if not shard.deleted]
    found: list[str] = []
    raw: dict[str, dict[str, dict[str, str | None]]] = {}
    for system in SYSTEMS:
        side = system.integration_id
        records = await world.control(system).records(entity_of(side))
        raw[side] = {_external(side, record): read(side, record) for record in records}
        found += _once_each(system, live, raw[side])
        found += await _field_by_field(world, system, live)
    for people in actors:
        for person in people.people:
            found += _as_told(person, live, raw)
    found += _left_over(shards)
    found += await _tasks_and_results(world)
    found += await _dead_letters(world)
    return found


def _external(side: str, record: dict[str, Any]) -> str:
    return str(record["Id"] if side == "salesforce" else record.get("resourceName") or record["id"])


def _once_each(system: SampleProvider, live: list[Shard], records: dict[str, Any]) -> list[str]:
    """Each live shard has exactly one live record in the system, and each record one shard."""
    side, found = system.integration_id, []
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for shard in live:
        mine = [r for r in shard.references if r.connection_id == system.connection_id and not r.deleted]
        for reference in mine:
            holders[reference.external_id].append(shard.id)
        if len(mine) != 1:
            ids = [reference.external_id for reference in mine]
            found.append(f"{side}: shard {shard.id} ({_label(shard)}) has {len(mine)} records there: {ids}")
    for external_id, values in records.items():
        if len(holders[external_id]) != 1:
            found.append(
                f"{side}: record {external_id} ({values['lastName']}) has {len(holders[external_id])} shards"
            )
    for external_id, shard_ids in holders.items():
        if external_id not in records and shard_ids:
            found.append(f"{side}: record {external_id} of shard {shard_ids} is gone there")
    names = Counter(values["lastName"] for values in records.values())
    stored = Counter(shard.fields.get("lastName") for shard in live)
    found += [
        f"{side}: {count} records are called {name}, {stored[name]} shards"
        for name, count in names.items()
        if count != stored[name]
    ]
    return found


async def _field_by_field(world: World, system: SampleProvider, live: list[Shard]) -> list[str]:
    """What travels both ways says the same on both sides, and in the base that both agreed on."""
    connection = await world.services.stores.connections.get(TENANT, system.connection_id)
    entity = connection.entities[0]
    schema = await world.services.schemas.schema_for(connection, entity)
    references = {
        reference.external_id: (shard, reference)
        for shard in live
        for reference in shard.references
        if reference.connection_id == connection.id and not reference.deleted
    }
    adapter = world.services.integrations.adapter(connection)
    records: dict[str, ExternalRecord] = await adapter.get(entity.entity, list(references))
    found = []
    for external_id, (shard, reference) in references.items():
        record = records.get(external_id)
        if record is None or record.deleted:
            found.append(f"{system.integration_id}: {external_id} of {_label(shard)} can't be read there")
            continue
        outside = to_shard(schema, record.fields).fields
        for name in sorted(fed_fields(schema) & outside.keys()):
            here, agreed = shard.fields.get(name), reference.base.get(name)
            if not (same(here, outside[name]) and same(agreed, here)):
                found.append(
                    f"{system.integration_id}: {_label(shard)}.{name}: here {here!r}, there {outside[name]!r},"
                    f" agreed {agreed!r}"
                )
    return found


def _as_told(
    person: Person, live: list[Shard], raw: dict[str, dict[str, dict[str, str | None]]]
) -> list[str]:
    """What people did is what came of it."""
    shards = [shard for shard in live if shard.fields.get("lastName") == person.name]
    if person.deleted or (person.deleted is None and not shards):
        found = [f"{person.name} was deleted, but a shard is left"] if shards else []
        return found + [
            f"{person.name} was deleted, but {side} still has a record"
            for side, records in raw.items()
            if any(values["lastName"] == person.name for values in records.values())
        ]
    if not person.created and not shards:
        return []
    if len(shards) != 1:
        return [f"{person.name} was made once, but has {len(shards)} shards"]
    found = []
    said = {"here": {name: shards[0].fields.get(name) for name in NAMES}} | {
        side: values
        for side, records in raw.items()
        for values in records.values()
        if values["lastName"] == person.name
    }
    for side, values in said.items():
        if values["phone"] not in person.phones:
            found.append(
                f"{side}: {person.name}.phone is {values['phone']}, last set to {person.phones} on {person.owner}"
            )
        if values["title"] not in person.titles:
            found.append(f"{side}: {person.name}.title is {values['title']}, which nobody ever set")
        if values["email"] != f"{person.name}@example.com":
            found.append(f"{side}: {person.name}.email is {values['email']}")
    return found


def _left_over(shards: list[Shard]) -> list[str]:
    return [
        f"shard {s.id} ({_label(s)}): {len(s.outbox)} outbox markers are left" for s in shards if s.outbox
    ]


async def _tasks_and_results(world: World) -> list[str]:
    """Every task has ended, with a result; every execution has one result."""
    stored = world.services.stores.results.of_tenant(TENANT, datetime.now(UTC) - timedelta(hours=1))
    results = [result async for result in stored]
    pulls = Counter(result.correlation_id for result in results if isinstance(result, SyncResult))
    found = [f"execution {execution}: {count} results" for execution, count in pulls.items() if count > 1]
    async for task in world.services.stores.tasks.of_tenant(TENANT):
        if task.status is not TaskStatus.COMPLETED:
            found.append(f"task {task.id} is {task.status.value}: {task.last_failure}")
        if task.last_result_id not in {result.id for result in results}:
            found.append(f"task {task.id}: its last result {task.last_result_id} is missing")
    found += [
        f"push of {result.entity_id} to {result.integration_id} was given up: {result.error_code} {result.error_message}"
        for result in results
        if isinstance(result, PushResult) and not result.success and result.retryable
    ]
    return found


async def _dead_letters(world: World) -> list[str]:
    """Nothing of ours can't be handled, so no message may have been given up by the queue."""
    return [f"dead letter {letter}" async for letter in _letters(world)]


def _label(shard: Shard) -> str:
    return str(shard.fields.get("lastName") or shard.id)


__all__ = ["disagreements", "settle"]
