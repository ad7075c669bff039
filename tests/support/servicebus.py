"""Service Bus for tests: our emulator as a process of its own, or whatever the environment names.

With ``CASTIEL_CONTRACT_SERVICE_BUS=<connection string>`` (and queues ``sync-inbound`` and ``sync-outbound`` there)
the contract suite speaks to Microsoft's emulator or to a namespace in Azure instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from infra.local.process import ServerProcess

CONNECTION_SETTING = "CASTIEL_CONTRACT_SERVICE_BUS"


def external_connection_string() -> str | None:
    """The connection string of a Service Bus that is not ours, if the environment names one."""
    return os.environ.get(CONNECTION_SETTING) or None


def connection_string(host: str, port: int) -> str:
    """What clients of a local emulator connect with."""
    return (
        f"Endpoint=sb://{host}:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=local;UseDevelopmentEmulator=true;"
    )


class RunningServiceBus:
    """Our emulator while it runs; it can be killed and started again on the same port and folder."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server

    @property
    def connection_string(self) -> str:
        """What clients connect with."""
        return connection_string(self.server.host, self.server.port)

    @property
    def status_url(self) -> str:
        """Base address of the status port."""
        return f"http://{self.server.host}:{self.server.ready['statusPort']}"

    async def counts(self, queue: str) -> dict[str, int]:
        """Messages of a queue: ``active``, ``scheduled``, ``locked``, ``deferred``, ``deadLettered``."""
        report = await asyncio.to_thread(_get_json, f"{self.status_url}/status")
        counts: dict[str, int] = report["queues"][queue]
        return counts

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        """Start again after a kill."""
        await asyncio.to_thread(self.server.start)


@asynccontextmanager
async def running_servicebus(
    config: Path | None = None, data: Path | None = None, port: int = 0
) -> AsyncIterator[RunningServiceBus]:
    """Run the emulator with this Config.json (default: the project's) and data folder (default: memory)."""
    arguments = ["--status-port", "0"]
    if config is not None:
        arguments += ["--config", str(config)]
    server = ServerProcess("servicebus", data=data, port=port, arguments=arguments)
    await asyncio.to_thread(server.start)
    try:
        yield RunningServiceBus(server)
    finally:
        await asyncio.to_thread(server.stop)


def write_config(folder: Path, **queues: Mapping[str, Any]) -> Path:
    """A Config.json with these queues and their properties; a name's underscores become dashes."""
    entries = [
        {"Name": name.replace("_", "-"), "Properties": dict(properties)}
        for name, properties in queues.items()
    ]
    path = folder / "Config.json"
    namespace = {"Name": "sbemulatorns", "Queues": entries, "Topics": []}
    path.write_text(json.dumps({"UserConfig": {"Namespaces": [namespace], "Logging": {"Type": "File"}}}))
    return path


class Bus:
    """A client that keeps its senders and receivers open, as Castiel does, and closes them together.

    Opening and closing a link costs the SDK about a second each, so a module's tests share one bus. ``local`` is
    None for a Service Bus that is not ours.
    """

    def __init__(self, connection: str, local: RunningServiceBus | None = None) -> None:
        self.connection = connection
        self.client = ServiceBusClient.from_connection_string(
            connection, retry_total=1, retry_backoff_factor=0.1
        )
        self.local = local
        self._senders: dict[str, ServiceBusSender] = {}
        self._receivers: dict[tuple[str, object], ServiceBusReceiver] = {}

    async def sender(self, queue: str = "sync-inbound") -> ServiceBusSender:
        """The sender to this queue."""
        if queue not in self._senders:
            self._senders[queue] = await self.client.get_queue_sender(queue).__aenter__()
        return self._senders[queue]

    async def receiver(
        self, queue: str = "sync-inbound", sub_queue: ServiceBusSubQueue | None = None
    ) -> ServiceBusReceiver:
        """The receiver from this queue.

        A further receiver must be closed where it is used: after a receive call that timed out, the SDK leaves its
        credit with the broker, and the next message goes to a receiver that nobody reads.
        """
        key = (queue, sub_queue)
        if key not in self._receivers:
            receiver = self.client.get_queue_receiver(queue, sub_queue=sub_queue)
            self._receivers[key] = await receiver.__aenter__()
        return self._receivers[key]

    async def dead_letters(self, queue: str = "sync-inbound") -> ServiceBusReceiver:
        """The receiver from the dead-letter queue."""
        return await self.receiver(queue, ServiceBusSubQueue.DEAD_LETTER)

    async def clean(self, *queues: str) -> None:
        """Empty these queues, if a test left something."""
        for queue in queues:
            if self.local is None or any((await self.local.counts(queue)).values()):
                await purge(self.client, queue)

    async def close(self) -> None:
        """Close everything that was opened."""
        await asyncio.gather(
            *(handle.close() for handle in (*self._senders.values(), *self._receivers.values()))
        )
        await self.client.close()


@asynccontextmanager
async def connected_bus(connection: str, local: RunningServiceBus | None = None) -> AsyncIterator[Bus]:
    """A :class:`Bus` on this connection string."""
    bus = Bus(connection, local)
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def contract_bus() -> AsyncIterator[Bus]:
    """A bus with the queues of the project's Config.json: on the external Service Bus, or on an emulator of its own."""
    external = external_connection_string()
    if external is not None:
        async with connected_bus(external) as bus:
            yield bus
        return
    async with running_servicebus() as running, connected_bus(running.connection_string, running) as bus:
        yield bus


async def purge(client: ServiceBusClient, queue: str) -> None:
    """Take every available message off a queue and its dead-letter queue."""
    for sub_queue in (None, ServiceBusSubQueue.DEAD_LETTER):
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        async with client.get_queue_receiver(queue, sub_queue=sub_queue, receive_mode=mode) as receiver:
            while await receiver.receive_messages(max_message_count=200, max_wait_time=2):
                pass


async def receive(
    receiver: ServiceBusReceiver, count: int = 1, within: float = 10.0
) -> list[ServiceBusReceivedMessage]:
    """Exactly this many messages; fails when they do not come in time."""
    received: list[ServiceBusReceivedMessage] = []
    deadline = time.monotonic() + within
    while len(received) < count:
        remaining = deadline - time.monotonic()
        assert remaining > 0, f"{len(received)} of {count} messages within {within} s"
        received += await receiver.receive_messages(
            max_message_count=count - len(received), max_wait_time=min(remaining, 2.0)
        )
    return received


async def assert_nothing_comes(receiver: ServiceBusReceiver, during: float = 0.25) -> None:
    """No message is available for this long."""
    messages = await receiver.receive_messages(max_message_count=1, max_wait_time=during)
    assert messages == [], [str(message) for message in messages]


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
    """Wait until ``condition()`` holds; fails when it does not in time."""
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(0.02)


def _get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own status port
        return json.load(response)
