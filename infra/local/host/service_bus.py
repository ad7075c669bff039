"""Pumps one queue into one function with the Service Bus trigger's semantics.

Return completes, an exception abandons. Cardinality one: ``maxConcurrentCalls`` messages at a time, each with its
lock renewed. Cardinality many: one batch after the other, of at most ``maxMessageBatchSize``, without lock renewal.
Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus#hostjson-settings

Each slot has a receiver (and so a connection) of its own: the SDK's receivers must not be used concurrently, and a
receiver that asks for one message hands it over the moment it arrives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

from infra.local.host.config import ServiceBusOptions
from infra.local.host.indexing import IndexedFunction
from infra.local.host.invoker import Invoker
from infra.local.host.lock_renewal import renewed_lock
from infra.local.host.settings import connection_string, resolve
from infra.local.host.wire import batch_data, message_data

logger = logging.getLogger("infra.local.host")

# One receive call; also the longest time that a stop waits for an idle slot. A call is not cancelled: it may hold a
# half-read frame, and a message in it would stay locked.
_RECEIVE_SECONDS = 0.5
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.2, 5.0


class QueuePump:
    """One Service Bus queue trigger."""

    def __init__(self, function: IndexedFunction, invoker: Invoker, options: ServiceBusOptions) -> None:
        self.function = function
        self.queue = resolve(str(function.trigger["queueName"]))
        self._connection = connection_string(resolve(str(function.trigger["connection"])))
        self._batched = str(function.trigger.get("cardinality") or "one").lower() == "many"
        self._invoker = invoker
        self._options = options

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until ``stop`` is set; messages being handled are finished and settled."""
        slots = 1 if self._batched else self._options.max_concurrent_calls
        async with asyncio.TaskGroup() as group:
            for _ in range(slots):
                group.create_task(self._run_slot(stop))

    async def _run_slot(self, stop: asyncio.Event) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while not stop.is_set():
            try:
                async with self._client() as client, self._receiver(client) as receiver:
                    backoff = _FIRST_BACKOFF_SECONDS
                    await self._receive_until(stop, receiver)
            except (ServiceBusError, OSError, ValueError) as error:
                # ValueError is how the SDK says that the message's connection was lost before it was settled.
                logger.warning(
                    "Queue %s: %s: trying again in %g s", self.queue, type(error).__name__, backoff
                )
                logger.debug("Queue %s", self.queue, exc_info=error)
            except Exception:  # whatever else the SDK makes of a broken connection must not end the pump
                logger.exception("Queue %s: trying again in %g s", self.queue, backoff)
            else:
                continue
            await _sleep_or_stop(stop, backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    def _client(self) -> ServiceBusClient:
        # The loop above does the retrying.
        return ServiceBusClient.from_connection_string(self._connection, retry_total=0)

    def _receiver(self, client: ServiceBusClient) -> ServiceBusReceiver:
        return client.get_queue_receiver(self.queue, prefetch_count=self._options.prefetch_count)

    async def _receive_until(self, stop: asyncio.Event, receiver: ServiceBusReceiver) -> None:
        most = self._options.max_message_batch_size if self._batched else 1
        while not stop.is_set():
            messages = await receiver.receive_messages(max_message_count=most, max_wait_time=_RECEIVE_SECONDS)
            if not messages:
                continue
            if self._batched:
                await self._handle_batch(receiver, messages)
            else:
                await self._handle_one(receiver, messages[0])

    async def _handle_one(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
        data, metadata = message_data(message)
        async with renewed_lock(receiver, message, self._options.max_auto_lock_renewal):
            outcome = await self._invoker.invoke(
                self.function,
                data,
                metadata,
                reason=f"(null) New ServiceBus message detected on '{self.queue}'.",
                trace_parent=_trace_parent(message),
            )
        await self._settle(receiver, [message], succeeded=outcome.error is None)

    async def _handle_batch(
        self, receiver: ServiceBusReceiver, messages: list[ServiceBusReceivedMessage]
    ) -> None:
        data, metadata = batch_data(messages)
        outcome = await self._invoker.invoke(
            self.function,
            data,
            metadata,
            reason=f"(null) New ServiceBus message detected on '{self.queue}'.",
        )
        await self._settle(receiver, messages, succeeded=outcome.error is None)

    async def _settle(
        self, receiver: ServiceBusReceiver, messages: Sequence[ServiceBusReceivedMessage], *, succeeded: bool
    ) -> None:
        if succeeded and not self._options.auto_complete:
            return
        settle = receiver.complete_message if succeeded else receiver.abandon_message
        for message in messages:
            try:
                await settle(message)
            except MessageLockLostError:
                logger.warning(
                    "Message %s of %s: its lock was lost, it will come again", message.message_id, self.queue
                )


def _trace_parent(message: ServiceBusReceivedMessage) -> str:
    properties = message.application_properties or {}
    value = properties.get(b"traceparent") or properties.get(b"Diagnostic-Id") or b""
    return value.decode() if isinstance(value, bytes) else str(value)


async def _sleep_or_stop(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
