"""Service Bus queues: shared links, batches by size, failures as Castiel's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError, MessagingEntityNotFoundError

from castiel import tracing
from castiel.errors import CastielError, ConfigurationError, MessageTooLarge, QueueUnavailable
from castiel.ports.messaging import QueueMessage

MAX_BATCH_MESSAGES = 100


class ServiceBusQueue:
    """:class:`~castiel.ports.messaging.Queue` on Service Bus.

    The sender is opened at the first send and kept: opening a link costs the SDK half a second. Sends from
    many tasks go one after the other, since a link carries one send at a time.
    """

    def __init__(self, client: ServiceBusClient, name: str) -> None:
        self.name = name
        self._client = client
        self._sender: ServiceBusSender | None = None
        self._lock = asyncio.Lock()

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        if not messages:
            return
        async with self._lock:
            try:
                await self._send(messages)
            except (AzureError, TimeoutError, OSError) as error:
                await self._drop_sender()
                raise _translate(error, self.name) from error

    async def _send(self, messages: Sequence[QueueMessage]) -> None:
        sender = await self._open()
        batch = await sender.create_message_batch()
        count = 0
        for message in messages:
            native = _native(message)
            try:
                if count == MAX_BATCH_MESSAGES:
                    raise MessageSizeExceededError(message="the batch has as many messages as it may")
                batch.add_message(native)
            except MessageSizeExceededError:
                if count:
                    await sender.send_messages(batch)
                batch, count = await sender.create_message_batch(), 0
                batch.add_message(native)
            count += 1
        if count:
            await sender.send_messages(batch)

    async def _open(self) -> ServiceBusSender:
        if self._sender is None:
            self._sender = self._client.get_queue_sender(self.name)
        return self._sender

    async def _drop_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is None:
            return
        try:
            await sender.close()
        except (AzureError, OSError, TimeoutError):
            # A link that failed may fail to close as well; the connection is opened anew either way.
            return

    async def close(self) -> None:
        """Close the link, if it was opened."""
        async with self._lock:
            await self._drop_sender()


def _native(message: QueueMessage) -> ServiceBusMessage:
    properties: dict[Any, Any] = {
        **message.properties,
        "correlationId": message.correlation_id,
        **_trace_properties(message.trace),
    }
    return ServiceBusMessage(
        message.body,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        content_type="application/json",
        scheduled_enqueue_time_utc=message.due,
        time_to_live=message.time_to_live,
        application_properties=properties,
    )


def _trace_properties(trace: tracing.Carrier) -> dict[bytes, str]:
    """A message's own trace, whichever task sends it.

    With names in bytes, as the SDK's tracing sets them where they are not set yet: a batch may hold messages of many
    traces. The Functions host reads ``Diagnostic-Id`` or ``traceparent``.
    """
    found = {name.encode(): value for name, value in trace.items()}
    if parent := trace.get(tracing.TRACEPARENT):
        found[tracing.DIAGNOSTIC_ID.encode()] = parent
    return found


def _translate(error: Exception, queue: str) -> CastielError:
    if isinstance(error, MessageSizeExceededError):
        return MessageTooLarge(f"queue {queue}: the message is larger than the queue takes")
    if isinstance(error, MessagingEntityNotFoundError):
        return ConfigurationError(
            f"queue {queue}: there is no such queue; check SERVICE_BUS_QUEUE and …_OUTBOUND"
        )
    return QueueUnavailable(f"queue {queue}: {type(error).__name__}")
