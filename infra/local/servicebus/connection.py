"""One client's connection: bytes from asyncio into the AMQP engine, its events to the broker, bytes back out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from proton import (
    Collector,
    Connection,
    Delivery,
    Disposition,
    Endpoint,
    Event,
    Link,
    Message,
    MessageException,
    ProtonException,
    Terminus,
    Transport,
)

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


class Hub(Protocol):
    """What a connection needs of the server around it."""

    broker: Broker
    dispatcher: Dispatcher

    def opened(self, client: ClientConnection) -> None:
        """A client has connected."""

    def closed(self, client: ClientConnection) -> None:
        """A client is gone."""

    def has_output(self, client: ClientConnection) -> None:
        """This client has something to be told at the end of the turn."""

    def turn(self) -> None:
        """Something happened: deliver, commit, and let the answers out."""


class ClientConnection(asyncio.Protocol):
    """An AMQP 1.0 connection, server side: SASL ANONYMOUS, then whatever links the client attaches.

    Nothing is written to the socket but by :meth:`flush`, which the hub calls after its commit.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._broker = hub.broker
        self._socket: asyncio.Transport | None = None
        self._collector = Collector()
        self._connection = Connection()
        self._engine = Transport(Transport.SERVER)
        self._replies: list[Any] = []
        self._heartbeat: asyncio.TimerHandle | None = None
        self._handlers: dict[Any, Callable[[Any], None]] = {
            Event.CONNECTION_REMOTE_OPEN: self._on_connection_open,
            Event.CONNECTION_REMOTE_CLOSE: lambda event: event.connection.close(),
            Event.SESSION_REMOTE_OPEN: lambda event: event.session.open(),
            Event.SESSION_REMOTE_CLOSE: self._on_session_close,
            Event.LINK_REMOTE_OPEN: self._on_link_open,
            Event.LINK_REMOTE_CLOSE: self._on_link_close,
            Event.LINK_REMOTE_DETACH: self._on_link_close,
            Event.LINK_FLOW: self._on_flow,
            Event.DELIVERY: self._on_delivery,
        }

    # asyncio -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._socket = transport
        self._connection.collect(self._collector)
        sasl = self._engine.sasl()
        sasl.allowed_mechs("ANONYMOUS")
        self._engine.bind(self._connection)
        self._hub.opened(self)

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and (capacity := self._engine.capacity()) > 0:
                self._engine.push(bytes(view[:capacity]))
                view = view[capacity:]
                self._process_events()
        except ProtonException as error:
            logger.warning("protocol error: %s", error)
        self._process_events()
        self._mark()
        self._hub.turn()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._hub.closed(self)
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        self._forget_links(None)
        self._replies.clear()
        self._handlers.clear()
        self._engine.unbind()
        self._connection.free()
        self._collector.release()

    def flush(self) -> None:
        """Write what the engine has to say."""
        if self._socket is None or self._socket.is_closing():
            return
        self._keep_alive()
        while (size := self._engine.pending()) > 0:
            chunk = self._engine.peek(size)
            if not chunk:
                break
            self._socket.write(chunk)
            self._engine.pop(len(chunk))
        if size < 0:
            self._socket.close()

    def close(self) -> None:
        """Drop the connection, as when the server stops."""
        if self._socket is not None:
            self._socket.abort()

    def _mark(self) -> None:
        self._hub.has_output(self)

    def _keep_alive(self) -> None:
        """Send an empty frame when the client's idle timeout asks for one, and come back when it will next."""
        loop = asyncio.get_running_loop()
        deadline = self._engine.tick(loop.time())
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        self._heartbeat = loop.call_at(deadline, self.flush) if deadline else None

    # Events of the engine ------------------------------------------------------------------------------------

    def _process_events(self) -> None:
        while (event := self._collector.peek()) is not None:
            try:
                handler = self._handlers.get(event.type)
                if handler is not None:
                    handler(event)
            finally:
                self._collector.pop()

    def _on_connection_open(self, event: Any) -> None:
        event.connection.container = "servicebus.local"
        event.connection.open()

    def _on_session_close(self, event: Any) -> None:
        self._forget_links(event.session)
        event.session.close()

    def _on_link_open(self, event: Any) -> None:
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
        link.consumer = Consumer(link, queue, self._broker, self._mark)
        self._hub.dispatcher.add(link.consumer)
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

    def _on_link_close(self, event: Any) -> None:
        link = event.link
        self._forget(link)
        link.close()

    def _on_flow(self, event: Any) -> None:
        link = event.link
        consumer = getattr(link, "consumer", None)
        if consumer is None:
            return
        consumer.queue.woken = True
        if link.drain_mode:  # the SDK drains when it closes a receiver, and waits for the answer
            self._hub.dispatcher.pump([consumer.queue])
            link.drained()

    def _on_delivery(self, event: Any) -> None:
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

    def _forget_links(self, session: Any) -> None:
        """Forget every link, or every link of one session."""
        link = self._connection.link_head(0)
        while link is not None:
            if session is None or link.session == session:
                self._forget(link)
            link = link.next(0)

    def _forget(self, link: Any) -> None:
        consumer = getattr(link, "consumer", None)
        if consumer is not None:
            self._hub.dispatcher.remove(consumer)
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
