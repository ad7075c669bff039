"""What a batch of outbound messages comes to: results and delayed copies, each written in one go at its end."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass

from castiel import telemetry
from castiel.domain.messages import OutboundMessage
from castiel.domain.results import PushResult
from castiel.domain.retry import MAX_DELAY_SECONDS, RetryIn
from castiel.errors import (
    CastielError,
    FirstPullPending,
    InvalidMessage,
    LeaseHeld,
    OutcomeUnknown,
    RateLimited,
)
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage, ReceivedMessage
from castiel.ports.stores import ResultStore
from castiel.services.push_work import Pushed
from castiel.services.retries import Retries, message_json

logger = logging.getLogger(__name__)

FIRST_PULL_SECONDS = 5.0
"""The shortest time until a create looks again whether its connection has been pulled."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that has to be told, and the message that it came by."""

    received: ReceivedMessage
    message: OutboundMessage

    def dimensions(self, error: CastielError) -> dict[str, str]:
        """What a log line about it carries."""
        return {
            "entityId": self.message.entity_id,
            "correlationId": self.message.correlation_id,
            "error": error.code,
        }


class OutboundBatch:
    """Collects while the batch is worked on, and writes when it is done."""

    def __init__(
        self,
        results: ResultStore,
        queue: Queue,
        retries: Retries,
        clock: Clock,
        *,
        alone: bool,
        lost_answer_seconds: float,
    ) -> None:
        """``alone``: whether one message is all of it: then what is unexpected is the host's to abandon.

        ``lost_answer_seconds``: how long a write whose answer never came may still be on its way.
        """
        self._store = results
        self._queue = queue
        self._retries = retries
        self._clock = clock
        self.alone = alone
        self._lost_answer = lost_answer_seconds
        self._results: list[tuple[ReceivedMessage, PushResult]] = []
        self._copies: list[QueueMessage] = []

    async def write(self) -> None:
        """Results before copies: a crash in between repeats a result that has the same id."""
        await self._store_results()
        await self._queue.send(self._copies)

    async def _store_results(self) -> None:
        """Messages whose results can't be stored now are put back: done again, they find that it is done."""
        try:
            await self._store.put_many([result for _, result in self._results])
        except CastielError as error:
            put_back = [self.try_again(received, error) for received, _ in self._results]
            if not all(put_back):
                raise

    def settle(self, change: Change, outcome: Pushed, duration: float) -> None:
        """A push's outcome: tried again where that may help, its result otherwise. ``duration`` in milliseconds."""
        error = outcome.error
        if isinstance(error, FirstPullPending):
            error.retry_after = self._first_pull_wait(change.message)
        if error is not None and self.try_again(change.received, error):
            return
        self._results.append((change.received, self._result(change, outcome, duration)))
        telemetry.record("outbound_worker_duration_ms", duration, integration=change.message.integration_id)
        name = "outbound_worker_failure" if error else "outbound_worker_success"
        telemetry.count(name, integration=change.message.integration_id)
        if outcome.conflicts:
            telemetry.count(
                "conflicts_detected", len(outcome.conflicts), integration=change.message.integration_id
            )
        if error is not None:
            logger.error("push failed: %s", error, extra=change.dimensions(error))

    def give_up(self, change: Change, error: CastielError) -> None:
        """A failed result that holds the message, for ``failed replay``."""
        outcome = Pushed(change.message.operation, change.message.external_id, error)
        self._results.append((change.received, self._result(change, outcome, 0.0)))

    def go_on_later(self, received: ReceivedMessage) -> None:
        """The time is up before the work is done: it is continued by a copy of its message."""
        self._delay(received, 0.0, received.attempt, "time_budget")

    def _first_pull_wait(self, message: OutboundMessage) -> float:
        """A first pull may take seconds or hours: asked again when it has taken up to twice as long."""
        waited = (self._clock.now() - message.enqueued_at).total_seconds()
        return min(MAX_DELAY_SECONDS, max(FIRST_PULL_SECONDS, waited * (0.5 + self._clock.random() / 2)))

    def try_again(self, received: ReceivedMessage, error: CastielError) -> bool:
        """Whether the message comes again: a copy of it, delayed as long as the error asks for."""
        if isinstance(error, LeaseHeld | RateLimited | FirstPullPending):
            # Not a failure: somebody works on the shard, our own limit says later, or a pull comes first.
            delay, attempt = error.retry_after or 1.0, received.attempt
        else:
            decision = self._retries.decide(error, received.attempt)
            if not isinstance(decision, RetryIn):
                return False
            delay, attempt = decision.delay, decision.attempt
        if isinstance(error, OutcomeUnknown):
            # Looked for before it arrives, a create would be found missing and made twice.
            delay = max(delay, self._lost_answer)
        self._delay(received, delay, attempt, error.code)
        return True

    def set_apart(self, received: ReceivedMessage, error: InvalidMessage) -> None:
        """A batch is completed or abandoned as a whole: what can't be read must not take the others with it."""
        logger.error("message can't be read: %s", error, extra={"deliveryCount": received.delivery_count})
        if self.alone:
            raise error
        delay, attempt = min(MAX_DELAY_SECONDS, 2.0 ** min(received.attempt, 10)), received.attempt + 1
        self._delay(received, delay, attempt, error.code)

    def _delay(self, received: ReceivedMessage, delay: float, attempt: int, reason: str) -> None:
        self._copies.append(
            self._retries.delayed(self._queue, received, delay=delay, attempt=attempt, reason=reason)
        )

    def _result(self, change: Change, outcome: Pushed, duration: float) -> PushResult:
        """One per message: its id follows from the message, so writing it again replaces it."""
        message, received, error = change.message, change.received, outcome.error
        milliseconds = int(message.enqueued_at.timestamp() * 1000)
        return PushResult(
            id=f"outbound-{_named(message.entity_id)}-{milliseconds}-{hashlib.sha256(received.root.encode()).hexdigest()[:8]}",
            integration_id=message.integration_id,
            tenant_id=message.tenant_id,
            connection_id=message.connection_id,
            entity_id=message.entity_id,
            external_id=outcome.external_id,
            operation=outcome.operation,
            success=error is None,
            duration=int(duration),
            executed_at=self._clock.now(),
            correlation_id=message.correlation_id,
            attempt=received.attempt,
            conflicts=list(outcome.conflicts),
            retryable=error.retryable if error else None,
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            given_up_message=message_json(received) if error else None,
        )


def _named(entity_id: str) -> str:
    """A part of a document's id: a webhook names the provider's record, whose id may be any text (``o/r#1``)."""
    if re.fullmatch(r"[\w.:-]{1,200}", entity_id):
        return entity_id
    return hashlib.sha256(entity_id.encode()).hexdigest()[:32]
