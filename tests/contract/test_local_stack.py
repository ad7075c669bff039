"""The local stack as a whole: all servers up together, each killed and back with its data, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import redis.asyncio as redis
from azure.core.credentials import AzureKeyCredential
from azure.core.messaging import CloudEvent
from azure.cosmos.aio import CosmosClient
from azure.eventgrid.aio import EventGridPublisherClient
from azure.keyvault.secrets.aio import SecretClient
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from castiel.azure.cosmos_containers import CONTAINERS
from infra.local.process import CHECKOUT, ServerFailedError
from infra.local.stack import SERVERS, LocalStack
from tests.support.static_token import StaticTokenCredential

pytestmark = [pytest.mark.stack, pytest.mark.slow]

SETTINGS = {
    "CASTIEL_ENVIRONMENT",
    "CASTIEL_SANDBOX_URL",
    "COSMOS_DATABASE",
    "COSMOS_ENDPOINT",
    "COSMOS_KEY",
    "EVENT_GRID_TOPIC_ENDPOINT",
    "EVENT_GRID_TOPIC_KEY",
    "KEY_VAULT_CA_FILE",
    "KEY_VAULT_STATIC_TOKEN",
    "KEY_VAULT_URL",
    "REDIS_URL",
    "SERVICE_BUS_CONNECTION_STRING",
    "SERVICE_BUS_QUEUE",
    "SERVICE_BUS_QUEUE_OUTBOUND",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("stack")) as started:
        yield started


def vault_of(settings: Mapping[str, str]) -> SecretClient:
    return SecretClient(
        settings["KEY_VAULT_URL"],
        StaticTokenCredential(settings["KEY_VAULT_STATIC_TOKEN"]),
        connection_verify=settings["KEY_VAULT_CA_FILE"],
        verify_challenge_resource=False,
    )


SHARD = {"id": "contact-1", "tenantId": "tenant-1", "shardType": "contact", "name": "Ada"}


class Cosmos:
    """Each class writes one thing to its server and reads it back, with the SDK the app uses."""

    async def write(self, settings: Mapping[str, str]) -> None:
        async with CosmosClient(settings["COSMOS_ENDPOINT"], settings["COSMOS_KEY"]) as client:
            database = client.get_database_client(settings["COSMOS_DATABASE"])
            await database.get_container_client("shards").upsert_item(SHARD)

    async def check(self, settings: Mapping[str, str]) -> None:
        async with CosmosClient(settings["COSMOS_ENDPOINT"], settings["COSMOS_KEY"]) as client:
            database = client.get_database_client(settings["COSMOS_DATABASE"])
            read = await database.get_container_client("shards").read_item(
                SHARD["id"], ["tenant-1", "contact"]
            )
            assert read["name"] == "Ada"


class ServiceBus:
    async def write(self, settings: Mapping[str, str]) -> None:
        async with ServiceBusClient.from_connection_string(
            settings["SERVICE_BUS_CONNECTION_STRING"]
        ) as client:
            for queue in (settings["SERVICE_BUS_QUEUE"], settings["SERVICE_BUS_QUEUE_OUTBOUND"]):
                async with client.get_queue_sender(queue) as sender:
                    await sender.send_messages(ServiceBusMessage(f"to {queue}"))

    async def check(self, settings: Mapping[str, str]) -> None:
        async with ServiceBusClient.from_connection_string(
            settings["SERVICE_BUS_CONNECTION_STRING"]
        ) as client:
            for queue in (settings["SERVICE_BUS_QUEUE"], settings["SERVICE_BUS_QUEUE_OUTBOUND"]):
                async with client.get_queue_receiver(queue) as receiver:
                    (message,) = await receiver.receive_messages(max_wait_time=10)
                    assert str(message) == f"to {queue}"
                    await receiver.complete_message(message)


class KeyVault:
    async def write(self, settings: Mapping[str, str]) -> None:
        async with vault_of(settings) as vault:
            await vault.set_secret("stack", "value")

    async def check(self, settings: Mapping[str, str]) -> None:
        async with vault_of(settings) as vault:
            assert (await vault.get_secret("stack")).value == "value"


class EventGrid:
    async def write(self, settings: Mapping[str, str]) -> None:
        key = AzureKeyCredential(settings["EVENT_GRID_TOPIC_KEY"])
        async with EventGridPublisherClient(settings["EVENT_GRID_TOPIC_ENDPOINT"], key) as topic:
            await topic.send(CloudEvent(source="/castiel", type="Castiel.Stack", data=1))

    async def check(self, settings: Mapping[str, str]) -> None:
        url = settings["EVENT_GRID_TOPIC_ENDPOINT"].removesuffix("/api/events") + "/_events"
        async with httpx.AsyncClient() as client:
            events = (await client.get(url, params={"type": "Castiel.Stack"})).json()["events"]
        assert {event["data"] for event in events} == {1}


class Redis:
    async def write(self, settings: Mapping[str, str]) -> None:
        async with redis.from_url(settings["REDIS_URL"]) as client:
            await client.set("stack", "value")

    async def check(self, settings: Mapping[str, str]) -> None:
        async with redis.from_url(settings["REDIS_URL"]) as client:
            assert await client.get("stack") == b"value"


class Sandbox:
    async def write(self, settings: Mapping[str, str]) -> None:
        async with httpx.AsyncClient(base_url=settings["CASTIEL_SANDBOX_URL"]) as client:
            made = await client.post("/_control/salesforce/records/Contact", json={"LastName": "Lovelace"})
            made.raise_for_status()

    async def check(self, settings: Mapping[str, str]) -> None:
        async with httpx.AsyncClient(base_url=settings["CASTIEL_SANDBOX_URL"]) as client:
            records = (await client.get("/_control/salesforce/records/Contact")).raise_for_status().text
        assert "Lovelace" in records


PROBES = {
    "cosmos": Cosmos(),
    "servicebus": ServiceBus(),
    "keyvault": KeyVault(),
    "eventgrid": EventGrid(),
    "redis": Redis(),
    "sandbox": Sandbox(),
}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_silent(ports: list[int], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while still := [port for port in ports if listens(port)]:
        assert time.monotonic() < deadline, f"still listening: {still}"
        time.sleep(0.02)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_settings_are_the_apps(stack: LocalStack) -> None:
    assert set(stack.environment()) == SETTINGS
    assert set(stack.servers) == set(SERVERS) == set(PROBES)


def test_all_is_ready_in_a_few_seconds(stack: LocalStack) -> None:
    """Generous: a build machine may be busy. A quiet one needs about 2 s."""
    assert max(stack.seconds_to_ready.values()) < 30


async def test_the_containers_are_those_of_the_table(stack: LocalStack) -> None:
    settings = stack.environment()
    stack.ensure_containers()
    async with CosmosClient(settings["COSMOS_ENDPOINT"], settings["COSMOS_KEY"]) as client:
        database = client.get_database_client(settings["COSMOS_DATABASE"])
        found = {each["id"]: each async for each in database.list_containers()}
    assert set(found) == {each.name for each in CONTAINERS}
    for each in CONTAINERS:
        assert tuple(found[each.name]["partitionKey"]["paths"]) == each.partition_key
        assert found[each.name].get("defaultTtl") == each.default_ttl


@pytest.mark.parametrize("name", SERVERS)
async def test_a_killed_server_comes_back_with_its_data(stack: LocalStack, name: str) -> None:
    settings, probe, port = stack.environment(), PROBES[name], stack.servers[name].port
    await probe.write(settings)
    await asyncio.to_thread(stack.kill, name)
    assert stack.ended() == [name]
    await asyncio.to_thread(wait_until_silent, [port])
    await asyncio.to_thread(stack.restart, name)
    assert stack.environment() == settings
    await probe.check(settings)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_stopped_server_comes_back_with_its_data(stack: LocalStack, name: str) -> None:
    settings, probe = stack.environment(), PROBES[name]
    await probe.write(settings)
    await asyncio.to_thread(stack.stop, name)
    await asyncio.to_thread(stack.start, name)
    await probe.check(settings)


def test_one_folder_serves_one_stack_at_a_time(stack: LocalStack) -> None:
    with pytest.raises(ServerFailedError, match=r"another local stack uses .*: end that one first"):
        LocalStack(stack.data, only=["redis"]).start_all()


def test_a_server_that_cannot_start_takes_the_others_down(stack: LocalStack) -> None:
    taken = {"eventgrid": stack.servers["eventgrid"].port}
    second = LocalStack(None, only=["redis", "eventgrid"], ports=taken)
    with pytest.raises(ServerFailedError, match="eventgrid did not start"):
        second.start_all()
    assert second.ended() == ["eventgrid", "redis"]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path)
    with stack:
        groups = [server.pid for server in stack.servers.values() if server.pid is not None]
        ports = [server.port for server in stack.servers.values()]
        assert len(groups) == len(SERVERS)
        assert all(map(group_lives, groups))
    assert not any(map(group_lives, groups))
    wait_until_silent(ports, within=0)


def run_command(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "infra.local", "--ports", "auto", "--json", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_command_writes_the_settings_file_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text('{"Values": {"SYNC_BATCH_SIZE": "50", "REDIS_URL": "old"}, "Host": {"CORS": "*"}}')
    command = run_command("--memory", "--settings", str(file))
    assert command.stdout is not None
    ready = json.loads(command.stdout.readline())
    written = json.loads(file.read_text())
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=20)
    assert (command.returncode, errors) == (0, b"")
    assert written["IsEncrypted"] is False
    assert written["Host"] == {"CORS": "*"}
    assert written["Values"] == {
        **ready["environment"],
        "SYNC_BATCH_SIZE": "50",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "FUNCTIONS_WORKER_RUNTIME": "python",
    }
    wait_until_silent([each["port"] for each in ready["servers"].values()], within=0)


def test_no_server_outlives_a_killed_command() -> None:
    command = run_command("--memory", "--no-settings")
    assert command.stdout is not None
    ready = json.loads(command.stdout.readline())
    command.kill()
    command.communicate(timeout=20)
    wait_until_silent([each["port"] for each in ready["servers"].values()])
