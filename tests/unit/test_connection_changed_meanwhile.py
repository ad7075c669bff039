"""What is on its way, or was done, when an operator changes a connection."""

from __future__ import annotations

from typing import Any

import pytest

from castiel.domain.messages import Operation
from castiel.domain.tasks import SyncMode
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
