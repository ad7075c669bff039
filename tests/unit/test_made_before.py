"""A create whose answer never came, tried again: what was changed meanwhile, there or here, is not written over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from castiel.adapters.base import ExternalRecord, PushRecord
from castiel.domain.messages import Operation
from castiel.errors import ProviderUnavailable
from tests.support.engine import TENANT
from tests.support.ring import MemoryProvider, Ring
from tests.unit.test_outbound_batches import change, forget, person, ring

__all__ = ["ring"]


async def unanswered(ring: Ring, name: str) -> tuple[str, str]:
    """A person made here, whose create arrived without an answer. The shard's id and the record's."""
    shard = await person(ring, name)
    crm = ring.providers["crm"]
    crm.unanswered.add(shard.id)
    await ring.worker.handle(ring.take())
    assert ring.world.queue.sent, "it is tried again"
    # Neither a webhook nor a pull has told of it yet.
    forget(ring)
    return shard.id, crm.made[shard.id]


async def changed_there(ring: Ring, external_id: str, **fields: str) -> MemoryProvider:
    """A person changes the record a while later, and nothing tells of it."""
    crm = ring.providers["crm"]
    await ring.world.clock.sleep(5)
    crm.write(external_id, fields)
    crm.told.clear()
    await ring.world.clock.sleep(5)
    return crm


async def test_what_a_person_changed_there_since_stays_and_comes_in(ring: Ring) -> None:
    shard_id, external_id = await unanswered(ring, "There")
    crm = await changed_there(ring, external_id, phone="+12125550001")
    await ring.settle()
    assert [fields["phone"] for fields in crm.live().values()] == ["+12125550001"]
    shard = await ring.world.shards.get(TENANT, shard_id)
    assert shard.fields["phone"] == "+12125550001"
    assert [r.external_id for r in shard.references if r.connection_id == "crm"] == [external_id]


async def test_what_was_changed_here_since_arrives(ring: Ring) -> None:
    shard_id, external_id = await unanswered(ring, "Here")
    crm = await changed_there(ring, external_id, phone="+12125550002")
    await change(ring, await ring.world.shards.get(TENANT, shard_id), title="Captain")
    await ring.settle()
    [fields] = crm.live().values()
    assert (fields["title"], fields["phone"]) == ("Captain", "+12125550002")
    shard = await ring.world.shards.get(TENANT, shard_id)
    assert (shard.fields["title"], shard.fields["phone"]) == ("Captain", "+12125550002")


async def test_one_whose_key_somebody_took_is_left_to_the_create(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard_id, _ = await unanswered(ring, "Taken")
    crm = ring.providers["crm"]
    find_made = crm.find_made

    async def without_keys(entity: str, records: list[PushRecord]) -> dict[str, ExternalRecord]:
        return {key: replace(one, made_from=None) for key, one in (await find_made(entity, records)).items()}

    monkeypatch.setattr(crm, "find_made", without_keys)
    await ring.worker.handle(ring.take())
    assert [kind for kind, _ in crm.calls if kind != "get"] == [Operation.CREATE.value]
    assert (await ring.world.shards.get(TENANT, shard_id)).references != []


async def test_while_it_cannot_be_looked_for_nothing_is_made(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard_id, external_id = await unanswered(ring, "Away")
    crm = ring.providers["crm"]

    async def away(entity: str, records: list[PushRecord]) -> dict[str, ExternalRecord]:
        raise ProviderUnavailable("it is away")

    monkeypatch.setattr(crm, "find_made", away)
    await ring.worker.handle(ring.take())
    assert crm.calls == []
    assert len(ring.world.queue.sent) == 1, "it is tried again"
    monkeypatch.undo()
    await ring.settle()
    assert list(crm.live()) == [external_id]
    shard = await ring.world.shards.get(TENANT, shard_id)
    assert [r.external_id for r in shard.references] == [external_id]
