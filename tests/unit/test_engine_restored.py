"""A record that comes back after its shard has become another record's."""

from __future__ import annotations

import pytest

from castiel.domain.shards import Shard
from tests.support.engine import ADA, GRACE, TENANT, person
from tests.support.ring import Ring, ring_of

OTHER_DATA = {
    "firstName": "Augusta",
    "lastName": "King",
    "email": "augusta@example.net",
    "phone": "+15550100",
    "birthDate": "1815-12-10",
}


async def made_again(ring: Ring) -> Shard:
    """Ada was deleted at the provider and changed here later: she was made again, as another record."""
    world, crm = ring.world, ring.providers["crm"]
    crm.write("1", ADA)
    await ring.settle()
    ada = await world.shard("crm", "1")
    crm.remove("1")
    crm.told.clear()
    await world.clock.sleep(60)
    await world.local.update(TENANT, ada.id, OTHER_DATA, correlation_id="by-hand")
    await ring.settle()
    ada = await world.shards.get(TENANT, ada.id)
    assert [reference.external_id for reference in ada.references] == ["crm-2"]
    return ada


@pytest.mark.parametrize("deduplicate", [True, False])
async def test_a_record_that_is_restored_is_a_shard_of_its_own_and_fails_no_page(deduplicate: bool) -> None:
    ring = await ring_of("crm")
    world = ring.world
    connection = await world.connections.get(TENANT, "crm")
    connection.deduplicate = deduplicate
    await world.connections.replace(connection)
    ada = await made_again(ring)
    await world.clock.sleep(60)
    page = [person("1", world.clock.now(), **ADA), person("9", world.clock.now(), **GRACE)]
    for execution in ("exec-2", "exec-3"):
        done = await world.pull("crm", *page, execution=execution)
        assert done.records_failed == 0
    restored = await world.shard("crm", "1")
    assert restored.id != ada.id
    assert restored.fields["firstName"] == "Ada"
    assert (await world.shards.get(TENANT, ada.id)).fields["firstName"] == "Augusta"
    assert len(world.live()) == 3


async def test_a_record_that_has_come_back_can_go_and_come_back_once_more() -> None:
    ring = await ring_of("crm")
    world = ring.world
    first = await made_again(ring)
    await world.pull("crm", person("1", world.clock.now(), **ADA), execution="exec-2")
    second = await world.shard("crm", "1")
    # The same again: this shard becomes another record's, too.
    second.drop_reference(second.references[0].key)
    second.set_fields({**ADA, **GRACE}, "local", world.clock.now(), "by-hand")
    second.blocking_keys = []
    await world.shards.save([second])
    await world.pull("crm", person("1", world.clock.now(), **ADA), execution="exec-3")
    third = await world.shard("crm", "1")
    assert len({first.id, second.id, third.id}) == 3
