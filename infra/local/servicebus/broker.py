"""All queues of a namespace by their addresses, their common journal and clock."""

from __future__ import annotations

import time
from collections.abc import Iterable

from infra.local.servicebus.config import QueueSettings
from infra.local.servicebus.history import SequenceNumbers
from infra.local.servicebus.journal import Journal
from infra.local.servicebus.queues import DEAD_LETTER_SUFFIX, MessageQueue

MANAGEMENT_SUFFIX = "/$management"


class EntityNotFoundError(Exception):
    """No entity has this address."""


class NotImplementedEntityError(Exception):
    """The address is one of a kind that is not served here: topics' subscriptions, transfer queues."""


class Broker:
    """The queues of one namespace."""

    def __init__(self, queues: Iterable[QueueSettings], journal: Journal) -> None:
        self._journal = journal
        self._queues: dict[str, MessageQueue] = {}
        for settings in queues:
            self._add(settings)

    @property
    def queues(self) -> Iterable[MessageQueue]:
        """Every queue and dead-letter queue."""
        return self._queues.values()

    def queue(self, address: str) -> MessageQueue:
        """The queue at an address as clients write it. Raises EntityNotFoundError, NotImplementedEntityError."""
        name = entity_name(address)
        queue = self._queues.get(name)
        if queue is not None:
            return queue
        if "/subscriptions/" in name or "/$transfer/" in name:
            raise NotImplementedEntityError(address)
        raise EntityNotFoundError(address)

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def tick(self) -> None:
        """Do what is due in every queue."""
        now = self.now()
        for queue in self._queues.values():
            queue.tick(now)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has something to do next."""
        times = (queue.next_deadline() for queue in self._queues.values())
        return min((time for time in times if time is not None), default=None)

    def commit(self) -> None:
        """Make everything accepted and settled so far durable."""
        self._journal.commit()

    def status(self) -> dict[str, dict[str, int]]:
        """Message counts by queue, with those of its dead-letter queue as ``deadLettered``."""
        report: dict[str, dict[str, int]] = {}
        for queue in self._queues.values():
            if queue.dead_letter is not None:
                dead = sum(queue.dead_letter.counts().values())
                report[queue.settings.name] = {**queue.counts(), "deadLettered": dead}
        return report

    def _add(self, settings: QueueSettings) -> None:
        name = settings.name.lower()
        sequences = SequenceNumbers(name, self._journal)
        dead_name = name + DEAD_LETTER_SUFFIX
        dead = MessageQueue(dead_name, settings, self._journal, sequences)
        self._queues[dead_name] = dead
        self._queues[name] = MessageQueue(name, settings, self._journal, sequences, dead)


def entity_name(address: str) -> str:
    """An address without scheme, host and management node: clients write ``amqps://host/queue`` and ``queue``."""
    path = address.split("://", 1)[1].partition("/")[2] if "://" in address else address
    return path.strip("/").lower().removesuffix(MANAGEMENT_SUFFIX)
