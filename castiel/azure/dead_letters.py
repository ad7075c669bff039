"""What a queue has given up: looked at, sent again, or thrown away.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-dead-letter-queues
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import MessagingEntityNotFoundError

from castiel.domain.strict_json import read_json
from castiel.errors import ConfigurationError, QueueUnavailable
from castiel.ports.messaging import again_id

PAGE = 100
WAIT_SECONDS = 3.0
"""How long a receive waits before the queue counts as empty."""
OURS = frozenset({"attempt", "reason"})
"""Properties of the retries that ended here: a message sent again begins anew."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead-lettered message. ``body`` is JSON where it reads as such, else text."""

    sequence_number: int
    queue: str
    message_id: str
    correlation_id: str | None
    reason: str | None
    description: str | None
    delivery_count: int
    enqueued_at: datetime | None
    body: Any
    properties: dict[str, Any]

    @property
    def tenant_id(self) -> str | None:
        """Whose it is, where its body says so."""
        tenant = self.body.get("tenantId") if isinstance(self.body, dict) else None
        return tenant if isinstance(tenant, str) else None


Progressed = Callable[[int], None]


class DeadLetters:
    """The dead-letter queue of one queue. Every method raises :class:`QueueUnavailable`."""

    def __init__(self, client: ServiceBusClient, queue: str) -> None:
        self._client = client
        self.queue = queue

    async def peek(self) -> AsyncIterator[DeadLetter]:
        """All of them, oldest first; nothing is taken."""
        try:
            async with self._receiver() as receiver:
                following = 1
                while True:
                    found = await receiver.peek_messages(PAGE, sequence_number=following)
                    for message in found:
                        yield self._letter(message)
                        following = (message.sequence_number or 0) + 1
                    if not found:
                        return
        except (AzureError, TimeoutError, OSError) as error:
            raise self._translate(error) from error

    async def replay(self, numbers: Collection[int], progressed: Progressed = lambda _: None) -> list[int]:
        """Send messages to their queue again, then take them off; returns those that were still there.

        A copy's id follows from the message's: what a crash made go twice is one within the queue's window.
        """
        sender = self._client.get_queue_sender(self.queue)

        async def again(message: ServiceBusReceivedMessage) -> None:
            await sender.send_messages(_copy(message))

        try:
            return await self._take(numbers, again, progressed)
        finally:
            await sender.close()

    async def purge(self, numbers: Collection[int], progressed: Progressed = lambda _: None) -> list[int]:
        """Throw messages away; returns those that were still there."""
        return await self._take(numbers, None, progressed)

    async def _take(
        self,
        numbers: Collection[int],
        before: Callable[[ServiceBusReceivedMessage], Awaitable[None]] | None,
        progressed: Progressed,
    ) -> list[int]:
        """Complete the messages of these numbers. What else has to be received on the way is given back."""
        wanted, done, others = set(numbers), [], []
        try:
            async with self._receiver() as receiver:
                try:
                    while wanted:
                        found = await receiver.receive_messages(PAGE, max_wait_time=WAIT_SECONDS)
                        if not found:
                            break
                        for message in found:
                            number = message.sequence_number or 0
                            if number not in wanted:
                                others.append(message)
                                continue
                            if before is not None:
                                await before(message)
                            await receiver.complete_message(message)
                            wanted.discard(number)
                            done.append(number)
                            progressed(1)
                finally:
                    # Held until now, so that they were not received over and over.
                    for message in others:
                        await _give_back(receiver, message)
        except (AzureError, TimeoutError, OSError) as error:
            raise self._translate(error) from error
        return done

    def _receiver(self) -> ServiceBusReceiver:
        return self._client.get_queue_receiver(self.queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    def _letter(self, message: ServiceBusReceivedMessage) -> DeadLetter:
        return DeadLetter(
            sequence_number=message.sequence_number or 0,
            queue=self.queue,
            message_id=message.message_id or "",
            correlation_id=message.correlation_id,
            reason=message.dead_letter_reason,
            description=message.dead_letter_error_description,
            delivery_count=message.delivery_count or 0,
            enqueued_at=_utc(message.enqueued_time_utc),
            body=readable(b"".join(message.body)),
            properties=_properties(message),
        )

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, MessagingEntityNotFoundError):
            return ConfigurationError(f"queue {self.queue}: it does not exist")
        return QueueUnavailable(f"queue {self.queue}: {type(error).__name__}")


async def _give_back(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
    try:
        await receiver.abandon_message(message)
    except AzureError:
        # Its lock has run out: then it is back already.
        return


def _copy(message: ServiceBusReceivedMessage) -> ServiceBusMessage:
    properties: dict[Any, Any] = {
        name: value for name, value in _properties(message).items() if name not in OURS
    }
    return ServiceBusMessage(
        b"".join(message.body),
        # The queue drops an id it has seen lately, so this must be another one.
        message_id=again_id(message.message_id or "", str(message.sequence_number)),
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        application_properties=properties,
    )


def _properties(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    found = {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}
    return {name: value for name, value in found.items() if not name.startswith("DeadLetter")}


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def readable(body: bytes) -> Any:
    """JSON where it reads as such, and can be written again; else text. Nothing raises: it is why it lies here."""
    try:
        return read_json(body)
    except ValueError:
        return body.decode(errors="replace")


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
