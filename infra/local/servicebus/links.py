"""The links of one connection: which node each is attached to, and what passes over it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from proton import Connection, Delivery, Disposition, Endpoint, Link, Message, MessageException, Terminus

from infra.local.servicebus import errors, management
from infra.local.servicebus.broker import (
    MANAGEMENT_SUFFIX,
    Broker,
    EntityNotFoundError,
    NotImplementedEntityError,
)
from infra.local.servicebus.delivery import Consumer, Dispatcher
from infra.local.servicebus.message import Content
from infra.local.servicebus.queues import MessageQueue
from infra.local.servicebus.sections import MalformedMessageError, split_batch

CBS = "$cbs"
_CREDIT = 1000
_SESSION_FILTER = "com.microsoft:session-filter"
_REQUEST_BYTES = 4 * 1024 * 1024

logger = logging.getLogger(__name__)


class ClientLinks:
    """Links to queues, dead-letter queues, their management nodes, and to ``$cbs``."""

    def __init__(
        self, connection: Connection, broker: Broker, dispatcher: Dispatcher, on_output: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._broker = broker
        self._dispatcher = dispatcher
        self._on_output = on_output
        self._replies: list[Any] = []

    def on_open(self, event: Any) -> None:
        """The client attaches a link."""
        link = event.link
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        try:
            if link.is_sender:
                self._open_outgoing(link)
            else:
                self._open_incoming(link)
        except EntityNotFoundError as error:
            _refuse(link, errors.NOT_FOUND, f"The messaging entity '{error}' could not be found.")
        except NotImplementedEntityError as error:
            _refuse(link, errors.NOT_IMPLEMENTED, f"{error} is not implemented.")

    def _open_outgoing(self, link: Any) -> None:
        address = link.remote_source.address or ""
        if address == CBS or address.lower().endswith(MANAGEMENT_SUFFIX):
            if address != CBS:
                self._broker.queue(address)
            self._replies.append(link)
            _accept(link)
            return
        if _wants_session(link):
            raise NotImplementedEntityError("Receiving from a session")
        queue = self._broker.queue(address)
        _accept(link)
        link.consumer = Consumer(link, queue, self._broker, self._on_output)
        self._dispatcher.add(link.consumer)
        queue.woken = True

    def _open_incoming(self, link: Any) -> None:
        if link.remote_target.type == Terminus.COORDINATOR:
            raise NotImplementedEntityError("Transactions")
        address = link.remote_target.address or ""
        link.address, link.queue = address, None
        if address != CBS:
            link.queue = self._broker.queue(address)
            is_management = address.lower().endswith(MANAGEMENT_SUFFIX)
            if link.queue.dead_letter is None and not is_management:
                _refuse(link, errors.NOT_ALLOWED, "Messages cannot be sent to a dead-letter queue.")
                return
            link.is_request = is_management
        else:
            link.is_request = True
        link.max_message_size = _REQUEST_BYTES if link.is_request else management.MAX_MESSAGE_BYTES
        _accept(link)
        link.flow(_CREDIT)

    def on_close(self, event: Any) -> None:
        """The client detaches a link."""
        link = event.link
        self._forget(link)
        link.close()

    def on_flow(self, event: Any) -> None:
        """The client gives credit, or drains it."""
        link = event.link
        consumer = getattr(link, "consumer", None)
        if consumer is None:
            return
        consumer.queue.woken = True
        if link.drain_mode:  # the SDK drains when it closes a receiver, and waits for the answer
            self._dispatcher.pump([consumer.queue])
            link.drained()

    def on_delivery(self, event: Any) -> None:
        """The client has sent a message, or settled one of ours."""
        link, delivery = event.link, event.delivery
        if link.is_sender:
            consumer = getattr(link, "consumer", None)
            if consumer is not None:
                consumer.on_disposition(delivery)
        elif link.state & Endpoint.LOCAL_CLOSED:
            delivery.settle()  # sent before the client learnt that its link was refused
        elif delivery.readable and not delivery.partial:
            raw = bytes(link.recv(delivery.pending) or b"")
            link.advance()
            self._take(link, delivery, raw)
            delivery.settle()
            if link.credit < _CREDIT // 2:
                link.flow(_CREDIT - link.credit)

    # Messages from the client --------------------------------------------------------------------------------

    def _take(self, link: Any, delivery: Delivery, raw: bytes) -> None:
        if not link.is_request and len(raw) > management.MAX_MESSAGE_BYTES:
            _reject(delivery, errors.SIZE_EXCEEDED, "The message is larger than 256 KB.")
            return
        try:
            if link.is_request:
                self._answer(link, raw)
            else:
                self._enqueue(link.queue, raw)
        except (MalformedMessageError, MessageException) as error:
            _reject(delivery, errors.DECODE_ERROR, str(error))
        else:
            delivery.update(Disposition.ACCEPTED)

    def _enqueue(self, queue: MessageQueue, raw: bytes) -> None:
        contents = [Content.parse(message) for message in split_batch(raw)]  # all of a batch, or none
        now = self._broker.now()
        for content in contents:
            queue.send(content, now)

    def _answer(self, link: Any, raw: bytes) -> None:
        request = Message()
        request.decode(raw)
        if link.address == CBS:
            reply = management.Reply(202)  # any token will do: nothing is guarded here
        else:
            reply = management.handle(link.queue, request, self._broker.now())
        for out in self._replies:
            if out.session == link.session and out.remote_source.address == link.address:
                out.send(reply.message(request)).settle()
                return
        logger.warning("nobody listens for the answers of %s", link.address)

    # Leaving -------------------------------------------------------------------------------------------------

    def forget_all(self, session: Any) -> None:
        """Forget every link, or every link of one session."""
        link = self._connection.link_head(0)
        while link is not None:
            if session is None or link.session == session:
                self._forget(link)
            link = link.next(0)

    def _forget(self, link: Any) -> None:
        consumer = getattr(link, "consumer", None)
        if consumer is not None:
            self._dispatcher.remove(consumer)
            link.consumer = None
        if link in self._replies:
            self._replies.remove(link)


def _accept(link: Any) -> None:
    link.source.copy(link.remote_source)
    link.target.copy(link.remote_target)
    link.open()


def _refuse(link: Any, error: str, text: str) -> None:
    """Attach without source and target, then detach with the error (OASIS AMQP 1.0, part 2, section 2.6.3)."""
    link.source.type = link.target.type = Terminus.UNSPECIFIED
    link.open()
    link.condition = errors.condition(error, text)
    link.close()


def _reject(delivery: Delivery, error: str, text: str) -> None:
    delivery.local.condition = errors.condition(error, text)
    delivery.update(Disposition.REJECTED)


def _wants_session(link: Link) -> bool:
    data = link.remote_source.filter
    data.rewind()
    filters = data.get_object() if data.next() else None
    return isinstance(filters, dict) and any(str(name) == _SESSION_FILTER for name in filters)
