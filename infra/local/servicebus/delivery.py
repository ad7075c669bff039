"""Handing messages out to receivers, and what receivers say about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from proton import Delivery, Disposition, Link

from infra.local.servicebus import errors
from infra.local.servicebus.broker import Broker
from infra.local.servicebus.message import QueuedMessage
from infra.local.servicebus.queues import LockLostError, MessageQueue


class Consumer:
    """A link on which a client receives from one queue.

    Modes: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide (settlement
    mode settled = receive-and-delete, unsettled = peek-lock). A delivery's tag is its lock token.
    """

    def __init__(self, link: Any, queue: MessageQueue, broker: Broker, on_output: Callable[[], None]) -> None:
        self.queue = queue
        self._on_output = on_output
        self._link = link
        self._broker = broker
        self._presettled = link.remote_snd_settle_mode == Link.SND_SETTLED

    @property
    def has_credit(self) -> bool:
        """Whether the client has asked for another message."""
        return bool(self._link.credit > 0)

    def deliver_next(self) -> None:
        """Send the queue's next message."""
        message = self.queue.receive(self._broker.now(), lock=not self._presettled)
        self._send(message)

    def _send(self, message: QueuedMessage) -> None:
        tag = message.lock or message.sequence.to_bytes(8)
        delivery = self._link.delivery(tag)
        delivery.lock = message.lock
        self._link.stream(message.encode())
        self._link.advance()
        if self._presettled:
            delivery.settle()
        self._on_output()

    def on_disposition(self, delivery: Delivery) -> None:
        """Apply the client's outcome and answer with the one that holds.

        The SDK settles with the second receiver settlement mode: it waits until its outcome comes back settled.
        """
        outcome = delivery.remote_state
        if not delivery.updated or not (outcome or delivery.settled) or delivery.lock is None:
            return
        try:
            self._apply(delivery.lock, outcome, delivery.remote)
        except LockLostError:
            delivery.local.condition = errors.condition(errors.LOCK_LOST)
            delivery.update(Disposition.REJECTED)
        else:
            if outcome == Disposition.MODIFIED:
                delivery.local.failed = delivery.remote.failed
                delivery.local.undeliverable = delivery.remote.undeliverable
            delivery.update(outcome or Disposition.RELEASED)
        delivery.lock = None
        delivery.settle()

    def _apply(self, token: bytes, outcome: Any, details: Any) -> None:
        changes = {str(key): value for key, value in (details.annotations or {}).items()}
        if outcome == Disposition.ACCEPTED:
            self.queue.complete(token)
        elif outcome == Disposition.REJECTED:
            info = {
                str(key): value
                for key, value in ((details.condition and details.condition.info) or {}).items()
            }
            reason, text = info.pop("DeadLetterReason", None), info.pop("DeadLetterErrorDescription", None)
            self.queue.move_to_dead_letter(token, reason, text, info)
        elif outcome == Disposition.MODIFIED and details.undeliverable:
            self.queue.defer(token, changes)
        elif outcome == Disposition.MODIFIED:
            self.queue.abandon(token, self._broker.now(), changes)
        else:
            self.queue.release(token)


class Dispatcher:
    """Who receives from which queue, and whose turn it is."""

    def __init__(self) -> None:
        self._consumers: dict[MessageQueue, deque[Consumer]] = {}

    def add(self, consumer: Consumer) -> None:
        """Let this consumer take part."""
        self._consumers.setdefault(consumer.queue, deque()).append(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Its link is gone. What it holds stays locked until the locks end."""
        consumers = self._consumers.get(consumer.queue)
        if consumers is not None and consumer in consumers:
            consumers.remove(consumer)

    def pump(self, queues: Iterable[MessageQueue]) -> None:
        """Deliver from every queue that was woken, to its consumers in turn."""
        for queue in queues:
            if queue.woken:
                queue.woken = False
                self._pump(queue)

    def _pump(self, queue: MessageQueue) -> None:
        consumers = self._consumers.get(queue)
        if not consumers:
            return
        hungry = deque(consumer for consumer in consumers if consumer.has_credit)
        while hungry and queue.has_ready:
            consumer = hungry.popleft()
            consumer.deliver_next()
            if consumer.has_credit:
                hungry.append(consumer)
        consumers.rotate(1)
