"""A batch of outbound messages: what is asked of the store and the providers, and what fails alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import pytest_asyncio

from castiel.adapters.base import ExternalRecord
from castiel.domain.connections import ConnectionStatus
from castiel.domain.messages import Operation, OutboundMessage
from castiel.domain.results import PushResult
from castiel.domain.shards import Shard
from castiel.domain.tasks import TaskStatus
from castiel.errors import (
    ConnectionPaused,
    PermissionDenied,
    ProviderRateLimited,
    RateLimited,
    ReauthRequired,
    StoreUnavailable,
)
from castiel.ports.messaging import ReceivedMessage
from castiel.services.outbox import SWEEP_AFTER
from tests.support.engine import TENANT
from tests.support.ring import Ring, push_task, ring_of


@pytest_asyncio.fixture
async def ring() -> Ring:
    return await ring_of("crm")


async def people(ring: Ring, count: int) -> list[Shard]:
    """People made here and pushed; the books are clean."""
    shards = [await person(ring, f"Person{n}") for n in range(count)]
    await ring.worker.handle(ring.take())
    forget(ring)
    return [await ring.world.shards.get(TENANT, shard.id) for shard in shards]


async def person(ring: Ring, name: str) -> Shard:
    fields = {"firstName": "Ada", "lastName": name, "email": f"{name.lower()}@example.com"}
    return await ring.world.local.create(TENANT, "contact", fields, correlation_id=name)


async def change(ring: Ring, shard: Shard, **fields: str) -> None:
    await ring.world.local.update(TENANT, shard.id, fields, correlation_id="change")


def forget(ring: Ring) -> None:
    ring.world.shards.asked.clear()
    for provider in ring.providers.values():
        provider.calls.clear()
        provider.told.clear()


def external(shard: Shard) -> str:
    return shard.references[0].external_id


async def test_one_query_reads_the_shards_and_one_call_each_looks_and_writes(ring: Ring) -> None:
    shards = await people(ring, 30)
    for shard in shards:
        await change(ring, shard, title="Clerk")
    messages = ring.take()
    forget(ring)
    await ring.worker.handle(messages)
    ids = tuple(external(shard) for shard in shards)
    assert ring.providers["crm"].calls == [("get", ids), ("update", ids)]
    assert ring.world.shards.asked == {"get_many": 1, "save": 1}
    assert [result.success for result in ring.results[-30:]] == [True] * 30


async def test_creates_updates_and_deletes_of_one_batch_go_apart(ring: Ring) -> None:
    updated, deleted = await people(ring, 2)
    await change(ring, updated, title="Clerk")
    await ring.world.local.delete(TENANT, deleted.id, correlation_id="gone")
    created = await person(ring, "New")
    await ring.worker.handle(ring.take())
    # Only what may conflict is looked at: a create has nothing outside yet, a delete is one whatever is there.
    assert ring.providers["crm"].calls == [
        ("get", (external(updated),)),
        ("create", (created.id,)),
        ("update", (external(updated),)),
        ("delete", (external(deleted),)),
    ]


async def test_what_the_other_side_knows_already_is_not_even_looked_at(ring: Ring) -> None:
    [shard] = await people(ring, 1)
    await change(ring, shard, title="Clerk")
    messages = ring.take()
    await ring.worker.handle(messages)
    forget(ring)
    await ring.worker.handle(messages)
    assert ring.providers["crm"].calls == []
    assert ring.results[-1].success


async def test_a_field_that_the_connection_does_not_carry_is_nothing_to_tell(ring: Ring) -> None:
    [shard] = await people(ring, 1)
    await change(ring, shard, shoeSize="44")
    await ring.worker.handle(ring.take())
    assert ring.providers["crm"].calls == []


async def test_superseded_messages_of_one_shard_are_dropped(ring: Ring) -> None:
    first, second = await people(ring, 2)
    before = len(ring.results)
    for title in ("Clerk", "Teacher", "Captain"):
        await change(ring, first, title=title)
    await change(ring, second, title="Pilot")
    messages = ring.take()
    assert len(messages) == 4
    # Late or out of order: the shard's state decides, not the message that came last.
    await ring.worker.handle([*messages[2:], *messages[:2]])
    assert [name for name, _ in ring.providers["crm"].calls] == ["get", "update"]
    assert {fields["title"] for fields in ring.providers["crm"].live().values()} == {"Captain", "Pilot"}
    newest = {OutboundMessage.model_validate_json(message.body).entity_id for message in messages}
    assert {result.entity_id for result in ring.results[before:]} == newest
    assert len(ring.results) == before + 2


@pytest.mark.parametrize("deleted_last", [True, False])
async def test_a_delete_and_an_update_of_one_batch_end_in_a_delete(ring: Ring, deleted_last: bool) -> None:
    [shard] = await people(ring, 1)
    await change(ring, shard, title="Clerk")
    await ring.world.local.delete(TENANT, shard.id, correlation_id="gone")
    messages = ring.take()
    await ring.worker.handle(messages if deleted_last else messages[::-1])
    assert ring.providers["crm"].calls == [("delete", (external(shard),))]
    assert ring.providers["crm"].live() == {}
    assert (ring.results[-1].operation, ring.results[-1].success) == (Operation.DELETE, True)
    # Whoever comes late finds it done.
    await ring.worker.handle(messages)
    assert len(ring.providers["crm"].calls) == 1
    assert ring.results[-1].success


async def test_a_result_says_what_is_needed_to_follow_a_change(ring: Ring) -> None:
    shard = await person(ring, "Traced")
    [message] = ring.take()
    await ring.worker.handle([dataclasses.replace(message, properties={"attempt": 2})])
    result = ring.results[-1]
    assert (result.entity_id, result.attempt, result.correlation_id) == (shard.id, 2, "Traced")
    assert (result.retryable, result.given_up_message) == (None, None)
    assert result.external_id == "crm-1"
    document = result.to_json()
    assert document["ttl"] == 2_592_000
    assert document["id"].startswith(f"outbound-{shard.id}-")


async def test_what_is_given_up_is_stored_whole_and_goes_through_when_it_is_sent_again(ring: Ring) -> None:
    shard = await person(ring, "Unlucky")
    [message] = ring.take()
    ring.providers["crm"].refuse[shard.id] = ProviderRateLimited(retry_after=7)
    await ring.worker.handle([dataclasses.replace(message, properties={"attempt": 3})])
    result = ring.results[-1]
    assert (result.success, result.retryable, result.attempt) == (False, True, 3)
    assert ring.world.queue.sent == []
    ring.providers["crm"].refuse.clear()
    stored = PushResult.model_validate_json(result.to_json_text()).given_up_message
    assert stored is not None
    again = OutboundMessage.model_validate(stored["body"]).to_json_text().encode()
    await ring.worker.handle([ReceivedMessage(again, "replayed")])
    assert ring.results[-1].success
    # It replaces the failed one: what is left to replay is what still fails.
    assert ring.results[-1].entity_id == result.entity_id


async def test_our_own_limit_costs_no_try_and_the_providers_does(ring: Ring) -> None:
    shard = await person(ring, "Limited")
    [message] = ring.take()
    for error, attempt in ((RateLimited(retry_after=5), 1), (ProviderRateLimited(retry_after=5), 2)):
        ring.providers["crm"].refuse[shard.id] = error
        await ring.worker.handle([dataclasses.replace(message, properties={"attempt": 1})])
        [copy] = ring.world.queue.sent
        ring.world.queue.sent.clear()
        assert copy.properties["attempt"] == attempt
        assert copy.due is not None
        assert (copy.due - ring.world.clock.now()).total_seconds() >= 4.9
    assert ring.results == []


@pytest.mark.parametrize("first", [0, 1])
async def test_a_message_that_comes_back_beside_its_own_copy_is_not_put_back_as_that_copy(
    ring: Ring, first: int
) -> None:
    """Its lock was lost while it was put back. The queue would drop the same copy again, and nobody would be told."""
    shard = await person(ring, "Twice")
    [message] = ring.take()
    ring.providers["crm"].refuse[shard.id] = RateLimited(retry_after=5)
    await ring.worker.handle([message])
    [copy] = ring.take()
    both = [message, copy]
    await ring.worker.handle([both[first], both[1 - first]])
    [again] = ring.take()
    assert again.message_id == f"{message.message_id}#2"


def _entity_of(message: ReceivedMessage) -> str:
    return OutboundMessage.model_validate_json(message.body).entity_id


async def test_what_is_put_back_keeps_its_place_in_the_limiters_line(ring: Ring) -> None:
    """The batch waits by its oldest message, in whatever company that comes again."""
    first, second = await person(ring, "First"), await person(ring, "Second")
    [older, newer] = sorted(ring.take(), key=_entity_of)
    ring.providers["crm"].refuse[first.id] = RateLimited(retry_after=5)
    await ring.worker.handle([newer, older])
    copies = ring.take()
    ring.providers["crm"].refuse.clear()
    await ring.worker.handle([copy for copy in copies if copy.message_id.startswith(older.message_id)])
    await ring.worker.handle([copy for copy in copies if copy.message_id.startswith(newer.message_id)])
    assert ring.reach.works[0] == ring.reach.works[1] != ring.reach.works[2]
    assert len(ring.providers["crm"].live()) == len({first.id, second.id})


async def test_a_bug_that_one_message_meets_leaves_the_others_alone(ring: Ring) -> None:
    shards = [await person(ring, f"Person{n}") for n in range(5)]
    ring.providers["crm"].refuse[shards[2].id] = ZeroDivisionError("a@example.com")
    messages = ring.take()
    await ring.worker.handle(messages)
    assert len(ring.providers["crm"].live()) == 4
    [copy] = ring.world.queue.sent
    assert (copy.message_id, copy.properties["attempt"]) == (f"{messages[2].message_id}#1", 1)
    assert [result.success for result in ring.results] == [True] * 4

    # Given up in the end, with its name and not its text; and nobody's but the host's when it comes alone.
    tired = dataclasses.replace(messages[2], properties={"attempt": 3})
    await ring.worker.handle([tired, messages[0]])
    [result] = [result for result in ring.results if not result.success]
    assert (result.error_code, result.error_message) == ("Unexpected", "unexpected: ZeroDivisionError")
    assert result.given_up_message is not None
    with pytest.raises(ExceptionGroup):
        await ring.worker.handle([tired])


async def received_task(ring: Ring, connection: str) -> ReceivedMessage:
    """The message of a queued push task, as it is delivered."""
    message = await push_task(ring, connection)
    return ReceivedMessage(message.to_json_text().encode(), f"task:{message.correlation_id}")


async def test_a_push_task_that_cannot_even_be_given_up_leaves_the_others_alone(ring: Ring) -> None:
    shard = await person(ring, "Ada")
    task = await received_task(ring, "gone")
    ring.store.refuse.append(StoreUnavailable())
    await ring.worker.handle([task, *ring.take()])
    assert [result.entity_id for result in ring.results] == [shard.id]
    [copy] = ring.world.queue.sent
    assert (copy.message_id, copy.properties["reason"]) == ("task:exec-gone#1", "StoreUnavailable")
    await ring.worker.handle(ring.take())
    assert (await ring.world.tasks.get(TENANT, "push-gone")).status is TaskStatus.FAILED


async def test_a_bug_that_a_push_task_meets_leaves_the_others_alone(ring: Ring) -> None:
    task = await received_task(ring, "crm")
    shard = await person(ring, "Ada")
    changes = ring.take()

    async def broken(_: Sequence[Shard]) -> None:
        ring.world.shards.before_save = None
        raise ZeroDivisionError

    await ring.world.local.update(TENANT, shard.id, {"title": "Clerk"}, correlation_id="change")
    ring.take()
    ring.world.shards.before_save = broken
    await ring.worker.handle([task, *changes])
    assert len(ring.providers["crm"].live()) == 1
    [copy] = [each for each in ring.world.queue.sent if each.message_id.startswith("task:")]
    assert (copy.message_id, copy.properties["reason"]) == ("task:exec-crm#1", "Unexpected")


async def test_results_that_cannot_be_stored_put_their_messages_back(ring: Ring) -> None:
    for name in ("Ada", "Grace"):
        await person(ring, name)
    messages = ring.take()
    ring.store.refuse.append(StoreUnavailable())
    await ring.worker.handle(messages)
    assert ring.results == []
    copies = ring.take()
    assert {copy.message_id for copy in copies} == {f"{message.message_id}#1" for message in messages}
    await ring.worker.handle(copies)
    assert [result.success for result in ring.results] == [True, True]
    assert [name for name, _ in ring.providers["crm"].calls] == ["create"]


async def test_a_result_about_a_record_of_any_name_has_an_id_that_cosmos_takes(ring: Ring) -> None:
    """https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits: no ``/``; the SDK takes no ``#``."""
    ring.providers["crm"].write("octo/hello#42", {"lastName": "Cat"})

    async def refused(entity: str, external_ids: Sequence[str]) -> dict[str, ExternalRecord]:
        raise PermissionDenied

    ring.providers["crm"].get = refused  # type: ignore[method-assign]
    assert await ring.step()
    [result] = ring.results
    assert (result.entity_id, result.error_code) == ("octo/hello#42", "PermissionDenied")
    assert not set("/\\?#") & set(result.id)


async def set_status(ring: Ring, status: ConnectionStatus) -> None:
    connection = await ring.world.connections.get(TENANT, "crm")
    connection.status = status
    await ring.world.connections.replace(connection)


async def sweep(ring: Ring) -> int:
    """After a while."""
    await ring.world.clock.sleep(SWEEP_AFTER.total_seconds() + 1)
    return await ring.world.outbox.sweep()


async def test_a_change_waits_in_its_shard_until_a_person_has_authorised_the_connection(ring: Ring) -> None:
    [shard] = await people(ring, 1)
    await set_status(ring, ConnectionStatus.NEEDS_REAUTH)
    await change(ring, shard, title="Clerk")
    await change(ring, shard, title="Captain")
    assert (ring.take(), await sweep(ring)) == ([], 0)
    await set_status(ring, ConnectionStatus.ACTIVE)
    assert await sweep(ring) == 1
    await ring.worker.handle(ring.take())
    assert [fields["title"] for fields in ring.providers["crm"].live().values()] == ["Captain"]
    assert await sweep(ring) == 0


async def test_what_a_dead_grant_stopped_on_its_way_is_told_when_it_lives_again(ring: Ring) -> None:
    shard = await person(ring, "Stopped")
    messages = ring.take()
    ring.providers["crm"].refuse[shard.id] = ReauthRequired(provider_code="invalid_grant")
    await set_status(ring, ConnectionStatus.NEEDS_REAUTH)
    await ring.worker.handle(messages)
    assert (ring.results[-1].success, ring.results[-1].error_code) == (False, "ReauthRequired")
    assert ring.results[-1].given_up_message is not None
    assert (ring.take(), await sweep(ring)) == ([], 0)
    ring.providers["crm"].refuse.clear()
    await set_status(ring, ConnectionStatus.ACTIVE)
    assert await sweep(ring) == 1
    await ring.worker.handle(ring.take())
    assert len(ring.providers["crm"].live()) == 1
    # The failed one, replayed too, finds it done.
    await ring.worker.handle(messages)
    assert len(ring.providers["crm"].live()) == 1


async def test_what_changes_while_a_person_has_paused_a_connection_is_told_when_it_is_resumed(
    ring: Ring,
) -> None:
    [shard] = await people(ring, 1)
    await set_status(ring, ConnectionStatus.PAUSED)
    await change(ring, shard, title="Clerk")
    await change(ring, shard, title="Captain")
    assert (ring.take(), await sweep(ring)) == ([], 0)
    [entry] = (await ring.world.shards.get(TENANT, shard.id)).outbox
    assert entry.waiting
    await set_status(ring, ConnectionStatus.ACTIVE)
    assert await sweep(ring) == 1
    await ring.worker.handle(ring.take())
    assert [fields["title"] for fields in ring.providers["crm"].live().values()] == ["Captain"]
    assert await sweep(ring) == 0


async def test_what_is_on_its_way_when_a_person_pauses_the_connection_is_told_when_it_is_resumed(
    ring: Ring,
) -> None:
    shard = await person(ring, "Stopped")
    messages = ring.take()
    ring.providers["crm"].refuse[shard.id] = ConnectionPaused("connection crm: paused")
    await set_status(ring, ConnectionStatus.PAUSED)
    await ring.worker.handle(messages)
    assert (ring.results[-1].success, ring.results[-1].error_code) == (False, "ConnectionPaused")
    assert (ring.take(), await sweep(ring)) == ([], 0)
    ring.providers["crm"].refuse.clear()
    await set_status(ring, ConnectionStatus.ACTIVE)
    assert await sweep(ring) == 1
    await ring.worker.handle(ring.take())
    assert len(ring.providers["crm"].live()) == 1


async def disconnect(ring: Ring) -> None:
    await ring.world.connections.delete(await ring.world.connections.get(TENANT, "crm"))


async def crashed(ring: Ring, shard: Shard, title: str) -> None:
    """A change whose marker was stored, and whose sender died then."""
    shard = await ring.world.shards.get(TENANT, shard.id)
    shard.fields["title"] = title
    connection = await ring.world.connections.get(TENANT, "crm")
    ring.world.outbox.announce(shard, [connection], Operation.UPDATE, ["title"], "exec-crashed")
    await ring.world.shards.save([shard])


@pytest.mark.parametrize("status", [ConnectionStatus.NEEDS_REAUTH, ConnectionStatus.PAUSED])
async def test_what_a_crash_left_is_not_sent_into_a_connection_that_is_not_active(
    ring: Ring, status: ConnectionStatus
) -> None:
    [shard] = await people(ring, 1)
    await crashed(ring, shard, "Clerk")
    await set_status(ring, status)
    for _ in range(3):
        assert (await sweep(ring), ring.take()) == (0, [])
    await set_status(ring, ConnectionStatus.ACTIVE)
    assert await sweep(ring) == 1
    await ring.worker.handle(ring.take())
    assert [fields["title"] for fields in ring.providers["crm"].live().values()] == ["Clerk"]
    assert await sweep(ring) == 0


async def test_a_sweep_reads_no_connection_for_what_a_crash_left(ring: Ring) -> None:
    for shard in await people(ring, 5):
        await crashed(ring, shard, "Clerk")
    ring.world.connections.asked.clear()
    assert await sweep(ring) == 5
    assert ring.world.connections.asked == {"inactive": 1}


async def test_what_waits_for_a_connection_that_is_gone_is_dropped(ring: Ring) -> None:
    shards = await people(ring, 2)
    await set_status(ring, ConnectionStatus.NEEDS_REAUTH)
    for shard in shards:
        await change(ring, shard, title="Clerk")
    await disconnect(ring)
    ring.world.connections.asked.clear()
    assert (await sweep(ring), ring.take()) == (0, [])
    assert ring.world.connections.asked == {"inactive": 1, "get": 1}
    assert [(await ring.world.shards.get(TENANT, shard.id)).outbox for shard in shards] == [[], []]


async def test_what_is_on_its_way_to_a_deleted_connection_fails_for_good_and_is_kept_whole(
    ring: Ring,
) -> None:
    [shard] = await people(ring, 1)
    await change(ring, shard, title="Clerk")
    [message] = ring.take()
    reference = (await ring.world.shards.get(TENANT, shard.id)).references
    await disconnect(ring)
    await ring.worker.handle([message])
    result = ring.results[-1]
    assert (result.success, result.error_code, result.retryable) == (False, "NotFound", False)
    assert result.error_message == "connection crm: it is gone"
    assert result.given_up_message is not None
    assert ring.take() == []
    stored = await ring.world.shards.get(TENANT, shard.id)
    assert (stored.fields["title"], stored.references) == ("Clerk", reference)


async def test_a_change_after_that_is_announced_to_nobody_and_what_was_left_is_not_sent_for_ever(
    ring: Ring,
) -> None:
    [shard] = await people(ring, 1)
    await set_status(ring, ConnectionStatus.NEEDS_REAUTH)
    await change(ring, shard, title="Clerk")
    assert (await ring.world.shards.get(TENANT, shard.id)).outbox
    await disconnect(ring)
    await change(ring, shard, title="Captain")
    assert (await sweep(ring), ring.take()) == (0, [])
    assert not (await ring.world.shards.get(TENANT, shard.id)).outbox


async def test_a_webhooks_event_of_a_deleted_connection_fails_for_good(ring: Ring) -> None:
    ring.providers["crm"].write("1", {"lastName": "Ada"})
    await disconnect(ring)
    assert await ring.step()
    [result] = ring.results
    assert (result.error_code, result.error_message) == ("NotFound", "connection crm: it is gone")
    assert ring.take() == []


async def test_a_push_task_of_a_deleted_connection_fails_for_good(ring: Ring) -> None:
    task = await received_task(ring, "gone")
    await ring.worker.handle([task])
    failure = (await ring.world.tasks.get(TENANT, "push-gone")).last_failure
    assert failure is not None
    assert (failure.code, failure.message) == ("NotFound", "connection gone: it is gone")
    assert ring.take() == []
