"""``castiel doctor``: green on the local stack, red with the way out when a service is stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.cosmos import PartitionKey

from castiel.azure.cosmos_containers import CONTAINERS
from castiel.bootstrap import Services
from castiel.domain.connections import Connection
from tests.support.cli import Cli, running_cli

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
    with running_cli() as cli:
        yield cli


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


@pytest.mark.parametrize(
    ("setting", "value", "area", "says"),
    [
        ("SERVICE_BUS_QUEUE_OUTBOUND", "no-such-queue", "service-bus", "SERVICE_BUS_QUEUE_OUTBOUND"),
        ("KEY_VAULT_STATIC_TOKEN", "somebody-else", "key-vault", "KEY_VAULT_STATIC_TOKEN"),
        ("EVENT_GRID_TOPIC_KEY", "somebody-else", "event-grid", "EVENT_GRID_TOPIC_KEY"),
        ("COSMOS_DATABASE", "no-such-database", "cosmos", "make stack"),
        ("COSMOS_ENDPOINT", "", "settings", "local.settings.json"),
    ],
)
def test_what_is_missing_or_forbidden_is_named_with_the_way_out(
    castiel: Cli, setting: str, value: str, area: str, says: str
) -> None:
    answer = castiel("doctor", "--json", env={setting: value})
    assert answer.code == 1
    failed = [check for check in answer.json["checks"] if check["status"] == "failed"]
    assert {check["area"] for check in failed} == {area}
    assert all(says in check["advice"] for check in failed)
    if value and area in ("service-bus", "cosmos"):
        assert all(value in check["detail"] for check in failed)


def test_a_connection_whose_provider_refuses_it_is_named(castiel: Cli) -> None:
    async def plant(services: Services) -> None:
        await services.stores.connections.create(
            Connection(id="conn-1", tenant_id="acme", integration_id="slack", credential_id="cred-none")
        )

    castiel.does(plant)
    answer = castiel("doctor", "--tenant", "acme", "--json")
    assert answer.code == 1
    [failed] = [check for check in answer.json["checks"] if check["status"] == "failed"]
    assert (failed["area"], "connections authorize" in failed["advice"]) == ("connections", True)
    assert castiel("doctor", "--tenant", "globex").code == 0


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
