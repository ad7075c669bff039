"""Conflicts wait for a person, are decided, and the decision flows on; writes that collide are merged again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from castiel.domain.conflicts import UNRESOLVED, FieldVersions
from castiel.domain.messages import OutboundMessage
from castiel.domain.parked import Choice
from castiel.domain.shards import Shard
from castiel.errors import Conflict, NotFound
from castiel.services.record_news import is_known
from tests.support.engine import ADA, TENANT, World, gone, person

NINE = datetime(2025, 12, 10, 9, 0, tzinfo=UTC)
LATER = timedelta(hours=1)
MANUAL = {"strategy": "manual"}


async def parked_conflict() -> tuple[World, str]:
    """The title is Countess at the base, Author here, Analyst there."""
    world = World()
    await world.connect("crm", conflict_policy=MANUAL)
    await world.connect("mail", deduplicate=False)
    await world.pull("crm", person("1", NINE, **ADA, title="Countess"))
    ada = await world.shard("crm", "1")
    await world.local.update(TENANT, ada.id, {"title": "Author"}, correlation_id="by-hand")
    done = await world.pull("crm", person("1", NINE + LATER, **ADA, title="Analyst"), execution="exec-2")
    assert (done.conflicts_detected, done.conflicts_resolved) == (1, 0)
    [parked] = world.conflicts.all()
    assert (parked.base, parked.local, parked.external) == ("Countess", "Author", "Analyst")
    world.queue.sent.clear()
    return world, parked.id


def told(world: World) -> dict[str, list[str]]:
    messages = [OutboundMessage.model_validate_json(message.body) for message in world.queue.sent]
    return {message.connection_id: message.changed_fields for message in messages}


@pytest.mark.parametrize(
    ("choice", "value", "title", "hears"),
    [
        (Choice.LOCAL, None, "Author", {"crm"}),
        (Choice.EXTERNAL, None, "Analyst", {"mail"}),
        (Choice.VALUE, "Mathematician", "Mathematician", {"crm", "mail"}),
        (Choice.VALUE, None, None, {"crm", "mail"}),
    ],
)
async def test_a_decision_is_stored_and_told_to_those_who_have_something_else(
    choice: Choice, value: Any, title: str | None, hears: set[str]
) -> None:
    world, conflict_id = await parked_conflict()
    shard = await world.resolution.resolve(TENANT, conflict_id, choice, value, correlation_id="decision")
    assert shard is not None
    assert shard.fields["title"] == title
    assert set(told(world)) == hears
    [reference] = (await world.shard("crm", "1")).references
    assert (reference.base["title"], reference.parked) == ("Analyst", {})
    assert not world.conflicts.all()


async def test_the_same_record_again_is_no_new_conflict_and_another_value_is() -> None:
    world, _ = await parked_conflict()
    again = await world.pull(
        "crm", person("1", NINE + LATER, **ADA, title="Analyst", more=1), execution="exec-3"
    )
    assert again.conflicts_detected == 0
    new = await world.pull("crm", person("1", NINE + 2 * LATER, **ADA, title="Poet"), execution="exec-4")
    assert new.conflicts_detected == 1
    [parked] = world.conflicts.all()
    assert parked.external == "Poet"


async def test_deciding_again_after_a_crash_changes_nothing_more() -> None:
    world, conflict_id = await parked_conflict()
    [parked] = world.conflicts.all()
    await world.resolution.resolve(TENANT, conflict_id, Choice.LOCAL, correlation_id="decision")
    await world.conflicts.put(parked)  # as if the process had died before it was deleted
    before = world.shards.texts()
    assert await world.resolution.resolve(TENANT, conflict_id, Choice.EXTERNAL, correlation_id="x") is None
    assert world.shards.texts() == before
    assert not world.conflicts.all()


async def test_an_unknown_conflict_is_not_found() -> None:
    world, _ = await parked_conflict()
    with pytest.raises(NotFound):
        await world.resolution.resolve(TENANT, "nowhere", Choice.LOCAL, correlation_id="x")


async def test_a_decision_that_meets_another_write_is_made_on_what_is_there_then() -> None:
    world, conflict_id = await parked_conflict()

    async def meanwhile(shards: Sequence[Shard]) -> None:
        world.shards.before_save = None
        await world.local.update(TENANT, shards[0].id, {"phone": "+442079999999"}, correlation_id="y")

    world.shards.before_save = meanwhile
    await world.resolution.resolve(TENANT, conflict_id, Choice.EXTERNAL, correlation_id="decision")
    ada = await world.shard("crm", "1")
    assert (ada.fields["title"], ada.fields["phone"]) == ("Analyst", "+442079999999")


async def test_a_page_that_meets_another_write_merges_again_and_loses_neither() -> None:
    world = World()
    await world.connect("crm")
    await world.pull("crm", person("1", NINE, **ADA))
    ada = await world.shard("crm", "1")

    async def meanwhile(_: Sequence[Shard]) -> None:
        world.shards.before_save = None
        await world.local.update(TENANT, ada.id, {"title": "Countess"}, correlation_id="y")

    world.shards.before_save = meanwhile
    done = await world.pull("crm", person("1", NINE + LATER, **{**ADA, "phone": "+1"}), execution="exec-2")
    ada = await world.shard("crm", "1")
    assert (ada.fields["title"], ada.fields["phone"]) == ("Countess", "+1")
    assert done.records_updated == 1


async def test_a_shard_that_keeps_changing_ends_in_a_retryable_error() -> None:
    world = World()
    await world.connect("crm")
    await world.pull("crm", person("1", NINE, **ADA))
    ada = await world.shard("crm", "1")
    count = 0

    async def always(_: Sequence[Shard]) -> None:
        nonlocal count
        count += 1
        world.shards.before_save = None
        await world.local.update(TENANT, ada.id, {"title": f"T{count}"}, correlation_id="y")
        world.shards.before_save = always

    world.shards.before_save = always
    with pytest.raises(Conflict) as raised:
        await world.pull("crm", person("1", NINE + LATER, **{**ADA, "phone": "+1"}), execution="exec-2")
    assert raised.value.retryable
    assert count == 8


async def test_a_record_seen_before_is_neither_converted_nor_written() -> None:
    world = World()
    await world.connect("crm")
    record = person("1", NINE, **ADA)
    await world.pull("crm", record)
    context = await world.context("crm", "exec-2")
    ada = await world.shard("crm", "1")
    assert is_known(context, ada, record, context.content(record))
    done = await world.pull("crm", record, execution="exec-2")
    assert (done.records_unchanged, done.shards_written) == (1, 0)


async def test_another_schema_converts_the_same_record_again() -> None:
    world = World()
    connection = await world.connect("crm")
    record = person("1", NINE, **ADA, nick="Augusta")
    await world.pull("crm", record)
    schema = await world.schemas.get(TENANT, connection.id)
    more = {"kind": "direct", "field": "nickname", "source": "nick"}
    data = schema.to_json()
    await world.schemas.put(type(schema).model_validate({**data, "mappings": [*data["mappings"], more]}))
    await world.clock.sleep(61)
    await world.pull("crm", record, execution="exec-2")
    assert (await world.shard("crm", "1")).fields["nickname"] == "Augusta"


async def test_a_change_back_to_what_was_seen_before_a_push_is_a_change() -> None:
    world = World()
    await world.connect("crm")
    await world.pull("crm", person("1", NINE, **ADA, title="Countess"))
    ada = await world.shard("crm", "1")
    await world.clock.sleep(5)
    ada = await world.local.update(TENANT, ada.id, {"title": "Author"}, correlation_id="y")
    reference = ada.references[0]
    reference.base["title"], reference.content_hash = "Author", None
    await world.shards.save([ada])
    await world.pull("crm", person("1", NINE, **ADA, title="Countess"), execution="exec-2")
    assert (await world.shard("crm", "1")).fields["title"] == "Countess"


async def test_a_record_read_before_a_change_that_is_known_undoes_nothing() -> None:
    world = World()
    await world.connect("crm")
    await world.pull("crm", person("1", NINE + LATER, **ADA, title="Author"))
    await world.pull("crm", person("1", NINE, **ADA, title="Countess"), execution="exec-2")
    assert (await world.shard("crm", "1")).fields["title"] == "Author"


async def test_a_tombstone_twice_deletes_once() -> None:
    world = World()
    await world.connect("crm")
    await world.connect("mail")
    await world.pull("crm", person("1", NINE, **ADA))
    await world.pull("mail", person("a", NINE, **ADA))
    world.queue.sent.clear()
    first = await world.pull("crm", gone("1"), execution="exec-2")
    assert first.records_deleted == 1
    assert [OutboundMessage.model_validate_json(m.body).operation for m in world.queue.sent] == ["delete"]
    again = await world.pull("crm", gone("1"), execution="exec-3")
    assert (again.records_deleted, again.shards_written, len(world.queue.sent)) == (0, 0, 1)


async def test_a_named_resolver_takes_part() -> None:
    def shout(versions: FieldVersions) -> Any:
        return versions.external.upper() if versions.external else UNRESOLVED

    world = World(resolvers={"shout": shout})
    await world.connect("crm", conflict_policy={"fieldResolvers": {"title": "shout"}})
    await world.pull("crm", person("1", NINE, **ADA, title="Countess"))
    ada = await world.shard("crm", "1")
    await world.local.update(TENANT, ada.id, {"title": "Author"}, correlation_id="y")
    await world.pull("crm", person("1", NINE + LATER, **ADA, title="Analyst"), execution="exec-2")
    assert (await world.shard("crm", "1")).fields["title"] == "ANALYST"
