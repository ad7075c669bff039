"""Delayed copies: retry is ours to schedule, because an abandoned message comes back at once."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

from castiel import telemetry, tracing
from castiel.domain.retry import GiveUp, RetryIn, decide
from castiel.errors import CastielError
from castiel.ports.clock import Clock
from castiel.ports.messaging import Queue, QueueMessage, ReceivedMessage

logger = logging.getLogger(__name__)


class Retries:
    """Puts messages back with a delay, or says that they are given up."""

    def __init__(self, clock: Clock, *, max_retries: int, base_seconds: float) -> None:
        self._clock = clock
        self._max_retries = max_retries
        self._base = base_seconds

    def decide(self, error: CastielError, attempt: int) -> RetryIn | GiveUp:
        """Again, and when; or not."""
        return decide(error, attempt, self._max_retries, self._clock.random, base=self._base)

    async def put_back(
        self, queue: Queue, message: ReceivedMessage, *, delay: float, attempt: int, reason: str
    ) -> None:
        """Send a copy that becomes visible after ``delay`` seconds. Durable when it returns."""
        await queue.send([self.delayed(queue, message, delay=delay, attempt=attempt, reason=reason)])

    def delayed(
        self, queue: Queue, message: ReceivedMessage, *, delay: float, attempt: int, reason: str
    ) -> QueueMessage:
        """The copy itself, for callers that send several at once.

        Its id follows from the message's id: put back twice (a crash before completion), it is one.
        """
        telemetry.count("retries_scheduled", queue=queue.name, reason=reason)
        # A message that waits for a lease or a limit is no news; one that failed is.
        logger.log(
            logging.INFO if attempt else logging.DEBUG,
            "message put back: %s, attempt %d, in %.1f s",
            reason,
            attempt,
            delay,
            extra={
                "queue": queue.name,
                "delaySeconds": round(delay, 3),
                "attempt": attempt,
                "reason": reason,
            },
        )
        return QueueMessage(
            message_id=message.next_id,
            body=message.body.decode(errors="replace"),
            correlation_id=message.correlation_id or message.root,
            due=self._clock.now() + timedelta(seconds=delay),
            properties={"attempt": attempt, "reason": reason},
            # A batch's messages have traces of their own: each copy goes on in its message's.
            trace=message.trace or tracing.carrier(),
        )


def message_json(message: ReceivedMessage) -> dict[str, Any]:
    """The message itself, as a failed result stores it for replay."""
    try:
        body = json.loads(message.body)
    except ValueError:
        body = message.body.decode(errors="replace")
    return {"messageId": message.message_id, "body": body, "attempt": message.attempt}
