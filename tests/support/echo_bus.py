"""A local Service Bus broker with the echo app's two queues, and a client of it, for tests of the host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from infra.local.process import ServerProcess

LOCK_SECONDS = 1
MAX_DELIVERIES = 3


class Bus:
    """A broker with the echo app's two queues, and a client of it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.connection = (
            f"Endpoint=sb://127.0.0.1:{server.port};SharedAccessKeyName=local;SharedAccessKey=local;"
            "UseDevelopmentEmulator=true"
        )
        self.connect()

    def connect(self) -> None:
        self.client = ServiceBusClient.from_connection_string(self.connection)
        self._senders: dict[str, ServiceBusSender] = {}
        self._receivers: dict[str, ServiceBusReceiver] = {}

    async def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        if queue not in self._senders:
            self._senders[queue] = self.client.get_queue_sender(queue)
        await self._senders[queue].send_messages(list(messages))

    async def is_empty(self, queue: str) -> bool:
        """Whether no message is left, locked ones included."""
        if queue not in self._receivers:
            self._receivers[queue] = self.client.get_queue_receiver(queue)
        return not await self._receivers[queue].peek_messages(1)

    async def dead_letters(self, queue: str) -> list[str]:
        async with self.client.get_queue_receiver(
            queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER
        ) as receiver:
            return [str(message.dead_letter_reason) for message in await receiver.peek_messages(10)]


def _broker_config() -> dict[str, Any]:
    properties = {"LockDuration": f"PT{LOCK_SECONDS}S", "MaxDeliveryCount": MAX_DELIVERIES}
    queues = [{"Name": name, "Properties": properties} for name in ("echo-one", "echo-many")]
    return {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": queues, "Topics": []}]}}


@contextlib.asynccontextmanager
async def running_bus(folder: Path) -> AsyncIterator[Bus]:
    """Start the broker with its data in ``folder``, and stop it at the end."""
    config = folder / "bus.json"
    config.write_text(json.dumps(_broker_config()), encoding="utf-8")
    server = ServerProcess("servicebus", data=folder / "bus", arguments=["--config", str(config)])
    await asyncio.to_thread(server.start)
    bus = Bus(server)
    try:
        yield bus
    finally:
        await bus.client.close()
        await asyncio.to_thread(server.stop)


def order(**values: Any) -> ServiceBusMessage:
    """A message that tells the echo app what to do (``wait`` seconds, ``until`` a file is there, ``fail``)."""
    return ServiceBusMessage(json.dumps(values))


def orders(values: Iterable[dict[str, Any]]) -> list[ServiceBusMessage]:
    """Several of them."""
    return [order(**value) for value in values]


async def eventually(check: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
    """Poll until ``check`` says yes."""
    deadline = time.monotonic() + within
    while not await check():
        assert time.monotonic() < deadline, "it did not become true"
        await asyncio.sleep(0.05)
