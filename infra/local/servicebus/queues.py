"""One queue: its messages, locks, deferred and scheduled messages and their times. No I/O, no clock of its own.

Every promise cites its page; "learn" is https://learn.microsoft.com/azure/service-bus-messaging.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from infra.local.servicebus.config import QueueSettings
from infra.local.servicebus.deadlines import Deadlines
from infra.local.servicebus.history import DuplicateHistory, SequenceNumbers
from infra.local.servicebus.journal import Journal
from infra.local.servicebus.message import Content, MessageState, QueuedMessage

EXPIRED = ("TTLExpiredException", "The message expired and was dead lettered.")
DEAD_LETTER_SUFFIX = "/$deadletterqueue"


class LockLostError(Exception):
    """The lock token is unknown: its lock has expired or its message is settled."""


class MessageNotFoundError(Exception):
    """No message with this sequence number is in the state the operation needs."""


class MessageQueue:
    """A queue, or the dead-letter sub-queue of one (which has no ``dead_letter`` of its own)."""

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        journal: Journal,
        sequences: SequenceNumbers,
        dead_letter: MessageQueue | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.dead_letter = dead_letter
        self.woken = False
        """Whether messages became available since the flag was last taken down."""
        self._journal = journal
        self._sequences = sequences
        self._history: DuplicateHistory | None = None
        if dead_letter is not None and settings.detect_duplicates:
            self._history = DuplicateHistory(name, settings.duplicate_window_seconds, journal)
        self._messages: dict[int, QueuedMessage] = {}
        self._ready: list[int] = []
        self._locked: dict[bytes, QueuedMessage] = {}
        self._lock_ends: Deadlines[bytes] = Deadlines()
        self._scheduled: Deadlines[int] = Deadlines()
        self._expiries: Deadlines[int] = Deadlines()
        for message in journal.load(name):
            self._place(message)

    # Coming in ---------------------------------------------------------------------------------------------

    def send(self, content: Content, now: float) -> int:
        """Accept a message and return its sequence number; a duplicate is accepted and dropped.

        A scheduled message is in the duplicate history from when it was sent (learn/duplicate-detection), is
        numbered at once (learn/message-sequencing) and lives its time to live from its enqueue time on.
        """
        sequence = self._sequences.next()
        message_id = content.message_id
        if (
            self._history is not None
            and message_id is not None
            and self._history.is_duplicate(message_id, now)
        ):
            return sequence
        due = content.scheduled_for
        message = QueuedMessage(sequence=sequence, content=content, enqueued_at=now)
        if due is not None and due > now:
            message.state, message.due_at = MessageState.SCHEDULED, due
        else:
            message.expires_at = now + self._time_to_live(content)
        self._journal.store(self.name, message)
        self._place(message)
        return sequence

    def cancel_scheduled(self, sequences: Sequence[int]) -> None:
        """Drop these scheduled messages, or none. Raises MessageNotFoundError."""
        messages = [self._messages.get(sequence) for sequence in sequences]
        for message in messages:
            if message is None or message.state is not MessageState.SCHEDULED:
                raise MessageNotFoundError
        for sequence in sequences:
            self._scheduled.discard(sequence)
            self._drop(sequence)

    # Going out ---------------------------------------------------------------------------------------------

    @property
    def has_ready(self) -> bool:
        """Whether :meth:`receive` would find a message."""
        while self._ready:
            message = self._messages.get(self._ready[0])
            if message is not None and message.state is MessageState.ACTIVE and message.lock is None:
                return True
            heapq.heappop(self._ready)
        return False

    def receive(self, now: float, *, lock: bool) -> QueuedMessage:
        """The next message: locked for the receiver, or removed. Ask :attr:`has_ready` first."""
        message = self._messages[heapq.heappop(self._ready)]
        self._hand_out(message, now, lock=lock)
        return message

    def receive_deferred(self, sequences: Sequence[int], now: float, *, lock: bool) -> list[QueuedMessage]:
        """Deferred messages by number (learn/message-deferral). Raises MessageNotFoundError for any other."""
        messages: list[QueuedMessage] = []
        for sequence in sequences:
            message = self._messages.get(sequence)
            if message is None or message.state is not MessageState.DEFERRED or message.lock is not None:
                raise MessageNotFoundError
            messages.append(message)
        for message in messages:
            self._hand_out(message, now, lock=lock)
        return messages

    def peek(self, from_sequence: int, count: int) -> list[QueuedMessage]:
        """Messages of any state in sequence order, untouched (learn/message-browsing)."""
        numbers = heapq.nsmallest(count, (number for number in self._messages if number >= from_sequence))
        return [self._messages[number] for number in numbers]

    # Settlement (learn/message-transfers-locks-settlement) ---------------------------------------------------

    def complete(self, token: bytes) -> None:
        """Remove the message. Raises LockLostError, as all of these."""
        self._drop(self._unlock(token).sequence)

    def abandon(self, token: bytes, now: float, changes: Mapping[str, Any] | None = None) -> None:
        """Give the message back, counting the delivery; ``changes`` go to its application properties."""
        message = self._unlock(token)
        if changes:
            message.content.add_application_properties(changes)
        self._give_back(message, now)

    def release(self, token: bytes) -> None:
        """Give the message back as if it had not been delivered."""
        message = self._unlock(token)
        self._place(message)

    def defer(self, token: bytes, changes: Mapping[str, Any] | None = None) -> None:
        """Set the message aside; it can only be received by its sequence number."""
        message = self._unlock(token)
        if changes:
            message.content.add_application_properties(changes)
        message.state = MessageState.DEFERRED
        self._expiries.discard(message.sequence)
        self._journal.store(self.name, message)

    def move_to_dead_letter(
        self,
        token: bytes,
        reason: str | None,
        description: str | None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Move the message to the dead-letter queue with the client's reason (learn/service-bus-dead-letter-queues)."""
        message = self._unlock(token)
        if changes:
            message.content.add_application_properties(changes)
        self._dead_letter(message, reason, description)

    def renew(self, tokens: Sequence[bytes], now: float) -> list[float]:
        """Lock these messages for another lock duration from now; returns until when."""
        messages = [self._locked.get(token) for token in tokens]
        if None in messages:
            raise LockLostError
        until = now + self.settings.lock_seconds
        for token, message in zip(tokens, messages, strict=True):
            assert message is not None  # noqa: S101 - for the type checker
            message.locked_until = until
            self._lock_ends.set(token, until)
        return [until] * len(tokens)

    # Time --------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has something to do next."""
        times = [deadlines.next() for deadlines in (self._scheduled, self._lock_ends, self._expiries)]
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due: enqueue scheduled messages, end locks, expire messages."""
        while (due := self._scheduled.pop_due(now)) is not None:
            self._activate(self._messages[due], now)
        while (token := self._lock_ends.pop_due(now)) is not None:
            self._give_back(self._unlock(token), now)
        while (expired := self._expiries.pop_due(now)) is not None:
            self._expire(self._messages[expired])

    def counts(self) -> dict[str, int]:
        """How many messages are active (locked ones apart), scheduled, locked and deferred."""
        counts = {"active": 0, "scheduled": 0, "locked": 0, "deferred": 0}
        for message in self._messages.values():
            counts["locked" if message.lock is not None else message.state.name.lower()] += 1
        return counts

    # Inside ------------------------------------------------------------------------------------------------

    def _place(self, message: QueuedMessage) -> None:
        """Put a message where its state wants it."""
        self._messages[message.sequence] = message
        if message.state is MessageState.SCHEDULED:
            assert message.due_at is not None  # noqa: S101 - for the type checker
            self._scheduled.set(message.sequence, message.due_at)
        elif message.state is MessageState.ACTIVE:
            heapq.heappush(self._ready, message.sequence)
            self.woken = True
            if message.expires_at is not None:
                self._expiries.set(message.sequence, message.expires_at)

    def _activate(self, message: QueuedMessage, now: float) -> None:
        # learn/message-sequencing: a scheduled message is appended as if enqueued now, with a new number.
        del self._messages[message.sequence]
        self._journal.delete(self.name, message.sequence)
        message.sequence = self._sequences.next()
        message.state, message.enqueued_at = MessageState.ACTIVE, now
        message.expires_at = now + self._time_to_live(message.content)
        self._journal.store(self.name, message)
        self._place(message)

    def _hand_out(self, message: QueuedMessage, now: float, *, lock: bool) -> None:
        self._expiries.discard(message.sequence)  # a locked message does not expire before its lock is lost
        if not lock:
            self._drop(message.sequence)
            return
        message.lock = uuid.uuid4().bytes
        message.locked_until = now + self.settings.lock_seconds
        self._locked[message.lock] = message
        self._lock_ends.set(message.lock, message.locked_until)

    def _unlock(self, token: bytes) -> QueuedMessage:
        message = self._locked.pop(token, None)
        if message is None:
            raise LockLostError
        self._lock_ends.discard(token)
        message.lock = None
        return message

    def _give_back(self, message: QueuedMessage, now: float) -> None:
        message.delivery_count += 1
        most = self.settings.max_delivery_count
        if self.dead_letter is not None and message.delivery_count >= most:
            text = f"Message could not be consumed after {most} delivery attempts."
            self._dead_letter(message, "MaxDeliveryCountExceeded", text)
        elif (
            message.state is MessageState.ACTIVE
            and message.expires_at is not None
            and message.expires_at <= now
        ):
            self._expire(message)
        else:
            self._journal.store(self.name, message)
            self._place(message)

    def _expire(self, message: QueuedMessage) -> None:
        if self.settings.dead_letter_on_expiration:
            self._dead_letter(message, *EXPIRED)
        else:
            self._drop(message.sequence)

    def _dead_letter(self, message: QueuedMessage, reason: str | None, description: str | None) -> None:
        properties = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        message.content.add_application_properties({key: text for key, text in properties.items() if text})
        self._drop(message.sequence)
        target = self.dead_letter or self  # a dead-lettered dead letter stays where it is
        target.accept_dead_letter(message)

    def accept_dead_letter(self, message: QueuedMessage) -> None:
        """Take a message of the main queue. Nothing expires here (learn/service-bus-dead-letter-queues)."""
        message.state, message.expires_at = MessageState.ACTIVE, None
        self._journal.store(self.name, message)
        self._place(message)

    def _drop(self, sequence: int) -> None:
        del self._messages[sequence]
        self._journal.delete(self.name, sequence)

    def _time_to_live(self, content: Content) -> float:
        # learn/message-expiration: a message's own time to live counts up to the queue's.
        own = content.time_to_live
        return (
            self.settings.time_to_live_seconds
            if own is None
            else min(own, self.settings.time_to_live_seconds)
        )
