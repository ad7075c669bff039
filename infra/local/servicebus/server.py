"""The listening server: connections, one timer for everything that falls due, and the order of every turn."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from infra.local.servicebus.broker import Broker
from infra.local.servicebus.connection import ClientConnection
from infra.local.servicebus.delivery import Dispatcher

logger = logging.getLogger(__name__)


class Server:
    """Serves a broker over AMQP. Everything runs on one event loop."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.dispatcher = Dispatcher()
        self._clients: set[ClientConnection] = set()
        self._with_output: set[ClientConnection] = set()
        self._listener: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: ClientConnection(self), host, port, backlog=512)
        self._set_timer()
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.close()
        for client in list(self._clients):
            client.close()
        await asyncio.sleep(0)  # lets the dropped connections say good-bye
        self.broker.commit()

    def opened(self, client: ClientConnection) -> None:
        """A client has connected."""
        self._clients.add(client)

    def closed(self, client: ClientConnection) -> None:
        """A client is gone."""
        self._clients.discard(client)
        self._with_output.discard(client)

    def has_output(self, client: ClientConnection) -> None:
        """This client has something to be told at the end of the turn."""
        self._with_output.add(client)

    def turn(self) -> None:
        """Deliver what can be delivered, make it all durable, and only then let the answers out."""
        self.dispatcher.pump(self.broker.queues)
        try:
            self.broker.commit()
        except sqlite3.Error:
            # Nothing may be acknowledged that is not on disk: better no server than one that promises too much.
            logger.exception("cannot keep messages; stopping")
            asyncio.get_running_loop().stop()
            return
        while self._with_output:
            self._with_output.pop().flush()
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self.broker.next_deadline()
        if deadline == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at, self._timer = deadline, None
        if deadline is not None:
            delay = max(0.0, deadline - self.broker.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._timer_at = None
        self.broker.tick()
        self.turn()
