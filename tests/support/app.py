"""The whole app over the local stack, as a process (``running_app``) or in this one (``running_services``)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from azure.servicebus.aio import ServiceBusClient

from castiel.bootstrap import Services, build
from castiel.ports.clock import Clock
from castiel.ports.messaging import ReceivedMessage
from castiel.settings import Settings, load_settings
from infra.local.process import ServerProcess
from infra.local.sandbox.client import SandboxControl
from infra.local.servicebus import __file__ as _servicebus_file
from infra.local.session import Session, session
from infra.local.stack import LocalStack
from tests.support.leaks import assert_nothing_leaked


def bus_config(folder: Path, *, lock: timedelta = timedelta(seconds=5), max_delivery: int = 10) -> list[str]:
    """Arguments for a Service Bus whose locks end soon, so that a killed worker's messages come back soon."""
    config = json.loads(Path(_servicebus_file).with_name("Config.json").read_text("utf-8"))
    for queue in config["UserConfig"]["Namespaces"][0]["Queues"]:
        queue["Properties"]["LockDuration"] = f"PT{int(lock.total_seconds())}S"
        queue["Properties"]["MaxDeliveryCount"] = max_delivery
    path = folder / "Config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return ["--config", str(path)]


@contextlib.asynccontextmanager
async def running_app(
    *,
    settings: Mapping[str, str] | None = None,
    lock: timedelta = timedelta(seconds=5),
    max_delivery: int = 10,
    durable: bool = False,
) -> AsyncIterator[Session]:
    """Stack and functions host as processes, on free ports; in memory, or so that servers may be restarted."""
    with tempfile.TemporaryDirectory(prefix="castiel-app-") as folder:
        async with session(
            data=Path(folder, "data") if durable else None,
            settings_file=Path(folder, "local.settings.json"),
            server_arguments={"servicebus": bus_config(Path(folder), lock=lock, max_delivery=max_delivery)},
            settings=settings,
        ) as running:
            yield running
            await assert_nothing_leaked(running.stack, running.services, _log_of(running))


def _log_of(running: Session) -> str:
    return running.host.log() if isinstance(running.host, ServerProcess) else ""


@dataclass
class InProcess:
    """The stack as processes, the services in this one: tests call the handlers themselves."""

    stack: LocalStack
    services: Services

    def control(self, provider: str = "salesforce") -> SandboxControl:
        """The sandbox's controls; close it after use."""
        return SandboxControl(self.services.settings.castiel_sandbox_url or "", provider)

    async def take(self, queue: str, count: int = 1, *, wait: float = 10.0) -> list[ReceivedMessage]:
        """Receive and complete messages, as the trigger hands them over."""
        connection = self.services.settings.service_bus_connection_string
        assert connection is not None
        async with (
            ServiceBusClient.from_connection_string(connection.get_secret_value()) as client,
            client.get_queue_receiver(queue) as receiver,
        ):
            taken: list[ReceivedMessage] = []
            while len(taken) < count:
                found = await receiver.receive_messages(
                    max_message_count=count - len(taken), max_wait_time=wait
                )
                if not found:
                    break
                for message in found:
                    await receiver.complete_message(message)
                    taken.append(_received(message))
            return taken


def _received(message: Any) -> ReceivedMessage:
    def text(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    return ReceivedMessage(
        body=b"".join(message.body),
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        delivery_count=message.delivery_count or 0,
        enqueued_at=message.enqueued_time_utc,
        properties={text(k): text(v) for k, v in (message.application_properties or {}).items()},
    )


@contextlib.asynccontextmanager
async def running_services(
    *, settings: Mapping[str, str] | None = None, clock: Clock | None = None, data: Path | None = None
) -> AsyncIterator[InProcess]:
    """The stack on free ports, and the services over it in this process."""
    stack = LocalStack(data)
    await asyncio.to_thread(stack.start_all)
    try:
        services = build(settings_for(stack, settings), clock=clock)
        try:
            yield InProcess(stack, services)
            await assert_nothing_leaked(stack, services)
        finally:
            await services.aclose()
    finally:
        await asyncio.to_thread(stack.stop_all)


def settings_for(stack: LocalStack, more: Mapping[str, str] | None = None) -> Settings:
    """The app's settings for a stack, without touching the tests' environment for longer than a moment."""
    values = {**stack.environment(), **(more or {})}
    before = dict(os.environ)
    os.environ.update(values)
    try:
        return load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
