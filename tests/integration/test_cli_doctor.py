"""``castiel doctor``: green on the local stack, red with the way out when a service is stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.cosmos import PartitionKey

from castiel.azure.cosmos_containers import CONTAINERS
from castiel.bootstrap import Services
from infra.local.stack import LocalStack
from tests.support.cli import Cli

pytestmark = [pytest.mark.stack, pytest.mark.slow]

AREAS = {
    "cosmos": "cosmos",
    "servicebus": "service-bus",
    "keyvault": "key-vault",
    "redis": "redis",
    "eventgrid": "event-grid",
    "sandbox": "sandbox",
}


@pytest.fixture(scope="module")
def castiel() -> Iterator[Cli]:
    with LocalStack() as stack:
        yield Cli(stack)


def test_all_is_well_on_the_local_stack(castiel: Cli) -> None:
    answer = castiel("doctor", "--json")
    assert answer.code == 0, answer.out
    assert answer.json["ok"] is True
    details = [check["detail"] for check in answer.json["checks"]]
    assert {f"container {each.name}" for each in CONTAINERS} <= set(details)
    assert {check["status"] for check in answer.json["checks"]} == {"ok"}

    shown = castiel("doctor")
    assert shown.code == 0
    assert shown.out.endswith("All is well.\n")


@pytest.mark.parametrize("server", AREAS)
def test_a_stopped_service_is_named_with_the_way_to_start_it(castiel: Cli, server: str) -> None:
    castiel.stack.stop(server)
    try:
        answer = castiel("doctor", "--json")
    finally:
        castiel.stack.start(server)
        castiel.stack.ensure_containers()
    assert answer.code == 1
    failed = [check for check in answer.json["checks"] if check["status"] == "failed"]
    assert {check["area"] for check in failed} == {AREAS[server]}
    assert all("make stack" in check["advice"] for check in failed)
    assert "Traceback" not in answer.err


def test_a_container_with_another_partition_key_or_life_is_found(castiel: Cli) -> None:
    async def spoil(services: Services) -> None:
        database = services.clients.cosmos.get_database_client("castiel")
        await database.delete_container("conflicts")
        await database.create_container("conflicts", PartitionKey("/wrong"))
        await database.delete_container("webhooks")

    castiel.does(spoil)
    try:
        answer = castiel("doctor", "--json")
    finally:

        async def drop(services: Services) -> None:
            await services.clients.cosmos.get_database_client("castiel").delete_container("conflicts")

        castiel.does(drop)
        castiel.stack.ensure_containers()
    assert answer.code == 1
    failed = [check["detail"] for check in answer.json["checks"] if check["status"] == "failed"]
    assert sorted(detail.split(",")[0] for detail in failed) == [
        "container conflicts: its partition key is /wrong",
        "container webhooks: it does not exist",
    ]
    assert castiel("doctor").code == 0
