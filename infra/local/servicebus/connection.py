"""One client's connection: bytes from asyncio into the AMQP engine, its events to the broker, bytes back out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from proton import Collector, Connection, Event, ProtonException, Transport

from infra.local.servicebus.broker import Broker
from infra.local.servicebus.delivery import Dispatcher
from infra.local.servicebus.links import ClientLinks

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
        self._socket: asyncio.Transport | None = None
        self._collector = Collector()
        self._connection = Connection()
        self._engine = Transport(Transport.SERVER)
        self._links = ClientLinks(self._connection, hub.broker, hub.dispatcher, self._mark)
        self._heartbeat: asyncio.TimerHandle | None = None
        self._handlers: dict[Any, Callable[[Any], None]] = {
            Event.CONNECTION_REMOTE_OPEN: self._on_connection_open,
            Event.CONNECTION_REMOTE_CLOSE: lambda event: event.connection.close(),
            Event.SESSION_REMOTE_OPEN: lambda event: event.session.open(),
            Event.SESSION_REMOTE_CLOSE: self._on_session_close,
            Event.LINK_REMOTE_OPEN: self._links.on_open,
            Event.LINK_REMOTE_CLOSE: self._links.on_close,
            Event.LINK_REMOTE_DETACH: self._links.on_close,
            Event.LINK_FLOW: self._links.on_flow,
            Event.DELIVERY: self._links.on_delivery,
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
        self._links.forget_all(None)
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
        self._links.forget_all(event.session)
        event.session.close()
